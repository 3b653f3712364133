"""Markdown of the pages that are made from tables in the code."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.collections.parameters import Parameter

__all__ = ["MADE", "cell", "keys_cell", "markdown_table"]

MADE = "<!-- Made by `make docs` from the tables in the code; don't edit. -->\n"
"""Stands below the title of such a page."""


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table; its rows hold cells."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cell(text: str) -> str:
    """Format a text as a cell."""
    return text.replace("|", "\\|").replace("\n", " ")


def keys_cell(row: Parameter) -> str:
    """Format the keys of a parameter as a cell."""
    return ", ".join(f"`{name}*`" if name.endswith(".") else f"`{name}`" for name in row.names)

"""Output of commands: tables and facts for people, JSON for programs."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["moment", "print_facts", "print_json", "print_table", "short_value", "size_text"]

_PIPE_WIDTH = 10_000
_SHOWN_ITEMS = 4
_SHOWN_TEXT = 60


def print_json(value: object) -> None:
    """Print JSON, indented on a terminal, on one line to a pipe."""
    click.echo(json.dumps(value, ensure_ascii=False, default=_plain, indent=2 if sys.stdout.isatty() else None))


def _plain(value: object) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} can't be shown as JSON")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, none: str) -> None:
    """Print a table without lines, which programs can split into words; without rows print ``none``.

    The first column names the thing and is never broken or shortened. Numbers stand to the right.
    """
    table_rows = [list(row) for row in rows]
    if not table_rows:
        click.echo(none, err=True)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, title in enumerate(columns):
        is_number = all(isinstance(row[number], int | float) or row[number] is None for row in table_rows)
        table.add_column(title, justify="right" if is_number else "left", no_wrap=number == 0, overflow="fold")
    for row in table_rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    console = _console()
    with console.capture() as capture:
        console.print(table)
    # Rich fills the last column up with blanks.
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def print_facts(facts: Mapping[str, object]) -> None:
    """Print one fact per line, without those that are None."""
    entries = {name: value for name, value in facts.items() if value is not None}
    width = max(map(len, entries), default=0)
    for name, value in entries.items():
        click.echo(f"{name:<{width}}  {_cell(value)}")


def _console() -> Console:
    # A pipe has no width; rich would break lines at 80 columns.
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def short_value(value: object) -> str:
    """Format a value of a row briefly: long vectors are cut."""
    if isinstance(value, bytes):
        return f"{len(value)} bytes {value[:8].hex()}…" if len(value) > 8 else value.hex()
    if isinstance(value, list) and len(value) > _SHOWN_ITEMS:
        shown = ", ".join(_number(item) for item in value[:_SHOWN_ITEMS])
        return f"[{shown}, … {len(value)}]"
    if isinstance(value, list):
        return f"[{', '.join(map(_number, value))}]"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_TEXT else text[: _SHOWN_TEXT - 1] + "…"


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False, default=str)


def size_text(size: int | None) -> str | None:
    """Format a size such as ``12.3 MB``."""
    from rich.filesize import decimal

    return None if size is None else decimal(size)


def moment(time: datetime | None) -> str | None:
    """Format a time of the server (UTC) in the user's own time zone."""
    return None if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M:%S")

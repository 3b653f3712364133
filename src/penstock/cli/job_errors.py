"""Print the errors of import jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice

import click

from penstock.cli.output import print_json, print_table
from penstock.sdk.jobs import ErrorGroup, RowError


def print_errors(errors: Iterator[RowError], limit: int, *, as_json: bool) -> None:
    """Print the first errors, and whether there are others."""
    shown = list(islice(errors, limit))
    if as_json:
        print_json([asdict(error) for error in shown])
        return
    if not shown:
        click.echo("The job has no errors.")
        return
    rows = [
        (error.file or "", _number(error.row), _number(error.offset), error.key or "", _reasons(error))
        for error in shown
    ]
    print_table(["File", "Row", "Byte", "Key", "Reason"], rows, none="")
    if next(errors, None) is not None:
        click.echo("There are more: --limit shows more of them, --group counts them, --out writes them to a file.")


def print_groups(groups: Sequence[ErrorGroup], *, as_json: bool) -> None:
    """Print groups of errors, each with its first example."""
    if as_json:
        print_json([asdict(group) for group in groups])
        return
    if not groups:
        click.echo("The job has no errors.")
        return
    rows = [(group.rule, group.field or "", group.file or "", f"{group.rows:,}", _example(group)) for group in groups]
    print_table(["Rule", "Field", "File", "Rows", "First example"], rows, none="")


def _example(group: ErrorGroup) -> str:
    if not group.examples:
        return ""
    first = group.examples[0]
    reason = next((reason for reason in first.reasons if reason.rule == group.rule), first.reasons[0])
    where = "" if first.row is None else f"row {first.row}: "
    return f"{where}{reason.message}"


def _reasons(error: RowError) -> str:
    return "; ".join(
        f"{reason.field}: {reason.message}" if reason.field else reason.message for reason in error.reasons
    )


def _number(value: int | None) -> str:
    return "" if value is None else str(value)

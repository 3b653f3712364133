"""Output of commands: tables and facts for people, JSON for programs."""

from __future__ import annotations

import base64
import csv
import io
import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import accumulate, zip_longest
from typing import Any
from unicodedata import combining, east_asian_width

import click

from penstock.domain.control_characters import escape_controls

_LEAST_WIDTH = 8
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


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, none: str, err: bool = False) -> None:
    """Print a table without lines, which programs can split into words; without rows print ``none``.

    The first column names the thing and is never broken or shortened. Numbers stand to the right. A terminal gets the
    other columns wrapped to its width.
    """
    table_rows = [list(row) for row in rows]
    if not table_rows:
        click.echo(none, err=True)
        return
    header, *lines = table_lines(columns, table_rows, err=err)
    click.secho(header, bold=True, err=err)
    for line in lines:
        click.echo(line, err=err)


def table_lines(columns: Sequence[str], table_rows: Sequence[Sequence[object]], *, err: bool = False) -> list[str]:
    """The lines of a table, its columns first; see :func:`print_table`."""
    columns = [escape_controls(column) for column in columns]
    cells = [[_cell(value) for value in row] for row in table_rows]
    rights = [
        all(isinstance(value, int | float | None) for value in column) for column in zip(*table_rows, strict=True)
    ]
    widths = [max(map(_longest_line, column)) for column in zip(columns, *cells, strict=True)]
    if (sys.stderr if err else sys.stdout).isatty():
        widths = _fit(widths, shutil.get_terminal_size().columns)
    return [line for row in ([*columns], *cells) for line in _lines(row, widths, rights)]


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print CSV with a header; None is an empty cell, and numbers have no separators."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    click.echo(text.getvalue(), nl=False)


def _fit(widths: Sequence[int], columns: int) -> list[int]:
    """Narrow the widest columns but the first until a line has room, or none is wider than the least width."""
    fitted = list(widths)
    while sum(fitted) + len(fitted) - 1 > columns:
        widest = max(range(1, len(fitted)), key=fitted.__getitem__, default=0)
        if widest == 0 or fitted[widest] <= _LEAST_WIDTH:
            break
        fitted[widest] -= 1
    return fitted


def _lines(cells: Sequence[str], widths: Sequence[int], rights: Sequence[bool]) -> Iterator[str]:
    """Yield the lines of one row; a cell takes several where it has line breaks or is wider than its column."""
    wrapped = [_wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
    for parts in zip_longest(*wrapped, fillvalue=""):
        padded = []
        for part, width, right in zip(parts, widths, rights, strict=True):
            blanks = " " * (width - text_width(part))
            padded.append(blanks + part if right else part + blanks)
        yield " ".join(padded).rstrip()


def _wrap(cell: str, width: int) -> list[str]:
    lines = []
    for line in cell.splitlines():
        lines += [line] if text_width(line) <= width else _broken(line, width)
    return lines


def _broken(line: str, width: int) -> list[str]:
    """Break a line at blanks; where pieces with wide characters are still too long, anywhere."""
    pieces = []
    for piece in textwrap.wrap(line, width):
        while text_width(piece) > width:
            fitting = max(1, sum(total <= width for total in accumulate(map(text_width, piece))))
            pieces.append(piece[:fitting])
            piece = piece[fitting:]
        pieces.append(piece)
    return pieces


def _longest_line(cell: str) -> int:
    return max(map(text_width, cell.splitlines()), default=0)


def text_width(text: str) -> int:
    """Count the columns of a text on a terminal: East Asian wide characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def print_facts(facts: Mapping[str, object]) -> None:
    """Print one fact per line, without those that are None."""
    entries = {name: value for name, value in facts.items() if value is not None}
    width = max(map(len, entries), default=0)
    for name, value in entries.items():
        click.echo(f"{name:<{width}}  {_cell(value)}")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else escape_controls(str(value))


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


def moment(time: datetime | None) -> str | None:
    """Format a time of the server (UTC) in the user's own time zone."""
    return None if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration_text(duration: timedelta | None) -> str | None:
    """Format a duration in its two largest units: ``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if duration is None:
        return None
    minutes, seconds = divmod(round(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"

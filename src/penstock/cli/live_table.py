"""A table that is drawn again and again while what it shows changes."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence

import click

from penstock.cli.output import table_lines

POLL_SECONDS = 1.0
_REPEAT_SECONDS = 10.0


class LiveTable:
    """A table that replaces the one before it on a terminal; elsewhere printed when a state changes, or sometimes.

    The first column names the thing; ``state`` is the number of the column whose change counts.
    """

    def __init__(self, state: int = 2, *, err: bool = False) -> None:
        self._err = err
        self._state = state
        self._lines = 0
        self._states: list[object] = []
        self._printed_at = 0.0

    def draw(self, columns: Sequence[str], rows: Sequence[Sequence[object]], *, is_last: bool) -> None:
        if not rows:
            return
        lines = "\n".join(table_lines(columns, rows, err=self._err)).split("\n")
        if (sys.stderr if self._err else sys.stdout).isatty():
            most = shutil.get_terminal_size().lines - 1
            if len(lines) > most and not is_last:  # what has left the screen at its top can't be drawn again
                lines = [*lines[: most - 1], f"… and {len(lines) - most + 1:,} more"]
            if self._lines:
                click.echo(f"\x1b[{self._lines}F\x1b[J", nl=False, err=self._err)
            click.echo("\n".join(lines), err=self._err)
            self._lines = len(lines)
            return
        states = [(row[0], row[self._state]) for row in rows]
        if states != self._states or is_last or time.monotonic() > self._printed_at + _REPEAT_SECONDS:
            click.echo("\n".join([*([""] if self._states else []), *lines]), err=self._err)
            self._states, self._printed_at = list(states), time.monotonic()

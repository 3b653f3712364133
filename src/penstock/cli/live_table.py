"""A table that is drawn again and again while what it shows changes."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from itertools import accumulate

import click

from penstock.cli.output import table_lines, text_width

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
        lines = table_lines(columns, rows, err=self._err)
        if (sys.stderr if self._err else sys.stdout).isatty():
            size = shutil.get_terminal_size()
            # The terminal breaks lines that are longer than it is wide.
            heights = [max(1, -(-text_width(line) // size.columns)) for line in lines]
            most = size.lines - 1
            if sum(heights) > most and not is_last:  # what has left the screen at its top can't be drawn again
                shown = sum(total < most for total in accumulate(heights))
                lines = [*lines[:shown], f"… and {len(lines) - shown:,} more"]
                heights = [*heights[:shown], 1]
            if self._lines:
                click.echo(f"\x1b[{self._lines}F\x1b[J", nl=False, err=self._err)
            click.echo("\n".join(lines), err=self._err)
            self._lines = sum(heights)
            return
        states = [(row[0], row[self._state]) for row in rows]
        if states != self._states or is_last or time.monotonic() > self._printed_at + _REPEAT_SECONDS:
            click.echo("\n".join([*([""] if self._states else []), *lines]), err=self._err)
            self._states, self._printed_at = list(states), time.monotonic()

"""Progress of a writer, for callbacks and for a progress bar on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from time import monotonic

import click

from penstock.domain.sizes import size_text

__all__ = ["ProgressBar", "ProgressCallback", "WriteProgress"]

_REDRAW_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteProgress:
    """Progress of a writer.

    ``rows`` are accepted, of ``total_rows`` if that is known; ``files`` with ``file_bytes`` in total are complete
    (and uploaded, for a remote writer).
    """

    rows: int
    files: int
    file_bytes: int
    total_rows: int | None = None


ProgressCallback = Callable[[WriteProgress], None]


class ProgressBar:
    """A :data:`ProgressCallback` that draws a progress bar on the standard error; must be closed.

    On anything but a terminal only the last state is printed.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._is_terminal = sys.stderr.isatty()
        self._last: WriteProgress | None = None
        self._drawn_at = 0.0
        # Of unknown length until the first call: click then moves the bar back and forth.
        self._bar = click.progressbar(
            repeat(None), label=title, file=sys.stderr, width=20, show_pos=True, item_show_func=lambda _: self._text()
        )

    def __call__(self, progress: WriteProgress) -> None:
        self._last = progress
        self._bar.length = progress.total_rows
        if self._is_terminal and monotonic() >= self._drawn_at + _REDRAW_SECONDS:
            self._draw(progress)

    def close(self) -> None:
        if self._last is None:
            return
        if self._is_terminal:
            self._draw(self._last)
            self._bar.render_finish()
        else:
            click.echo(f"{self._title} {self._last.rows:,} rows, {self._text()}", err=True)

    def _draw(self, progress: WriteProgress) -> None:
        self._drawn_at = monotonic()
        self._bar.update(progress.rows - self._bar.pos)
        self._bar.render_progress()  # an update without a step doesn't draw

    def _text(self) -> str:
        assert self._last is not None
        return f"{self._last.files:,} files, {size_text(self._last.file_bytes)}"

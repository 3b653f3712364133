"""Progress bars: of an import job, of an export, and of an index."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TextIO

import click

from penstock.domain.sizes import size_text
from penstock.sdk.exports import Export
from penstock.sdk.indexes import IndexDescription
from penstock.sdk.job_meter import JobMeter
from penstock.sdk.jobs import ImportJob
from penstock.sdk.uploads import UploadProgress

__all__ = ["export_bar", "index_bar", "index_text", "progress_bar", "upload_bar"]

_WIDE_TERMINAL, _WIDE_BAR, _NARROW_BAR = 120, 30, 12
_COLUMNS_BESIDE_BAR = 25
"""Stage, brackets, percent and blanks."""


@contextmanager
def progress_bar(stream: TextIO | None = None) -> Iterator[Callable[[ImportJob], None]]:
    """Draw a bar while the block runs; call the yielded function with each new state of the job.

    It shows stage, percent, files, rows, bytes, rates and the range of the time left. On anything but a terminal only
    the last state is printed.

    Args:
        stream: where to draw; None for the standard output.
    """
    meter = JobMeter()

    def line(job: ImportJob) -> tuple[str, int, str]:
        reading = meter.observe(job)
        return job.stage or job.state, max(job.progress, int(100 * reading.share)), reading.text()

    with _bar(stream or sys.stdout) as draw:
        yield lambda job: draw(*line(job))


@contextmanager
def export_bar(stream: TextIO | None = None) -> Iterator[Callable[[Export], None]]:
    """Draw a bar of an export while the block runs; on anything but a terminal print the last state."""
    started = monotonic()
    with _bar(stream or sys.stdout) as draw:
        yield lambda export: draw(
            export.state,
            export.progress,
            f"{export.rows:,} rows, {size_text(export.size)}, {monotonic() - started:,.0f} s so far",
        )


@contextmanager
def index_bar(stream: TextIO | None = None) -> Iterator[Callable[[IndexDescription], None]]:
    """Draw a bar of the rows in an index while the block runs; on anything but a terminal print the last state."""
    started = monotonic()
    with _bar(stream or sys.stdout) as draw:
        yield lambda index: draw(
            index.state, index.progress, f"{index_text(index)}, {monotonic() - started:,.0f} s so far"
        )


@contextmanager
def upload_bar(stream: TextIO | None = None) -> Iterator[Callable[[UploadProgress], None]]:
    """Draw a bar of an upload while the block runs; on anything but a terminal print the last state."""
    started = monotonic()

    def text(state: UploadProgress) -> str:
        name = state.file.rpartition("/")[2]
        if state.stage == "hashing":
            return f"{megabytes(state.hashed)} MB hashed, {name}"
        sent = f"{megabytes(state.done)} of {megabytes(state.size)} MB"
        rate = state.done / max(monotonic() - started, 1e-3)
        return f"{sent}, {megabytes(int(rate))} MB/s, {name}"

    def megabytes(size: int) -> str:
        return f"{size / 1e6:,.1f}"

    with _bar(stream or sys.stdout) as draw:
        yield lambda state: draw(state.stage, int(100 * state.done / max(state.size, 1)), text(state))


def index_text(index: IndexDescription) -> str:
    """Format how many rows are in an index: built, waiting, or compared exactly."""
    if index.built_rows is None or index.pending_rows:
        done = index.rows - index.pending_rows if index.built_rows is None else index.built_rows
        return f"{done:,} of {index.rows:,} rows built"
    exact = index.rows - index.built_rows
    if not exact:
        return f"{index.rows:,} rows built"
    if not index.built_rows:
        return f"{index.rows:,} rows, all searched exactly"
    return f"{index.built_rows:,} of {index.rows:,} rows built, {exact:,} searched exactly"


@contextmanager
def _bar(stream: TextIO) -> Iterator[Callable[[str, int, str], None]]:
    """Yield the function that draws a label, a percentage and a text."""
    if not stream.isatty():
        last = ""

        def keep(label: str, percent: int, text: str) -> None:
            nonlocal last
            last = f"{label} {percent} %{', ' if text else ''}{text}"

        try:
            yield keep
        finally:
            if last:
                click.echo(last, file=stream)
        return

    columns = shutil.get_terminal_size().columns
    width = _WIDE_BAR if columns >= _WIDE_TERMINAL else _NARROW_BAR

    def shortened(text: str | None) -> str:
        """The parts that have room, each of them whole: half a number would be another number."""
        parts = (text or "").split(", ")
        while parts and len(", ".join(parts)) > columns - width - _COLUMNS_BESIDE_BAR:
            parts.pop()
        return ", ".join(parts)

    with click.progressbar(
        length=100,
        label="Pending",
        file=stream,
        width=width,
        show_eta=False,
        show_percent=True,
        item_show_func=shortened,
    ) as bar:

        def draw(label: str, percent: int, text: str) -> None:
            bar.label = label
            bar.update(max(0, percent - bar.pos), text)
            bar.render_progress()  # an update without a step doesn't draw

        yield draw

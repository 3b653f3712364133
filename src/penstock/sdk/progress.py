"""A progress bar for one import job: stage, percent, time left, rows, bytes, rows per second."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TextIO

import click

from penstock.domain.sizes import size_text
from penstock.sdk.jobs import ImportJob

__all__ = ["progress_bar", "progress_text"]

_COLUMNS_BESIDE_TEXT = 40
"""Stage, brackets, percent and time left."""


@contextmanager
def progress_bar(stream: TextIO | None = None) -> Iterator[Callable[[ImportJob], None]]:
    """Draw a bar while the block runs; call the yielded function with each new state of the job.

    On anything but a terminal only the last state is printed.

    Args:
        stream: where to draw; None for the standard output.
    """
    stream = stream or sys.stdout
    started = monotonic()
    if not stream.isatty():
        yield from _last_state(stream, started)
        return

    def details(job: ImportJob | None) -> str:
        width = shutil.get_terminal_size().columns - _COLUMNS_BESIDE_TEXT
        return "" if job is None else progress_text(job, monotonic() - started)[: max(0, width)]

    with click.progressbar(length=100, label="Pending", file=stream, width=0, item_show_func=details) as bar:

        def show(job: ImportJob) -> None:
            bar.label = job.stage or job.state
            bar.update(max(0, job.progress - bar.pos), job)
            bar.render_progress()  # an update without a step doesn't draw

        yield show


def _last_state(stream: TextIO, started: float) -> Iterator[Callable[[ImportJob], None]]:
    jobs: list[ImportJob] = []
    try:
        yield jobs.append
    finally:
        if jobs:
            job = jobs[-1]
            text = progress_text(job, monotonic() - started)
            click.echo(f"{job.stage or job.state} {job.progress} %{', ' if text else ''}{text}", file=stream)


def progress_text(job: ImportJob, seconds: float) -> str:
    """Format rows, bytes and rate; ``seconds`` is how long the job has been watched."""
    parts = []
    if job.rows:
        total = f"/{job.total_rows:,}" if job.total_rows and job.total_rows != job.rows else ""
        parts.append(f"{job.rows:,}{total} rows")
    if job.size:
        read = "" if job.is_finished else f"{size_text(job.size * job.progress // 100)}/"
        parts.append(f"{read}{size_text(job.size)}")
    if job.rows and seconds >= 1:
        parts.append(f"{job.rows / seconds:,.0f} rows/s")
    return ", ".join(parts)

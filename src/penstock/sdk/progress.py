"""A progress bar for one import job: stage, percent, rows, bytes, rows per second, time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from rich.filesize import decimal
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from penstock.sdk.jobs import ImportJob

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["progress_bar", "progress_text"]


@contextmanager
def progress_bar(console: Console | None = None) -> Iterator[Callable[[ImportJob], None]]:
    """Draw a bar while the block runs; call the yielded function with each new state of the job.

    On anything but a terminal only the last state is printed.
    """
    started = monotonic()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("Pending", total=100, told="")

        def show(job: ImportJob) -> None:
            text = progress_text(job, monotonic() - started)
            bar.update(task, completed=job.progress, description=job.stage or job.state, told=text)

        yield show


def progress_text(job: ImportJob, seconds: float) -> str:
    """Format rows, bytes and rate; ``seconds`` is how long the job has been watched."""
    parts = []
    if job.rows:
        total = f"/{job.total_rows:,}" if job.total_rows and job.total_rows != job.rows else ""
        parts.append(f"{job.rows:,}{total} rows")
    if job.size:
        parts.append(
            decimal(job.size) if job.is_finished else f"{decimal(job.size * job.progress // 100)}/{decimal(job.size)}"
        )
    if job.rows and seconds >= 1:
        parts.append(f"{job.rows / seconds:,.0f} rows/s")
    return ", ".join(parts)

"""Progress of a writer, for callbacks and for a progress bar on the terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

__all__ = ["ProgressBar", "ProgressCallback", "WriteProgress"]


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
    """A :data:`ProgressCallback` that draws a progress bar on the terminal; must be closed."""

    def __init__(self, title: str) -> None:
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("rows, {task.fields[files]} files,"),
            TextColumn("{task.fields[size]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task(title, total=None, files=0, size="0 MB")
        self._bar.start()

    def __call__(self, progress: WriteProgress) -> None:
        self._bar.update(
            self._task,
            completed=progress.rows,
            total=progress.total_rows,
            files=progress.files,
            size=f"{progress.file_bytes / 1e6:,.1f} MB",
        )

    def close(self) -> None:
        self._bar.stop()

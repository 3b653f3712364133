"""How far a writer is, for callbacks and for a bar in the terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

__all__ = ["ProgressBar", "ProgressCallback", "WriteProgress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteProgress:
    """What a writer has done so far.

    ``rows`` were accepted, of ``total_rows`` where that is known; ``files`` with ``file_bytes`` in all are complete
    (and uploaded, for a remote writer).
    """

    rows: int
    files: int
    file_bytes: int
    total_rows: int | None = None


ProgressCallback = Callable[[WriteProgress], None]


class ProgressBar:
    """A :data:`ProgressCallback` that draws a bar on the terminal. Close it."""

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

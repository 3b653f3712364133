"""The files that contenders load: made once, kept under ``.cache`` and used again."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.files import WRITERS, write_parquet

__all__ = ["CACHE", "FILES", "DataSet"]

CACHE = Path(__file__).parents[2] / ".cache" / "benchmarks"
FILES = CACHE / "files"
WARM_ROWS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """``rows`` vectors of ``dim`` float32 values in a format; several ``files`` are Parquet files in one folder.

    ``keep`` is False for what is too large to stay on the disk between runs.
    """

    format: str
    rows: int
    dim: int
    files: int = 1
    keep: bool = True

    @property
    def warm(self) -> DataSet:
        """A little of the same kind, to warm up with."""
        return replace(self, rows=WARM_ROWS, files=1, keep=True)

    @property
    def path(self) -> Path:
        """A file; a folder for NumPy and for several files."""
        parent = FILES / f"{self.format}-{self.rows}x{self.dim}-in-{self.files}"
        is_folder = self.format == "npy" or self.files > 1
        return parent / ("data" if is_folder else f"data.{self.format}")

    @property
    def bytes(self) -> int:
        parts = self.path.iterdir() if self.path.is_dir() else [self.path]
        return sum(part.stat().st_size for part in parts)

    def make(self) -> None:
        """Write the files unless they are there; a run that was broken off leaves none that look whole."""
        if self.path.exists():
            return
        folder = self.path.parent
        draft = folder.with_name(f"{folder.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        target = draft / self.path.name
        if self.files == 1:
            WRITERS[self.format](target, self.rows, self.dim)
        else:
            self._make_many(target)
        draft.rename(folder)

    def read(self) -> None:
        """Bring the files into the page cache, so that the first contender isn't the one who waits for the disk."""
        parts = self.path.iterdir() if self.path.is_dir() else [self.path]
        for part in parts:
            with part.open("rb", buffering=0) as file:
                while file.read(1 << 24):
                    pass

    def drop(self) -> None:
        shutil.rmtree(self.path.parent)

    def _make_many(self, folder: Path) -> None:
        folder.mkdir()
        for number in range(self.files):
            first, last = (self.rows * each // self.files for each in (number, number + 1))
            write_parquet(folder / f"{number:05}.parquet", last - first, self.dim, first)

"""What was measured, as it is kept in a JSON file, and the figures that follow from it."""

from __future__ import annotations

import datetime
import platform
import statistics
import sys
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel

from benchmarks.machine import processor

__all__ = ["EntryResult", "Results", "Run", "SectionResult", "Spread", "started_now"]


class Spread(BaseModel, frozen=True):
    """The median of some figures, with the least and the largest."""

    median: float
    least: float
    largest: float

    @classmethod
    def of(cls, figures: list[float]) -> Spread:
        return cls(median=statistics.median(figures), least=min(figures), largest=max(figures))


class Run(BaseModel, frozen=True):
    """One measurement; ``pair`` counts from 0, ``load_average`` is the machine's before it began."""

    pair: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    index_seconds: float | None = None
    index_cpu_seconds: float | None = None
    index_peak_bytes: int | None = None
    search_ms: float | None = None
    load_average: float


class EntryResult(BaseModel):
    """A contender's measurements in one section; ``bytes`` is the size of its files."""

    title: str
    does: str
    versions: dict[str, str]
    format: str
    rows: int
    dim: int
    files: int
    bytes: int
    runs: list[Run]

    @property
    def rows_per_second(self) -> Spread:
        return Spread.of([self.rows / run.seconds for run in self.runs])

    @property
    def bytes_per_second(self) -> Spread:
        return Spread.of([self.bytes / run.seconds for run in self.runs])

    def middle(self, name: str) -> float | None:
        """The median of a field of the runs, where they have it."""
        figures = [figure for run in self.runs if (figure := getattr(run, name)) is not None]
        return statistics.median(figures) if figures else None

    def times_as_fast_as(self, other: EntryResult) -> Spread | None:
        """Rows per second over the other's, pair by pair; None when they have no pair in common."""
        theirs = {run.pair: other.rows / run.seconds for run in other.runs}
        ratios = [self.rows / run.seconds / theirs[run.pair] for run in self.runs if run.pair in theirs]
        return Spread.of(ratios) if ratios else None


class SectionResult(BaseModel):
    """One section; sections of different runs may stand side by side in one file.

    ``disk`` is what writing to the disk took just before, ``tables`` what became of each contender's rows when they
    had been counted: both decide how much of the page cache is free for the next measurement.
    """

    name: str
    title: str
    date: str
    command: str
    machine: str
    disk: str = "not measured"
    tables: str = "deleted after each measurement"
    entries: dict[str, EntryResult]


class Results(BaseModel):
    """All sections, by name, in the order in which they are shown."""

    sections: dict[str, SectionResult] = {}

    @classmethod
    def read(cls, path: Path) -> Results:
        return cls.model_validate_json(path.read_text()) if path.exists() else cls()

    def add(self, section: SectionResult, order: list[str]) -> None:
        """Put a section in, in the place of an older one."""
        merged = self.sections | {section.name: section}
        self.sections = {name: merged[name] for name in order if name in merged}

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=1, exclude_none=True) + "\n")

    def entry(self, section: str, name: str) -> EntryResult | None:
        found = self.sections.get(section)
        return found.entries.get(name) if found else None


def started_now() -> dict[str, Any]:
    """What is noted of a section's run."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": " ".join(["python -m benchmarks.peers", *sys.argv[1:]]),
        "machine": (
            f"{processor()}, {psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
            f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
        ),
    }

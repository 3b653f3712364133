"""What a contender is, and what is measured of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.peers.data import DataSet
from benchmarks.peers.vector_sets import VectorSet
from benchmarks.processes import Usage

__all__ = [
    "Contender",
    "Outcome",
    "SearchOutcome",
    "SearchTask",
    "Searches",
    "Step",
    "Task",
    "measure_step",
    "partitions_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One measurement: load ``data``, working in the empty ``folder``, and build an index if ``index``."""

    data: DataSet
    folder: Path
    index: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a step took: seconds by the clock, processor seconds and the peak of memory (bytes) of all processes."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``load`` ends when every row counts; ``index`` comes after it; ``search_ms`` is a search's time after both."""

    load: Step
    index: Step | None = None
    search_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTask:
    """Load ``data`` in the empty ``folder``, index it, then search it, each kind of search for so many ``seconds``.

    ``index`` are the index and the search parameters in the contender's terms; its defaults if empty.
    """

    data: VectorSet
    folder: Path
    index: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Searches:
    """Searches of a kind: by so many ``callers`` at a time, with a filter that ``percent`` of the rows match.

    ``cpu_ms`` is the processor time of a search, of the server and the client together.
    """

    callers: int
    percent: int
    count: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    recall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOutcome:
    """``load`` begins with creating the collection, ``index`` ends when a search was answered.

    ``built`` is the index as the contender describes it.
    """

    load: Step
    index: Step
    built: str
    searches: tuple[Searches, ...]


class Contender(Protocol):
    """Somebody who takes files and makes rows of them.

    Attributes:
        title: the name in tables and charts.
        does: what is done for a row, and what isn't: checks, disk, index. A sentence.
        formats: which files it takes.
        indexes: whether it builds an index as a step of its own.
    """

    @property
    def title(self) -> str: ...

    @property
    def does(self) -> str: ...

    @property
    def formats(self) -> frozenset[str]: ...

    @property
    def indexes(self) -> bool: ...

    def versions(self) -> Mapping[str, str]:
        """The releases of what is measured, by package."""

    def measure(self, task: Task) -> Outcome:
        """Start afresh, warm up with a few rows, then load, with the clock running.

        Raises:
            RuntimeError: it failed, or its rows don't count what the files hold.
        """

    def measure_searches(self, task: SearchTask) -> SearchOutcome:
        """Start afresh, warm up with a few rows, load and index with the clock running, then search.

        Raises:
            RuntimeError: it failed, or its rows don't count what the files hold.
        """


def measure_step(act: Callable[[], int], rows: int, *pids: int) -> Step:
    """Time ``act``, which returns how many rows count after it; the processes ``pids`` and their children work.

    Raises:
        RuntimeError: there are not ``rows`` of them.
    """
    with Usage(*pids) as usage:
        start = time.perf_counter()
        counted = act()
        seconds = time.perf_counter() - start
    if counted != rows:
        raise RuntimeError(f"{counted} rows count, {rows} were given")
    return Step(seconds=seconds, cpu_seconds=usage.cpu_seconds, peak_bytes=usage.peak)


def partitions_of(rows: int) -> int:
    """The number of lists of an inverted-file index: the same for all, a list per 4,096 rows as Penstock has it."""
    return max(1, rows // 4096)

"""The worker tasks of a dry run: check a split as staging does, and look at files as other servers would."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.domain.check_report import Problem
from penstock.domain.import_options import OnError
from penstock.domain.jobs import JobWarning, Split, merge_warnings
from penstock.engines.base import Engine
from penstock.engines.values import Staged, Table
from penstock.errors import PenstockError, TaskCancelled, Transient
from penstock.imports.dry_run.key_hashes import Hashes, hash_keys
from penstock.imports.dry_run.report import Problems, problem_of_error
from penstock.imports.good_rows import ConformedBatch
from penstock.imports.memory_budget import too_large
from penstock.imports.tasks import conformed
from penstock.readers.unknown_columns import UnknownColumns
from penstock.rules.bad_rows import Rows
from penstock.rules.rule import Array
from penstock.runners.base import TaskContext
from penstock.sources.base import Location

SAMPLE_BYTES = 16 << 20
"""Rows of the first split that are staged and discarded, to measure the engine."""
_SAMPLED_KEYS = 50
"""Keys of a split that are looked up in the collection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckTask:
    """A split to check. ``seed`` chooses the hash function of keys. With an ``engine`` the first rows are staged, to
    measure it, and discarded."""

    table: Table
    split: Split
    locations: Mapping[int, Sequence[Location]]
    partitions: Sequence[int]
    batch_bytes: int
    options: Mapping[str, str]
    seed: int
    unknown_columns: UnknownColumns = UnknownColumns.DYNAMIC
    memory_limit: int | None = None
    job_id: int = 0
    engine: Engine | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a sample took in the engine: ``rows`` staged in ``seconds`` to ``size`` bytes."""

    rows: int
    seconds: float
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitNote:
    """What a dry run keeps of a split: its bad rows, its problems, a few of its keys, and the time of its worker."""

    bad_rows: int = 0
    problems: Sequence[Problem] = ()
    keys: Sequence[int | str] = ()
    seconds: float = 0.0
    measured: Measured | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "bad_rows": self.bad_rows,
            "problems": [problem.to_json() for problem in self.problems],
            "keys": list(self.keys),
            "seconds": self.seconds,
            "measured": None if self.measured is None else asdict(self.measured),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SplitNote:
        return cls(
            **{
                **data,
                "problems": [Problem.from_json(problem) for problem in data["problems"]],
                "measured": None if data["measured"] is None else Measured(**data["measured"]),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The result of checking a split.

    ``rows`` are per file range, bad ones included. ``hashes`` are those of the keys of its good rows, ``key_rows``
    the rows in the split that these are of.
    """

    rows: Sequence[int]
    note: SplitNote
    warnings: Sequence[JobWarning]
    hashes: Hashes
    key_rows: npt.NDArray[np.uint32]

    @classmethod
    def failed(cls, split: Split, problems: Sequence[Problem]) -> CheckResult:
        """The result of a split that could not be read."""
        return cls(
            rows=[0] * len(split.ranges),
            note=SplitNote(problems=problems),
            warnings=(),
            hashes=np.zeros((1, 0), np.uint64),
            key_rows=np.zeros(0, np.uint32),
        )


@dataclass(slots=True)
class _Keys:
    """Collects the hashes of the rows' keys."""

    name: str
    seed: int
    hashes: list[Hashes] = field(default_factory=list)
    rows: list[npt.NDArray[np.uint32]] = field(default_factory=list)
    sample: list[int | str] = field(default_factory=list)

    def add(self, batch: pa.RecordBatch, rows: npt.NDArray[np.uint32]) -> None:
        keys = batch.column(self.name)
        self.hashes.append(hash_keys(keys, self.seed))
        self.rows.append(rows)
        step = max(1, len(keys) // _SAMPLED_KEYS)
        chosen: Array = keys.take(pa.array(range(0, len(keys), step)))
        self.sample += chosen.to_pylist()
        self.sample = self.sample[:: 1 + len(self.sample) // (4 * _SAMPLED_KEYS)]

    def result(self) -> tuple[Hashes, npt.NDArray[np.uint32], list[int | str]]:
        if not self.hashes:
            return np.zeros((1, 0), np.uint64), np.zeros(0, np.uint32), []
        step = max(1, len(self.sample) // _SAMPLED_KEYS)
        return np.concatenate(self.hashes, axis=1), np.concatenate(self.rows), self.sample[::step][:_SAMPLED_KEYS]


def check_split(task: CheckTask, context: TaskContext) -> CheckResult:
    """Read and check all rows of a split; nothing stays.

    An error of a file range as a whole ends that range, and the others are read.

    Raises:
        TaskCancelled, SourceUnavailable
    """
    began = time.monotonic()
    problems, warnings = Problems(), list[list[JobWarning]]()
    rows: list[int] = []
    schema = task.table.schema
    keys = None if schema.auto_id else _Keys(schema.primary.name, task.seed)
    sample = _Sample(task)
    read_bytes = read_rows = bad_rows = 0
    for number, file_range in enumerate(task.split.ranges):
        rows.append(0)
        name = " ".join(location.name for location in task.locations[file_range.file])
        try:
            for checked in conformed(task, file_range, 0, warnings):
                context.check()
                for reject in checked.rejects:
                    for error in reject.errors:
                        problems.add(problem_of_error(error.at(row=reject.row), name, number))
                if keys is not None:
                    keys.add(checked.batch, (read_rows + _good_rows(checked, rows[number])).astype(np.uint32))
                sample.add(checked.batch)
                bad_rows += len(checked.rejects)
                rows[number] += checked.row_count
                context.report(read_bytes + min(checked.bytes_read, file_range.size), read_rows + rows[number])
        except PenstockError as error:
            if isinstance(error, TaskCancelled | Transient):
                raise
            problems.add(problem_of_error(error, name, number))
        except MemoryError:
            problems.add(problem_of_error(too_large(name, task.memory_limit or 0), name))
        read_bytes += file_range.size
        read_rows += rows[number]
    hashes, key_rows, sampled = keys.result() if keys else (np.zeros((1, 0), np.uint64), np.zeros(0, np.uint32), [])
    seconds = time.monotonic() - began
    return CheckResult(
        rows=rows,
        note=SplitNote(
            bad_rows=bad_rows,
            problems=problems.list(),
            keys=sampled,
            seconds=seconds,
            measured=sample.measure(),
        ),
        warnings=merge_warnings(warnings),
        hashes=hashes,
        key_rows=key_rows,
    )


def _good_rows(checked: ConformedBatch, first: int) -> Rows:
    """The numbers of a batch's good rows in the file range, of which it begins with row ``first``."""
    rows = np.arange(first, first + checked.row_count)
    return np.delete(rows, [reject.row - first for reject in checked.rejects]) if checked.rejects else rows


def options_of_check(options: Mapping[str, str]) -> dict[str, str]:
    """The options of a check: bad rows are left out, to find all of them."""
    return {**options, "on_error": OnError.SKIP_ROW}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysTask:
    """Rows of a split whose keys are to be read, ascending."""

    check: CheckTask
    rows: Sequence[int]

    @property
    def memory_limit(self) -> int | None:
        return self.check.memory_limit


def read_keys(task: KeysTask, context: TaskContext) -> list[str]:
    """Read the keys of some rows, as text.

    Raises:
        DataError, SourceError, TaskCancelled: as :func:`check_split`; the rows were read once.
    """
    wanted, texts, before = deque(task.rows), list[str](), 0
    check = task.check
    name = check.table.schema.primary.name
    for file_range in check.split.ranges:
        count = 0
        for checked in conformed(check, file_range, 0, []):
            context.check()
            rows = before + _good_rows(checked, count)
            while wanted and len(rows) and wanted[0] <= rows[-1]:
                place = int(np.searchsorted(rows, wanted.popleft()))
                texts.append(str(checked.batch.column(name)[place].as_py()))
            if not wanted:
                return texts
            count += checked.row_count
        before += count
    return texts


class _Sample:
    """The first rows of the first split, for measuring the engine."""

    def __init__(self, task: CheckTask) -> None:
        self._task = task
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0
        self._wanted = task.engine is not None and task.split.ordinal == 0

    def add(self, batch: pa.RecordBatch) -> None:
        if self._wanted and self._bytes < SAMPLE_BYTES and batch.num_rows:
            self._batches.append(batch)
            self._bytes += batch.nbytes

    def measure(self) -> Measured | None:
        engine = self._task.engine
        if engine is None or not self._batches:
            return None
        began = time.monotonic()
        staged: Staged = engine.stage(self._task.table, self._task.job_id, iter(self._batches))
        engine.discard(self._task.table.id, [staged])
        return Measured(rows=staged.rows, seconds=time.monotonic() - began, size=staged.size)

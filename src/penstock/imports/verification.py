"""Verify a job after its commit: the rows of each file, a sample of keys and vectors, searches by sampled vectors.

The cost is bounded: a sample has at most :data:`MAX_ROWS` rows of at most :data:`MAX_FILES` files, and no rows are
read to count them. Everything here is picklable, and runs in a worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from penstock.domain.index import IndexSpec
from penstock.domain.jobs import FileState, ImportFile, Split
from penstock.engines.values import Staged
from penstock.filters.ast import Column, In
from penstock.imports.row_counts import FileRows, count_rows
from penstock.imports.self_hits import imported_vectors, search_by_own_vectors
from penstock.imports.tasks import StageTask, conformed, recorded_rows
from penstock.runners.base import TaskContext

MAX_ROWS, MAX_ROWS_OF_FILE, MAX_FILES = 1000, 100, 100
_MAX_COUNT_PROBLEMS = 20
_KEYS_OF_QUERY = 50
_MAX_FOUND = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyTask:
    """A job to verify. ``stage`` is the task of its staging, with the locations of all files, whose table is at the
    committed version or later; its split is replaced by those of ``splits``, each of which has staged its ``staged``.
    ``files`` are the job's.
    ``rows`` are those that it published, fewer than it read where rows with the same key are left out."""

    stage: StageTask
    splits: Sequence[Split]
    staged: Sequence[Staged]
    rows: int
    files: Sequence[ImportFile]
    specs: Sequence[IndexSpec]
    memory_limit: int | None = None

    @property
    def left_out(self) -> int:
        """Rows that it read and didn't publish."""
        return sum(split.rows for split in self.splits) - self.rows


def verify_job(task: VerifyTask, context: TaskContext) -> dict[str, Any]:
    """Verify a job, and describe the result as JSON.

    Raises:
        SourceError, DataError: a file can't be read any more, or has changed.
        StorageError, TaskCancelled
    """
    table, engine = task.stage.table, task.stage.engine
    counted = None if engine.maintainable is None else engine.maintainable.job_rows(table, task.stage.job_id)
    rows_of = count_rows(task.splits, task.staged, engine.maintainable, table, counted)
    chosen = _chosen_ranges(task, rows_of)
    for ordinal, (split, number) in chosen.items():
        context.check()
        rows_of[ordinal].recorded = recorded_rows(replace(task.stage, split=split), split.ranges[number])
    problems = []
    if counted not in (None, task.rows):
        problems.append(f"the job has {task.rows:,} rows, {counted:,} are in the collection")
    problems += _count_problems(task, rows_of)
    files, samples = [], []
    names = {file.ordinal: file.name for file in task.files}
    for ordinal, (split, number) in chosen.items():
        context.check()
        file: dict[str, Any] = {"fileName": names[ordinal], **rows_of[ordinal].to_json()}
        files.append(file | {"sampledRows": 0, "keysFound": 0, "vectorsEqual": 0})
        sample = _sample(task, split, number, MAX_ROWS // len(chosen))
        if sample is None:
            continue
        found, equal = _compare(task, sample)
        files[-1] |= {"sampledRows": len(sample), "keysFound": found, "vectorsEqual": equal}
        samples.append(sample)
        if found < len(sample):
            problems.append(
                f"file {names[ordinal]!r}: {len(sample) - found} of {len(sample)} sampled keys are missing"
            )
        elif equal + task.left_out < len(sample):  # of rows with the same key one is there
            problems.append(
                f"file {names[ordinal]!r}: the vectors of {len(sample) - equal} of {len(sample)} sampled rows differ"
            )
    searches = search_by_own_vectors(engine, table, samples, task.specs, context)
    problems += [search.problem for search in searches if search.problem is not None]
    return {
        "ok": not problems,
        "problems": problems,
        "readRows": sum(split.rows for split in task.splits),
        "countedRows": counted,
        "files": files,
        "searches": [search.to_json() for search in searches],
    }


def _count_problems(task: VerifyTask, rows_of: Mapping[int, FileRows]) -> list[str]:
    """The files whose rows don't fit, the first ones in words."""
    problems = [
        problem
        for file in task.files
        if file.state is not FileState.FAILED and file.ordinal in rows_of
        for problem in rows_of[file.ordinal].problems(file.name, leaves_out=task.left_out > 0)
    ]
    more = len(problems) - _MAX_COUNT_PROBLEMS
    return [*problems[:_MAX_COUNT_PROBLEMS], f"{more:,} more files with other counts"] if more > 0 else problems


def _chosen_ranges(task: VerifyTask, rows_of: Mapping[int, FileRows]) -> dict[int, tuple[Split, int]]:
    """A range of each file to look into, with rows if any has; files are chosen evenly, without those left out."""
    left_out = {file.ordinal for file in task.files if file.state is FileState.FAILED}
    ordinals = sorted(rows_of.keys() - left_out)
    chosen = set(ordinals[:: max(1, -(-len(ordinals) // MAX_FILES))])
    ranges: dict[int, tuple[Split, int]] = {}
    for split in task.splits:
        for number, file_range in enumerate(split.ranges):
            if file_range.file not in chosen:
                continue
            known = ranges.get(file_range.file)
            if known is None or (file_range.rows and not known[0].ranges[known[1]].rows):
                ranges[file_range.file] = (split, number)
    return dict(sorted(ranges.items()))


def _sample(task: VerifyTask, split: Split, number: int, rows: int) -> pa.RecordBatch | None:
    """Rows of a range, read again: spread over its first batch. None if it has none."""
    if not split.ranges[number].rows:
        return None
    row_offset = sum(file_range.numbered_rows for file_range in split.ranges[:number])
    for result in conformed(replace(task.stage, split=split), split.ranges[number], row_offset, []):
        if count := len(result.batch):
            places = np.linspace(0, count - 1, min(max(1, rows), MAX_ROWS_OF_FILE, count)).astype(np.int64)
            return result.batch.take(np.unique(places))
    return None


def _compare(task: VerifyTask, sample: pa.RecordBatch) -> tuple[int, int]:
    """How many sampled rows are found by their key, and how many of them with equal vectors."""
    table = task.stage.table
    key, names = table.schema.primary, [field.name for field in imported_vectors(table.schema)]
    keys_found = equal = 0
    for start in range(0, len(sample), _KEYS_OF_QUERY):
        part = sample.slice(start, _KEYS_OF_QUERY)
        keys: list[Any] = part.column(key.name).to_pylist()
        condition = In(Column(key.name, key.type), tuple(keys))
        found = task.stage.engine.query(table, filter=condition, columns=names, limit=_MAX_FOUND).combine_chunks()
        places: dict[Any, list[int]] = {}
        for place, value in enumerate(found.column(key.name).to_pylist()):
            places.setdefault(value, []).append(place)
        columns = [(part.column(name), found.column(name).combine_chunks()) for name in names]
        for number, value in enumerate(keys):
            candidates = places.get(value, [])
            keys_found += bool(candidates)
            # Earlier imports may have stored other rows under the same key.
            equal += any(
                all(ours.slice(number, 1).equals(theirs.slice(place, 1)) for ours, theirs in columns)
                for place in candidates
            )
    return keys_found, equal

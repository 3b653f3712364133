"""Verify a job after its commit: rows, a sample of keys and vectors, and whether searches find the sampled vectors.

The cost is bounded: a sample has at most :data:`MAX_ROWS` rows of at most :data:`MAX_FILES` files. Everything here is
picklable, and runs in a worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.domain.index import IndexSpec, Metric
from penstock.domain.jobs import ImportFile, Split
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.values import SearchRequest
from penstock.filters.ast import Column, In
from penstock.imports.tasks import StageTask, conformed
from penstock.runners.base import TaskContext

MAX_ROWS, MAX_ROWS_OF_FILE, MAX_FILES = 1000, 100, 100
_MAX_SEARCHES = 20
_NEAREST = 10
_KEYS_OF_QUERY = 50
_MAX_FOUND = 2000
_MIN_HIT_RATE = 0.9
"""A smaller share of sampled vectors among their own nearest ones is reported as a problem."""
_SAME = 1e-5
"""Difference of scores, relative, up to which they are those of the same vector: sums of 32-bit numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyTask:
    """A job to verify. ``stage`` is a task of its staging, whose table is at the committed version or later; its
    split is replaced by those of ``splits``. ``files`` are the job's. ``rows`` are those that it published,
    fewer than it read where rows with the same key are left out."""

    stage: StageTask
    splits: Sequence[Split]
    rows: int
    files: Sequence[ImportFile]
    specs: Sequence[IndexSpec]
    memory_limit: int | None = None


def verify_job(task: VerifyTask, context: TaskContext) -> dict[str, Any]:
    """Verify a job, and describe the result as JSON.

    Raises:
        SourceError, DataError: a file can't be read any more, or has changed.
        StorageError, TaskCancelled
    """
    table, engine = task.stage.table, task.stage.engine
    maintainable = engine.maintainable
    counted = None if maintainable is None else maintainable.job_rows(table, task.stage.job_id)
    left_out = sum(split.rows for split in task.splits) - task.rows
    problems = []
    if counted not in (None, task.rows):
        problems.append(f"the job has {task.rows:,} rows, {counted:,} are in the collection")
    files, batches = [], []
    for file, sample in _samples(task, context):
        keys_found, equal = _compare(task, sample)
        files.append(
            {
                "fileName": file.name,
                "rows": file.rows,
                "sampledRows": len(sample),
                "keysFound": keys_found,
                "vectorsEqual": equal,
            }
        )
        if keys_found < len(sample):
            problems.append(
                f"file {file.name!r}: {len(sample) - keys_found} of {len(sample)} sampled keys are missing"
            )
        elif equal + left_out < len(sample):  # of rows with the same key one is there
            problems.append(
                f"file {file.name!r}: the vectors of {len(sample) - equal} of {len(sample)} sampled rows differ"
            )
        batches.append(sample)
    searches = _searches(task, batches, context)
    for search in searches:
        if search["searched"] and search["hits"] < _MIN_HIT_RATE * search["searched"]:
            problems.append(
                f"field {search['fieldName']!r}: {search['hits']} of {search['searched']} searches by a sampled "
                f"vector have its row among the {_NEAREST} nearest"
            )
    return {
        "ok": not problems,
        "problems": problems,
        "readRows": sum(split.rows for split in task.splits),
        "countedRows": counted,
        "files": files,
        "searches": searches,
    }


def _samples(task: VerifyTask, context: TaskContext) -> Iterator[tuple[ImportFile, pa.RecordBatch]]:
    """Rows of the files, read again: spread over the first batch of a range of each."""
    ranges: dict[int, tuple[Split, int]] = {}
    for split in task.splits:
        for number, file_range in enumerate(split.ranges):
            if file_range.rows:
                ranges.setdefault(file_range.file, (split, number))
    ordinals = sorted(ranges)
    step = max(1, -(-len(ordinals) // MAX_FILES))
    chosen = ordinals[::step]
    rows = max(1, min(MAX_ROWS_OF_FILE, MAX_ROWS // max(1, len(chosen))))
    by_ordinal = {file.ordinal: file for file in task.files}
    for ordinal in chosen:
        context.check()
        split, number = ranges[ordinal]
        row_offset = sum(file_range.rows for file_range in split.ranges[:number])
        stage = replace(task.stage, split=split)
        for result in conformed(stage, split.ranges[number], row_offset, []):
            batch = result.batch
            if len(batch):
                places = np.unique(np.linspace(0, len(batch) - 1, min(rows, len(batch))).astype(np.int64))
                yield by_ordinal[ordinal], batch.take(places)
                break


def _vectors(schema: CollectionSchema) -> list[Field]:
    return [field for field in schema.vectors if not field.function_output]


def _compare(task: VerifyTask, sample: pa.RecordBatch) -> tuple[int, int]:
    """How many sampled rows are found by their key, and how many of them with equal vectors."""
    table = task.stage.table
    key, names = table.schema.primary, [field.name for field in _vectors(table.schema)]
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


def _searches(task: VerifyTask, samples: Sequence[pa.RecordBatch], context: TaskContext) -> list[dict[str, Any]]:
    """Search by sampled vectors; by inner products a vector is not its own nearest one, so these are left out."""
    if not samples:
        return []
    metrics = {spec.field_name: spec.metric for spec in task.specs if spec.metric is not None}
    rows = pa.Table.from_batches(samples).combine_chunks()
    results = []
    for field in _vectors(task.stage.table.schema):
        default = Metric.HAMMING if field.type is DataType.BINARY_VECTOR else Metric.COSINE
        metric = metrics.get(field.name, default)
        if field.type is DataType.SPARSE_FLOAT_VECTOR or metric is Metric.IP:
            continue
        context.check()
        results.append(_search(task, field, metric, rows))
    return results


def _is_tie(scores: npt.NDArray[np.float32]) -> bool:
    """Whether so many rows have the same vector that any of them are the nearest."""
    return len(scores) == _NEAREST and bool(np.ptp(scores) <= _SAME * max(1.0, float(np.abs(scores[0]))))


def _search(task: VerifyTask, field: Field, metric: Metric, rows: pa.Table) -> dict[str, Any]:
    table, key = task.stage.table, task.stage.table.schema.primary.name
    column = rows.column(field.name).combine_chunks()
    present = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    places = np.unique(present[np.linspace(0, len(present) - 1, min(_MAX_SEARCHES, len(present))).astype(np.int64)])
    values: Any = column.take(places)
    dtype = np.uint8 if field.type is DataType.BINARY_VECTOR else np.float32
    queries = values.flatten().to_numpy(zero_copy_only=False).reshape(-1, field.width).astype(dtype)
    if metric is Metric.COSINE:  # undefined for zero vectors
        is_defined = np.any(queries != 0, axis=1)
        queries, places = queries[is_defined], places[is_defined]
    keys = rows.column(key).take(places).to_pylist()
    request = SearchRequest(
        field_name=field.name, queries=np.ascontiguousarray(queries), metric=metric, limit=_NEAREST
    )
    answers = task.stage.engine.search(table, request) if len(keys) else []
    hits = sum(
        value in answer.rows.column(key).to_pylist() or _is_tie(answer.scores)
        for value, answer in zip(keys, answers, strict=True)
    )
    return {"fieldName": field.name, "metricType": metric.value, "searched": len(keys), "hits": hits}

"""Search by vectors of rows that a job has imported, and count the searches that find what they have to find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.domain.index import IndexSpec, Metric
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.base import Engine
from penstock.engines.values import QueryHits, SearchRequest, Table
from penstock.runners.base import TaskContext

NEAREST = 10
_MAX_SEARCHES = 20
_MIN_HIT_RATE = 0.9
"""A smaller share of hits is reported as a problem: an index finds nearly all of the nearest rows, not each."""
_SAME = 1e-5
"""Relative difference of scores up to which they count as equal: sums of 32-bit numbers."""
_DEFAULT_METRICS = {DataType.BINARY_VECTOR: Metric.HAMMING, DataType.SPARSE_FLOAT_VECTOR: Metric.IP}


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfHits:
    """Searches of one field, each by the vector of a row, and how many of them were hits.

    A hit has the row among its results, or as many results as asked for that are all at least as near to the vector
    as the row is itself. The latter is for rows that share a vector, and for inner products: a longer vector of a
    similar direction has a greater one with a vector than this has with itself.
    """

    field: str
    metric: Metric
    searched: int
    hits: int

    @property
    def problem(self) -> str | None:
        if self.hits >= _MIN_HIT_RATE * self.searched:
            return None
        return (
            f"field {self.field!r}: {self.hits} of {self.searched} searches by a sampled vector find its row, or "
            f"{NEAREST} as near"
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "fieldName": self.field,
            "metricType": self.metric.value,
            "searched": self.searched,
            "hits": self.hits,
        }


def imported_vectors(schema: CollectionSchema) -> list[Field]:
    """The vector fields whose values come from files."""
    return [field for field in schema.vectors if not field.function_output]


def search_by_own_vectors(
    engine: Engine,
    table: Table,
    samples: Sequence[pa.RecordBatch],
    specs: Sequence[IndexSpec],
    context: TaskContext,
) -> list[SelfHits]:
    """Search each vector field by some of the sampled rows, with the metric of its index."""
    if not samples:
        return []
    metrics = {spec.field_name: spec.metric for spec in specs if spec.metric is not None}
    rows = pa.Table.from_batches(samples).combine_chunks()
    found = []
    for field in imported_vectors(table.schema):
        context.check()
        metric = metrics.get(field.name) or _DEFAULT_METRICS.get(field.type, Metric.COSINE)
        found.append(_search(engine, table, field, metric, rows))
    return found


def _search(engine: Engine, table: Table, field: Field, metric: Metric, rows: pa.Table) -> SelfHits:
    column: Any = rows.column(field.name).combine_chunks()
    present = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    places = np.unique(present[np.linspace(0, len(present) - 1, min(_MAX_SEARCHES, len(present))).astype(np.int64)])
    queries, own = _queries(column.take(places), field, metric)
    # No vector is near to these: the cosine of zero vectors is undefined, and an empty sparse one shares no index.
    has_score = ~np.isnan(own)
    queries = queries[has_score] if isinstance(queries, np.ndarray) else [q for q in queries if q]
    places, own = places[has_score], own[has_score]
    key = table.schema.primary.name
    keys = rows.column(key).take(places).to_pylist()
    request = SearchRequest(field_name=field.name, queries=queries, metric=metric, limit=NEAREST)
    answers = engine.search(table, request) if len(keys) else []
    hits = sum(
        value in answer.rows.column(key).to_pylist() or _are_as_near(answer, score, metric)
        for value, score, answer in zip(keys, own.tolist(), answers, strict=True)
    )
    return SelfHits(field=field.name, metric=metric, searched=len(keys), hits=hits)


def _queries(
    vectors: Any, field: Field, metric: Metric
) -> tuple[npt.NDArray[Any] | Sequence[Mapping[int, float]], npt.NDArray[np.float64]]:
    """The vectors as a search takes them, and the score of each with itself; NaN where it has none."""
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        sparse = [dict(zip(vector["indices"], vector["values"], strict=True)) for vector in vectors.to_pylist()]
        return sparse, np.array([sum(v * v for v in q.values()) if q else np.nan for q in sparse], np.float64)
    dtype = np.uint8 if field.type is DataType.BINARY_VECTOR else np.float32
    values = vectors.flatten().to_numpy(zero_copy_only=False)
    queries = np.ascontiguousarray(values.reshape(-1, field.width).astype(dtype))
    squares = np.square(queries, dtype=np.float64).sum(axis=1)
    match metric:
        case Metric.IP:
            return queries, squares
        case Metric.COSINE | Metric.JACCARD:
            return queries, np.where(squares > 0, 1.0 if metric is Metric.COSINE else 0.0, np.nan)
        case _:  # distances
            return queries, np.zeros(len(queries))


def _are_as_near(answer: QueryHits, own: float, metric: Metric) -> bool:
    """Whether a full answer has only rows that are as near to the query as it is to itself."""
    tolerance = _SAME * max(1.0, abs(own))
    scores = answer.scores if metric.higher_is_nearer else -answer.scores
    least = (own if metric.higher_is_nearer else -own) - tolerance
    return len(scores) == NEAREST and bool((scores >= least).all())

"""Brute-force search, for distances that Lance lacks: sparse vectors and JACCARD.

Also of rows selected before, where Lance can't evaluate the filter. One scan in batches serves all queries, and keeps
the best ``k`` of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lance.dataset import LanceDataset

from penstock.domain.deadline import check_deadline
from penstock.domain.index import Metric

KEY, ADDRESS, DISTANCE = "key", "address", "distance"
BATCH_ROWS = 8192
BATCH_BYTES = 32 << 20
"""A batch of the longest term vectors would take half a GiB."""

Distances = npt.NDArray[np.float32]
Measure = Callable[["pa.Array[Any]"], Iterator[tuple[npt.NDArray[np.intp], Distances]]]
"""For a batch's vectors without nulls: for each query the candidates' positions, and their distances."""


class _TopK:
    """The ``k`` smallest distances so far; ties by address."""

    def __init__(self, k: int) -> None:
        self._k = k
        self._rows: pa.Table | None = None

    def add(self, distances: Distances, keys: pa.Array[Any], addresses: pa.Array[Any]) -> None:
        if len(distances) > self._k:
            threshold = np.partition(distances, self._k - 1)[self._k - 1]
            positions = np.flatnonzero(distances <= threshold)
            distances, keys, addresses = distances[positions], keys.take(positions), addresses.take(positions)
        rows = pa.table({KEY: keys, ADDRESS: addresses, DISTANCE: pa.array(distances)})
        merged = rows if self._rows is None else pa.concat_tables([self._rows, rows])
        self._rows = (
            merged.sort_by([(DISTANCE, "ascending"), (ADDRESS, "ascending")]).slice(0, self._k).combine_chunks()
        )

    def rows(self, key_type: pa.DataType) -> pa.Table:
        if self._rows is not None:
            return self._rows
        return pa.schema([(KEY, key_type), (ADDRESS, pa.uint64()), (DISTANCE, pa.float32())]).empty_table()


@dataclass(frozen=True)
class Scan:
    """Which rows to scan, and how many of them to keep within which distances (lower, below)."""

    dataset: LanceDataset
    key: str
    vector: str
    where: str | None
    k: int
    bounds: tuple[float | None, float | None]
    addresses: pa.Array[Any] | None = None
    """The rows to scan, if already selected: then ``where`` has been applied."""

    def _batches(self) -> Iterator[pa.RecordBatch]:
        if self.addresses is None:
            scanner = self.dataset.scanner(
                columns=[self.key, self.vector],
                filter=self.where,
                with_row_address=True,
                batch_size=BATCH_ROWS,
                batch_size_bytes=BATCH_BYTES,
            )
            yield from scanner.to_batches()
            return
        vectors: Any = self.dataset.schema.field(self.vector).type
        rows_at_once = BATCH_ROWS
        if pa.types.is_fixed_size_list(vectors):
            width = vectors.list_size * vectors.value_type.bit_width // 8
            rows_at_once = max(1, min(BATCH_ROWS, BATCH_BYTES // width))
        for start in range(0, len(self.addresses), rows_at_once):
            chunk = self.addresses.slice(start, rows_at_once)
            rows = self.dataset._take_rows(chunk, columns=[self.key, self.vector])
            yield from rows.append_column("_rowaddr", chunk).combine_chunks().to_batches()

    def nearest(self, queries: int, measure: Measure) -> list[pa.Table]:
        """One table per query with the columns :data:`KEY`, :data:`ADDRESS`, :data:`DISTANCE`, nearest first."""
        tops = [_TopK(self.k) for _ in range(queries)]
        for batch in self._batches():
            check_deadline()
            if batch[self.vector].null_count:
                batch = batch.filter(batch[self.vector].is_valid())
            if not len(batch):
                continue
            for top, (places, distances) in zip(tops, measure(batch[self.vector]), strict=True):
                check_deadline()
                within = self.within(distances)
                chosen = places[within]
                top.add(distances[within], batch[self.key].take(chosen), batch["_rowaddr"].take(chosen))
        key_type = self.dataset.schema.field(self.key).type
        return [top.rows(key_type) for top in tops]

    def within(self, distances: Distances) -> npt.NDArray[np.bool_]:
        """Whether each distance is a number within the bounds."""
        lower, below = self.bounds
        within = ~np.isnan(distances)
        if lower is not None:
            within &= distances >= lower
        if below is not None:
            within &= distances < below
        return within


def inner_products(queries: Sequence[Mapping[int, float]]) -> Measure:
    """Sparse vectors: minus the inner product. Rows that share no index with a query are no candidates."""
    sorted_queries = []
    for query in queries:
        indices = np.fromiter(query.keys(), np.uint32, len(query))
        values = np.fromiter(query.values(), np.float64, len(query))
        order = np.argsort(indices)
        sorted_queries.append((indices[order], values[order]))

    def measure(vectors: pa.Array[Any]) -> Iterator[tuple[npt.NDArray[np.intp], Distances]]:
        lists = vectors.field("indices")  # type: ignore[attr-defined]
        indices = lists.flatten().to_numpy()
        values = vectors.field("values").flatten().to_numpy()  # type: ignore[attr-defined]
        owners = np.repeat(np.arange(len(vectors)), lists.value_lengths().to_numpy())
        for query_indices, weights in sorted_queries:
            if not len(query_indices):
                yield np.empty(0, np.intp), np.empty(0, np.float32)
                continue
            place = np.minimum(np.searchsorted(query_indices, indices), len(query_indices) - 1)
            shared = query_indices[place] == indices
            rows = owners[shared]
            products = weights[place[shared]] * values[shared]
            sums = np.bincount(rows, products, minlength=len(vectors))
            candidates = np.unique(rows)
            yield candidates, (-sums[candidates]).astype(np.float32)

    return measure


def dense_distances(metric: Metric, queries: npt.NDArray[Any], width: int) -> Measure:
    """Lance's distances: squared L2, 1 - inner product, 1 - cosine (NaN for zero vectors), HAMMING."""

    def measure(vectors: pa.Array[Any]) -> Iterator[tuple[npt.NDArray[np.intp], Distances]]:
        rows = vectors.flatten().to_numpy().reshape(-1, width)  # type: ignore[attr-defined]
        places = np.arange(len(rows))
        if metric is not Metric.HAMMING:
            rows = rows.astype(np.float32)
        with np.errstate(invalid="ignore", divide="ignore"):
            for query in queries:
                match metric:
                    case Metric.HAMMING:
                        distances = np.bitwise_count(rows ^ query).sum(axis=1, dtype=np.int64)
                    case Metric.L2:
                        distances = np.square(rows - query).sum(axis=1)
                    case Metric.IP:
                        distances = 1 - rows @ query
                    case _:
                        lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(query)
                        distances = 1 - rows @ query / lengths
                yield places, distances.astype(np.float32)

    return measure


def paired_distances(metric: Metric, rows: npt.NDArray[Any], queries: npt.NDArray[np.float32]) -> Distances:
    """The distance of each row to the query at its own position, as :func:`dense_distances` but not HAMMING.

    It depends on these two vectors alone, to the last bit, whatever other vectors there are.
    """
    vectors = rows.astype(np.float32, copy=False)
    if metric is Metric.L2:
        differences = vectors - queries
        squares: Distances = np.einsum("ij,ij->i", differences, differences)
        return squares
    products: Distances = np.einsum("ij,ij->i", vectors, queries)
    if metric is Metric.COSINE:
        lengths = np.einsum("ij,ij->i", vectors, vectors) * np.einsum("ij,ij->i", queries, queries)
        with np.errstate(invalid="ignore", divide="ignore"):
            products = products / np.sqrt(lengths)
    return np.float32(1) - products


def jaccard_distances(queries: npt.NDArray[np.uint8], width: int) -> Measure:
    """Binary vectors of ``width`` bytes: 1 - |a and b| / |a or b|; 1 where both are zero."""

    def measure(vectors: pa.Array[Any]) -> Iterator[tuple[npt.NDArray[np.intp], Distances]]:
        rows = vectors.flatten().to_numpy().reshape(-1, width)  # type: ignore[attr-defined]
        places = np.arange(len(rows))
        for query in queries:
            both = np.bitwise_count(rows & query).sum(axis=1, dtype=np.int64)
            either = np.bitwise_count(rows | query).sum(axis=1, dtype=np.int64)
            similarity = np.divide(both, either, out=np.zeros(len(rows)), where=either > 0)
            yield places, (1 - similarity).astype(np.float32)

    return measure

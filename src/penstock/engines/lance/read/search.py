"""Nearest-neighbour search, with Milvus's scores and order.

Lance's distances become scores: COSINE and IP as ``1 - distance`` (higher is nearer), the others as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lance.dataset import LanceDataset

from penstock.domain.index import Metric
from penstock.domain.schema import DataType, Field
from penstock.engines.lance.layout.encoding import decode
from penstock.engines.lance.layout.names import stored_name
from penstock.engines.lance.layout.resident_vectors import ResidentVectors
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.lance.read.batch_filter import matching
from penstock.engines.lance.read.bm25 import bm25_distances, term_statistics
from penstock.engines.lance.read.brute_force import (
    ADDRESS,
    DISTANCE,
    KEY,
    Scan,
    dense_distances,
    inner_products,
    jaccard_distances,
)
from penstock.engines.lance.read.filter_pushdown import NEAREST_WEIGHT, SCAN_WEIGHT, fits_sql, split, weight
from penstock.engines.lance.read.nearest import Carried, carried_name, nearest_rows
from penstock.engines.lance.read.query import condition
from penstock.engines.lance.read.rows import output_columns, rows_within, take_rows
from penstock.engines.result_limit import ResultLimit
from penstock.engines.values import QueryHits, SearchRequest, Table
from penstock.errors import InvalidParameter
from penstock.filters import Filter


def search(store: TableRoot, table: Table, request: SearchRequest) -> list[QueryHits]:
    doing = f"searching the table {table.id}"
    field = table.schema[request.field_name]
    _check(field, request)
    columns = output_columns(table.schema, request.columns)
    filter = request.filter
    is_light = filter is None or (fits_sql(filter) and weight(filter) <= NEAREST_WEIGHT)
    pushed, rest = (filter, None) if is_light else split(filter, SCAN_WEIGHT)
    where = condition(table, pushed, request.partitions)
    most = sys.maxsize if request.max_bytes is None else rows_within(table.schema, columns, request.max_bytes)
    carried = Carried([stored_name(name) for name in columns[1:]], most)  # the first one is the primary key

    def read(dataset: LanceDataset) -> list[QueryHits]:
        addresses = None if rest is None else _addresses(dataset, where, rest)
        neighbours = _nearest(dataset, table, field, request, where, addresses, carried, store.vectors)
        return _hits(dataset, table, field, request, neighbours, columns)

    return store.read(table, doing, read)


def _addresses(dataset: LanceDataset, where: str | None, rest: Filter) -> pa.Array[Any]:
    chunks = [batch["_rowaddr"] for batch in matching(dataset, where, rest, {})]
    return pa.concat_arrays(chunks) if chunks else pa.array([], pa.uint64())


def _check(field: Field, request: SearchRequest) -> None:
    fits = {
        DataType.SPARSE_FLOAT_VECTOR: (Metric.BM25 if field.function_output else Metric.IP,),
        DataType.BINARY_VECTOR: (Metric.HAMMING, Metric.JACCARD),
    }.get(field.type, (Metric.L2, Metric.IP, Metric.COSINE))
    if not field.type.is_vector or request.metric not in fits:
        raise InvalidParameter(
            f"field {field.name} of type {field.type} can't be searched by {request.metric}", field=field.name
        )
    if field.type.is_dense_vector:
        queries: Any = request.queries
        width = np.shape(queries)[-1] if len(queries) else field.width
        if width != field.width:
            raise InvalidParameter(
                f"the query has {width} values, field {field.name} has {field.width}", field=field.name
            )


def _similarity_offset(field: Field) -> int:
    """Similarity = offset - distance: Lance's distance is 1 - similarity, the sparse scan's -similarity."""
    return 0 if field.type is DataType.SPARSE_FLOAT_VECTOR else 1


def _bounds(field: Field, request: SearchRequest) -> tuple[float | None, float | None]:
    """Range filter, or the first distance beyond a score, and radius as distances (lower, below)."""
    lower, below = request.range_filter, request.radius
    if request.metric.higher_is_nearer:
        offset = _similarity_offset(field)
        lower = None if lower is None else offset - lower
        below = None if below is None else offset - below
    if request.beyond is not None:
        beyond = _first_distance_beyond(field, request, request.beyond)
        lower = beyond if lower is None else max(lower, beyond)
    return lower, below


def _first_distance_beyond(field: Field, request: SearchRequest, score: float) -> float:
    """The lowest distance whose score, as rounded to 32 bits, is farther than this one."""
    with np.errstate(over="ignore"):
        bound = np.float32(score)
    if not request.metric.higher_is_nearer:
        return float(np.nextafter(bound, np.float32(np.inf)))
    if np.isinf(bound):  # infinite steps would never meet
        return float(-bound)
    offset = np.float32(_similarity_offset(field))
    near = offset - bound
    far = offset - np.nextafter(bound, np.float32(-np.inf))
    while offset - near < bound:
        near = np.nextafter(near, np.float32(-np.inf))
    while not offset - far < bound:
        far = np.nextafter(far, np.float32(np.inf))
    while (middle := near + (far - near) / np.float32(2)) not in (near, far):
        near, far = (near, middle) if offset - middle < bound else (middle, far)
    return float(far)


def _nearest(
    dataset: LanceDataset,
    table: Table,
    field: Field,
    request: SearchRequest,
    where: str | None,
    addresses: pa.Array[Any] | None,
    carried: Carried,
    resident: ResidentVectors,
) -> list[pa.Table]:
    """Per query a table of :data:`KEY`, :data:`ADDRESS`, :data:`DISTANCE`, nearest first, of offset + limit rows.

    Of the columns to be ``carried`` it has those that were read by the way, see :func:`nearest_rows`.
    """
    k = request.limit + request.offset
    key, vector = stored_name(table.schema.primary.name), stored_name(field.name)
    scan = Scan(dataset, key, vector, where, k, _bounds(field, request), addresses)
    queries: Any = request.queries
    if not len(queries):
        return []
    if request.metric is Metric.BM25:
        statistics = term_statistics(dataset, vector, condition(table, None, None), queries)
        return scan.nearest(len(queries), bm25_distances(queries, statistics, request.bm25))
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        return scan.nearest(len(queries), inner_products(queries))
    if request.metric is Metric.JACCARD:
        return scan.nearest(len(queries), jaccard_distances(np.asarray(queries, np.uint8), field.width))
    if addresses is not None:
        dtype = np.uint8 if request.metric is Metric.HAMMING else np.float32
        return scan.nearest(len(queries), dense_distances(request.metric, np.asarray(queries, dtype), field.width))
    return nearest_rows(scan, field, request, carried, resident, (table.id, vector))


def _hits(
    dataset: LanceDataset,
    table: Table,
    field: Field,
    request: SearchRequest,
    neighbours: Sequence[pa.Table],
    columns: Sequence[str],
) -> list[QueryHits]:
    if not neighbours:
        return []
    pages = [page.slice(request.offset, request.limit) for page in neighbours]
    read = [KEY, *(carried_name(stored_name(name)) for name in columns[1:])]
    if all(set(read) <= set(page.column_names) for page in pages):
        stored = [stored_name(name) for name in columns]
        rows = [decode(page.select(read).rename_columns(stored), table.schema, columns) for page in pages]
        limit = ResultLimit(request.max_bytes)
        for page_rows in rows:
            limit.add(page_rows)
    else:
        addresses = pa.concat_tables([page.select([ADDRESS]) for page in pages])[ADDRESS].combine_chunks()
        fetched = take_rows(dataset, addresses, table.schema, columns, request.max_bytes)
        rows, start = [], 0
        for page in pages:
            rows.append(fetched.slice(start, len(page)))
            start += len(page)
    return [
        QueryHits(rows=page_rows, scores=_scores(page, field, request))
        for page_rows, page in zip(rows, pages, strict=True)
    ]


def _scores(page: pa.Table, field: Field, request: SearchRequest) -> npt.NDArray[np.float32]:
    distances = page[DISTANCE].to_numpy().astype(np.float32)
    return np.float32(_similarity_offset(field)) - distances if request.metric.higher_is_nearer else distances

"""Nearest-neighbour search, with Milvus's scores and order.

Lance's distances become scores: COSINE and IP as ``1 - distance`` (higher is nearer), the others as they are.

An index alone would lose rows that match a filter: it probes the partitions near the query, where they may not be. So
the matching rows are counted first. Few are searched by brute force; for many, enough partitions are probed, and an
answer that is still too short is computed again without the index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lance.dataset import LanceDataset

from penstock.domain.index import Metric
from penstock.domain.schema import DataType, Field
from penstock.engines.base import QueryHits, SearchRequest, Table
from penstock.engines.lance.index.build import partitions_of, vector_index
from penstock.engines.lance.index.mapping import vector_bytes
from penstock.engines.lance.layout.encoding import decode
from penstock.engines.lance.layout.names import stored_name
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
from penstock.engines.lance.read.query import condition, output_columns, take_rows
from penstock.engines.lance.read.search_params import choose_search_params
from penstock.errors import InvalidParameter
from penstock.filters import Filter

LANCE_METRICS = {Metric.L2: "l2", Metric.IP: "dot", Metric.COSINE: "cosine", Metric.HAMMING: "hamming"}

EXACT_BYTES = 16 << 20
"""Bytes of matching vectors up to which brute force wins: 5,000 of 768 dimensions took 5 to 12 ms, and the index
alone had a recall of .55 to .84 there."""

LEAST_BYTES_PER_MATCH = 64 << 10
"""Bytes of vectors of the table per matching row from which on the matching rows are read alone. Lance's own brute
force reads the vectors of all rows where the filter has no index: of 40,000 x 768, that took 55 ms of processor time,
reading 400 matching ones 13 ms; of 100,000 x 100, 16 ms and 20 ms for 1,000."""


def search(store: TableRoot, table: Table, request: SearchRequest) -> list[QueryHits]:
    doing = f"searching the table {table.id}"
    field = table.schema[request.field_name]
    _check(field, request)
    columns = output_columns(table.schema, request.columns)
    filter = request.filter
    is_light = filter is None or (fits_sql(filter) and weight(filter) <= NEAREST_WEIGHT)
    pushed, rest = (filter, None) if is_light else split(filter, SCAN_WEIGHT)
    where = condition(table, pushed, request.partitions)

    def read(dataset: LanceDataset) -> list[QueryHits]:
        addresses = None if rest is None else _addresses(dataset, where, rest)
        neighbours = _nearest(dataset, table, field, request, where, addresses)
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
    bound = np.float32(score)
    if not request.metric.higher_is_nearer:
        return float(np.nextafter(bound, np.float32(np.inf)))
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
) -> list[pa.Table]:
    """Per query a table of :data:`KEY`, :data:`ADDRESS`, :data:`DISTANCE`, nearest first, of offset + limit rows."""
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
    return _nearest_by_lance(dataset, field, request, scan)


def _nearest_by_lance(dataset: LanceDataset, field: Field, request: SearchRequest, scan: Scan) -> list[pa.Table]:
    binary = request.metric is Metric.HAMMING
    queries = np.ascontiguousarray(request.queries, np.uint8 if binary else np.float32)
    plan = _plan_search(dataset, field, request, scan)
    if plan.selects_few:
        return scan.nearest(len(queries), dense_distances(request.metric, queries, field.width))
    nearest: dict[str, Any] = {
        "column": scan.vector,
        "k": scan.k,
        "metric": LANCE_METRICS[request.metric],
        "distance_range": scan.bounds if scan.bounds != (None, None) else None,
    }
    tables = _run_nearest(dataset, scan, queries, nearest | plan.nearest)
    if plan.nearest["use_index"] and any(len(rows) < plan.least for rows in tables):
        # A graph walk may end too early where few nodes match.
        tables = _run_nearest(dataset, scan, queries, nearest | {"use_index": False})
    return tables


def _run_nearest(
    dataset: LanceDataset, scan: Scan, queries: npt.NDArray[Any], rest: dict[str, Any]
) -> list[pa.Table]:
    # Lance names its own column query_index when it answers many queries in one pass.
    together = len(queries) > 1 and "query_index" not in dataset.schema.names
    batches = [queries] if together else list(queries)
    tables: list[pa.Table] = []
    for vectors in batches:
        answer = dataset.scanner(
            columns=[scan.key, "_distance"],
            nearest={"q": vectors, **rest},
            filter=scan.where,
            prefilter=True,
            with_row_address=True,
            disable_scoring_autoprojection=True,
        ).to_table()
        tables += _by_query(answer, scan.key, len(queries)) if together else [_ordered(answer, scan.key)]
    return tables


@dataclass(frozen=True)
class _SearchPlan:
    """The index part of a ``nearest`` clause, and how many rows its answer should have at least.

    With ``selects_few`` the matching rows are read and compared instead.
    """

    nearest: dict[str, Any]
    least: int
    selects_few: bool = False


def _plan_search(dataset: LanceDataset, field: Field, request: SearchRequest, scan: Scan) -> _SearchPlan:
    exact = _SearchPlan({"use_index": False}, 0)
    if request.exact:
        return exact  # the pages of an iterator are all computed in the same way
    index = vector_index(dataset, field)
    has_index = index is not None and index.metric is request.metric
    rows = max(int(dataset.count_rows()), 1)
    if not has_index and (scan.where is None or vector_bytes(field, rows) <= EXACT_BYTES):
        return exact
    share = 1.0
    matching_rows = None
    if scan.where is not None:
        matching_rows = int(dataset.count_rows(scan.where))
        share = matching_rows / rows
        if vector_bytes(field, matching_rows) <= EXACT_BYTES:
            few = matching_rows * LEAST_BYTES_PER_MATCH <= vector_bytes(field, rows)
            return replace(exact, selects_few=few)
    if index is None or not has_index:
        return exact
    if index.is_graph and scan.bounds != (None, None):
        return exact  # a graph walk ends before it has met all rows within the bounds
    index_params = choose_search_params(index, partitions_of(dataset, index), scan.k, share, request.params)
    least = min(scan.k, matching_rows) if matching_rows is not None and scan.bounds == (None, None) else 0
    return _SearchPlan(index_params, least)


def _ordered(answer: pa.Table, key: str) -> pa.Table:
    rows = answer.select([key, "_rowaddr", "_distance"]).rename_columns([KEY, ADDRESS, DISTANCE])
    return rows.sort_by([(DISTANCE, "ascending"), (KEY, "ascending")])


def _by_query(answer: pa.Table, key: str, queries: int) -> list[pa.Table]:
    answer = answer.sort_by("query_index")
    edges = np.searchsorted(answer["query_index"].to_numpy(), np.arange(queries + 1))
    return [_ordered(answer.slice(start, end - start), key) for start, end in pairwise(edges)]


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
    primary = table.schema.primary.name
    if list(columns) == [primary]:
        renamed = [page.select([KEY]).rename_columns([stored_name(primary)]) for page in pages]
        rows = [decode(page, table.schema, columns) for page in renamed]
    else:
        addresses = pa.concat_tables([page.select([ADDRESS]) for page in pages])[ADDRESS].combine_chunks()
        fetched = take_rows(dataset, addresses, table.schema, columns)
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

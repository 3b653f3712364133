"""The nearest rows by Lance: from an index, or by its own brute force; one pass for all queries of a search.

An index alone would lose rows that match a filter: it probes the partitions near the query, where they may not be. So
the matching rows are counted first. Few are read and compared; for many, enough partitions are probed, and an
answer that is still too short is computed again without the index.

Lance returns row ids and distances only. The keys, and the vectors of the candidates of a quantised index, are read
here, at once for all queries: Lance reads them query by query, which took 4.3 ms of processor time for one query and
2.2 ms for each of 16, instead of 2.2 ms and 1.5 ms (40,000 x 256, IVF_SQ).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lance.dataset import LanceDataset

from penstock.domain.deadline import check_deadline
from penstock.domain.index import Metric
from penstock.domain.schema import Field
from penstock.engines.lance.index.build import LANCE_METRICS, partitions_of, vector_index
from penstock.engines.lance.index.mapping import vector_bytes
from penstock.engines.lance.index.probes import default_probes
from penstock.engines.lance.layout.encoding import stored_type
from penstock.engines.lance.layout.resident_vectors import BlockKey, ResidentVectors
from penstock.engines.lance.layout.vector_block import VectorBlock
from penstock.engines.lance.read.brute_force import (
    ADDRESS,
    BATCH_BYTES,
    BATCH_ROWS,
    DISTANCE,
    KEY,
    Scan,
    dense_distances,
    paired_distances,
)
from penstock.engines.lance.read.resident_search import METRICS, nearest_resident
from penstock.engines.lance.read.search_params import choose_search_params
from penstock.engines.values import SearchRequest

SMALL_BYTES = 16 << 20
"""Bytes of vectors of a table without an index up to which Lance's brute force compares all of them, whatever filter
there is."""

LEAST_BYTES_PER_MATCH = 64 << 10
"""Where no index is of use: bytes of vectors of a table per matching row, from which on these rows are read alone.
Lance's own brute force reads the vectors of all rows where the filter has no index: of 40,000 x 768, that took 55 ms
of processor time, reading 400 matching ones 13 ms; of 100,000 x 100, 16 ms and 20 ms for 1,000."""

ROWS_PER_READ = 256
"""Reading one of scattered rows costs as much as probing so many rows of an index: 20 us of processor time, of 128 as
of 768 dimensions, and 0.06 to 0.09 us. Searches of 200,000 x 768 where 1 % match took 66 ms of processor time by
reading, 22 ms by the index; of 1,000,000 x 128, 190 and 74 ms. Many queries share what is read: 16 took 174 and
285 ms, 353 and 1,170 ms."""

DIMS_PER_ROW = 16
"""Comparing so many dimensions of a row with a query costs as much as probing a row of an index: of 768 dimensions it
took 3.5 us, of 128 1.0 us."""

RESIDENT_BYTES = 128 << 20
"""Bytes of an indexed table's vectors up to which comparing all in memory costs less than probing the index: of
100,000 x 100, one search took 6.1 ms of processor time instead of 9.9 ms, each of 16 in one pass 1.7 ms instead of
3.9 ms. Of 200,000 x 100 one search took as long as by the index, and 16 callers had 150 a second instead of 126. Of
100,000 x 768 the products of one alone took 22 ms, the whole search by the index 13.7 ms."""

BYTES_PER_PASS = 4 << 20
"""The vectors are read after so many passes over a version that they cost about as much as reading them."""

_CARRIED_ROWS = 1024
_CARRIED_REFINE = 2
"""Of more candidates, or where most of them are not among the hits, other columns than the key are read later."""

_matching_counts: dict[tuple[str, int, str], int] = {}
"""Matching rows by table, version and condition. Of 100,000 rows, counting them was a fifth of a filtered search."""
_MAX_CACHED_COUNTS = 1_000
_MAX_CACHED_LENGTH = 1_000
"""Longer conditions, with lists of values, hardly come again."""

_PASS_QUERIES = 256
"""Query vectors that Lance compares in one pass, which can't be stopped when the call's time is over."""

_QUERY = "query"
_OPEN = (None, None)


@dataclass(frozen=True)
class _SearchPlan:
    """The index part of a ``nearest`` clause, and how many rows its answer should have at least.

    ``refine``: this many times the requested rows are candidates, which are compared by their stored vectors; None
    where Lance's distances are exact. With ``selects_few`` the matching rows are read and compared instead.
    """

    clause: Mapping[str, Any]
    least: int = 0
    refine: int | None = None
    selects_few: bool = False

    @property
    def uses_index(self) -> bool:
        return bool(self.clause["use_index"])


_EXACT = _SearchPlan({"use_index": False})
_MATCHING = _SearchPlan({"use_index": False}, selects_few=True)


@dataclass(frozen=True)
class Carried:
    """The stored columns that may be read with the keys, of at most so many ``rows``: more might take too much."""

    columns: Sequence[str]
    rows: int

    def of(self, rows: int) -> Sequence[str]:
        """The columns to read of so many rows."""
        return self.columns if rows <= self.rows else ()


def carried_name(column: str) -> str:
    """The name of a stored column among those of :func:`nearest_rows`."""
    return f"stored {column}"


def nearest_rows(
    scan: Scan, field: Field, request: SearchRequest, carried: Carried, resident: ResidentVectors, key: BlockKey
) -> list[pa.Table]:
    """Per query a table of :data:`KEY`, :data:`ADDRESS`, :data:`DISTANCE`, nearest first, of ``scan.k`` rows.

    It may have some of the columns to be ``carried``, too, by their :func:`carried_name`: what is read with the key
    costs little, and a read of its own 1.6 ms of processor time (5 fragments). ``key`` is the block of the vectors
    in memory.
    """
    binary = request.metric is Metric.HAMMING
    queries = np.ascontiguousarray(request.queries, np.uint8 if binary else np.float32)
    if resident.limit and not request.exact and _may_be_resident(field, request.metric):
        answer = _nearest_in_memory(scan, field, request.metric, queries, carried, resident, key)
        if answer is not None:
            return answer
    plan = _plan_search(scan, field, request)
    if plan.selects_few:
        matching = replace(scan, addresses=_matching_addresses(scan))
        return matching.nearest(len(queries), dense_distances(request.metric, queries, field.width))
    tables = _run(scan, field, request.metric, queries, plan, carried)
    short = [number for number, rows in enumerate(tables) if len(rows) < plan.least] if plan.uses_index else []
    if short:
        # A graph walk may end too early where few nodes match.
        complete = _run(scan, field, request.metric, queries[short], _EXACT, carried)
        for number, rows in zip(short, complete, strict=True):
            tables[number] = rows
    return tables


def _may_be_resident(field: Field, metric: Metric) -> bool:
    """Whether vectors in memory have the distances that Lance computes: it does so with 16 bits of stored 16."""
    vectors: Any = stored_type(field)
    return metric in METRICS and bool(vectors.value_type == pa.float32())


def _nearest_in_memory(
    scan: Scan,
    field: Field,
    metric: Metric,
    queries: npt.NDArray[Any],
    carried: Carried,
    resident: ResidentVectors,
    key: BlockKey,
) -> list[pa.Table] | None:
    """As :func:`nearest_rows`, from the vectors in memory; None if they aren't there, and don't come now."""
    block = _block(scan, field, metric, resident, key)
    if block is None:
        return None
    selected = None if scan.where is None else block.selection(scan.dataset, scan.where)
    neighbours = nearest_resident(block, scan, metric, queries, selected)
    if neighbours is None:
        return None
    rows: dict[str, pa.Array[Any]] = {
        _QUERY: pa.array(neighbours.queries),
        ADDRESS: pa.array(block.addresses[neighbours.positions]),
        DISTANCE: pa.array(neighbours.distances),
        KEY: _at(block.keys, neighbours.positions),
    }
    for name in carried.of(len(neighbours.positions)):
        column = resident.column(block, scan.dataset, name)
        if column is not None:
            rows[carried_name(name)] = _at(column, neighbours.positions)
    return _first_rows(pa.table(rows), len(queries), scan.k)


def _at(column: pa.Array[Any], positions: npt.NDArray[np.intp]) -> pa.Array[Any]:
    """The values at these positions. Of numbers NumPy takes a few in a tenth of the time that Arrow does."""
    if pa.types.is_integer(column.type) and not column.null_count:
        values: pa.Array[Any] = pa.array(column.to_numpy()[positions])
        return values
    indices: Any = pa.array(positions)
    return column.take(indices)


def _block(scan: Scan, field: Field, metric: Metric, resident: ResidentVectors, key: BlockKey) -> VectorBlock | None:
    dataset = scan.dataset
    block = resident.get(key, int(dataset.version))
    if block is not None:
        return block
    size = vector_bytes(field, int(dataset.count_rows()))
    if size > resident.limit:
        return None
    index = vector_index(dataset, field) if size > RESIDENT_BYTES else None
    if index is not None and index.metric is metric:
        return None
    if not resident.is_due(key, int(dataset.version), max(1, min(size, RESIDENT_BYTES) // BYTES_PER_PASS)):
        return None
    return resident.load(key, dataset, scan.key, field.width)


def _plan_search(scan: Scan, field: Field, request: SearchRequest) -> _SearchPlan:
    if request.exact:
        return _EXACT  # the pages of an iterator are all computed in the same way
    dataset = scan.dataset
    index = vector_index(dataset, field)
    has_index = index is not None and index.metric is request.metric
    rows = max(int(dataset.count_rows()), 1)
    if not has_index and (scan.where is None or vector_bytes(field, rows) <= SMALL_BYTES):
        return _EXACT
    share = 1.0
    matching_rows = None
    if scan.where is not None:
        matching_rows = _matching_rows(dataset, scan.where)
        if not matching_rows:
            return _MATCHING
        share = matching_rows / rows
    few = matching_rows is not None and matching_rows * LEAST_BYTES_PER_MATCH <= vector_bytes(field, rows)
    without_index = _MATCHING if few else _EXACT
    if index is None or not has_index:
        return without_index
    if index.is_graph and scan.bounds != _OPEN:
        return without_index  # a graph walk ends before it has met all rows within the bounds
    partitions = partitions_of(dataset, index)
    probes = default_probes(dataset, index, partitions)
    clause, refine = choose_search_params(index, partitions, probes, scan.k, share, request.params)
    if matching_rows is not None:
        probed_rows = rows * clause["minimum_nprobes"] // max(partitions, 1)
        if matching_rows * (ROWS_PER_READ / len(request.queries) + field.width / DIMS_PER_ROW) <= probed_rows:
            return _MATCHING
    if refine is not None and scan.bounds[0] is not None:
        # Lance compares bounds with distances of codes, which for COSINE are twice the real ones.
        return without_index
    least = min(scan.k, matching_rows) if matching_rows is not None and scan.bounds == _OPEN else 0
    return _SearchPlan(clause, least, refine)


def _matching_addresses(scan: Scan) -> pa.Array[Any]:
    """Where the matching rows are, in order.

    Of 2,000 scattered rows, this and reading them took two thirds of the processor time of a scan with the filter.
    """
    rows = scan.dataset.scanner(columns=["_rowid"], filter=scan.where).to_table()
    return rows["_rowid"].combine_chunks().sort()


def _matching_rows(dataset: LanceDataset, where: str) -> int:
    key = (str(dataset.uri), int(dataset.version), where)
    count = _matching_counts.get(key)
    if count is None:
        count = int(dataset.count_rows(where))
        if len(where) <= _MAX_CACHED_LENGTH:
            if len(_matching_counts) >= _MAX_CACHED_COUNTS:
                _matching_counts.clear()
            _matching_counts[key] = count
    return count


def _run(
    scan: Scan,
    field: Field,
    metric: Metric,
    queries: npt.NDArray[Any],
    plan: _SearchPlan,
    carried: Carried,
) -> list[pa.Table]:
    clause = {
        "column": scan.vector,
        "k": scan.k * (plan.refine or 1),
        "metric": LANCE_METRICS[metric],
        "distance_range": scan.bounds if plan.refine is None and scan.bounds != _OPEN else None,
        **plan.clause,
    }
    candidates = _candidates(scan, queries, clause)
    columns = carried.of(len(candidates))
    if (plan.refine or 1) > _CARRIED_REFINE or len(candidates) > _CARRIED_ROWS:
        columns = ()
    if plan.refine is None:
        rows = _with_columns(candidates, _take(scan.dataset, candidates, [scan.key, *columns]), scan.key, columns)
    else:
        rows = _refined(scan, field, metric, queries, candidates, columns)
    return _first_rows(rows, len(queries), scan.k)


def _first_rows(rows: pa.Table, queries: int, k: int) -> list[pa.Table]:
    """The ``k`` nearest rows of each query, equally near ones in order of their addresses.

    Lance keeps the first of these. In another order, as that of their keys, the pages of a search would not fit.
    """
    rows = rows.sort_by([(_QUERY, "ascending"), (DISTANCE, "ascending"), (ADDRESS, "ascending")])
    edges = np.searchsorted(rows[_QUERY].to_numpy(), np.arange(queries + 1))
    rows = rows.drop_columns([_QUERY])
    return [rows.slice(start, min(end - start, k)) for start, end in pairwise(edges.tolist())]


def _candidates(scan: Scan, queries: npt.NDArray[Any], clause: Mapping[str, Any]) -> pa.Table:
    """The columns :data:`_QUERY` (its number), :data:`ADDRESS` and :data:`DISTANCE`, in order of the addresses."""
    # Lance names its own column query_index when it answers many queries in one pass.
    together = len(queries) > 1 and "query_index" not in scan.dataset.schema.names
    passes: Sequence[tuple[int, npt.NDArray[Any]]] = (
        [(start, queries[start : start + _PASS_QUERIES]) for start in range(0, len(queries), _PASS_QUERIES)]
        if together
        else list(enumerate(queries))
    )
    numbers, addresses, distances = [], [], []
    for number, vectors in passes:
        check_deadline()
        answer = scan.dataset.scanner(
            columns=["_rowid", "_distance"],  # the id is the address: tables have no stable row ids
            nearest={"q": vectors, **clause},
            filter=scan.where,
            prefilter=True,
            disable_scoring_autoprojection=True,
        ).to_table()
        own = answer["query_index"].to_numpy() if together else np.zeros(len(answer), np.int32)
        numbers.append(own + np.int32(number))
        addresses.append(answer["_rowid"].to_numpy())
        distances.append(answer["_distance"].to_numpy())
    column = np.concatenate(addresses)
    order = np.argsort(column, kind="stable")  # of 320 rows in order reading took 10 ms, in disorder 12 ms
    return pa.table(
        {
            _QUERY: pa.array(np.concatenate(numbers)[order]),
            ADDRESS: pa.array(column[order]),
            DISTANCE: pa.array(np.concatenate(distances)[order]),
        }
    )


def _refined(
    scan: Scan,
    field: Field,
    metric: Metric,
    queries: npt.NDArray[np.float32],
    candidates: pa.Table,
    columns: Sequence[str],
) -> pa.Table:
    """The candidates within the bounds, with their keys, ``columns``, and the distances of their stored vectors."""
    size = max(1, min(BATCH_ROWS, BATCH_BYTES // (4 * field.width)))
    tables = []
    for start in range(0, max(len(candidates), 1), size):
        check_deadline()
        chunk = candidates.slice(start, size)
        rows = _take(scan.dataset, chunk, [scan.key, scan.vector, *columns])
        vectors: Any = rows[scan.vector].combine_chunks()
        compared = queries[chunk[_QUERY].to_numpy()]
        distances = paired_distances(metric, vectors.flatten().to_numpy().reshape(-1, field.width), compared)
        column: Any = pa.array(distances)
        chunk = chunk.set_column(chunk.schema.get_field_index(DISTANCE), DISTANCE, column)
        within = scan.within(distances)
        rows = _with_columns(chunk, rows, scan.key, columns)
        tables.append(rows if within.all() else rows.filter(pa.array(within)))
    return pa.concat_tables(tables)


def _with_columns(candidates: pa.Table, rows: pa.Table, key: str, columns: Sequence[str]) -> pa.Table:
    candidates = candidates.append_column(KEY, rows[key])
    for name in columns:
        candidates = candidates.append_column(carried_name(name), rows[name])
    return candidates


def _take(dataset: LanceDataset, candidates: pa.Table, columns: list[str]) -> pa.Table:
    columns = list(dict.fromkeys(columns))
    if not len(candidates):
        return dataset.schema.empty_table().select(columns)
    return dataset._take_rows(candidates[ADDRESS].combine_chunks(), columns=columns)

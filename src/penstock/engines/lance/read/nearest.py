"""The nearest rows by Lance: from an index, or by its own brute force; one pass for all queries of a search.

An index alone would lose rows that match a filter: it probes the partitions near the query, where they may not be. So
the matching rows are counted first. Few are searched by brute force; for many, enough partitions are probed, and an
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
from penstock.engines.base import SearchRequest
from penstock.engines.lance.index.build import partitions_of, vector_index
from penstock.engines.lance.index.mapping import vector_bytes
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
from penstock.engines.lance.read.search_params import choose_search_params

_LANCE_METRICS = {Metric.L2: "l2", Metric.IP: "dot", Metric.COSINE: "cosine", Metric.HAMMING: "hamming"}

EXACT_BYTES = 16 << 20
"""Bytes of matching vectors up to which brute force wins: 5,000 of 768 dimensions took 5 to 12 ms, and the index
alone had a recall of .55 to .84 there."""

LEAST_BYTES_PER_MATCH = 64 << 10
"""Bytes of vectors of the table per matching row from which on the matching rows are read alone. Lance's own brute
force reads the vectors of all rows where the filter has no index: of 40,000 x 768, that took 55 ms of processor time,
reading 400 matching ones 13 ms; of 100,000 x 100, 16 ms and 20 ms for 1,000."""

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


def nearest_rows(scan: Scan, field: Field, request: SearchRequest) -> list[pa.Table]:
    """Per query a table of :data:`KEY`, :data:`ADDRESS`, :data:`DISTANCE`, nearest first, of ``scan.k`` rows."""
    binary = request.metric is Metric.HAMMING
    queries = np.ascontiguousarray(request.queries, np.uint8 if binary else np.float32)
    plan = _plan_search(scan, field, request)
    if plan.selects_few:
        return scan.nearest(len(queries), dense_distances(request.metric, queries, field.width))
    tables = _run(scan, field, request.metric, queries, plan)
    short = [number for number, rows in enumerate(tables) if len(rows) < plan.least] if plan.uses_index else []
    if short:
        # A graph walk may end too early where few nodes match.
        complete = _run(scan, field, request.metric, queries[short], _EXACT)
        for number, rows in zip(short, complete, strict=True):
            tables[number] = rows
    return tables


def _plan_search(scan: Scan, field: Field, request: SearchRequest) -> _SearchPlan:
    if request.exact:
        return _EXACT  # the pages of an iterator are all computed in the same way
    dataset = scan.dataset
    index = vector_index(dataset, field)
    has_index = index is not None and index.metric is request.metric
    rows = max(int(dataset.count_rows()), 1)
    if not has_index and (scan.where is None or vector_bytes(field, rows) <= EXACT_BYTES):
        return _EXACT
    share = 1.0
    matching_rows = None
    if scan.where is not None:
        matching_rows = int(dataset.count_rows(scan.where))
        share = matching_rows / rows
        if vector_bytes(field, matching_rows) <= EXACT_BYTES:
            few = matching_rows * LEAST_BYTES_PER_MATCH <= vector_bytes(field, rows)
            return replace(_EXACT, selects_few=few)
    if index is None or not has_index:
        return _EXACT
    if index.is_graph and scan.bounds != _OPEN:
        return _EXACT  # a graph walk ends before it has met all rows within the bounds
    clause, refine = choose_search_params(index, partitions_of(dataset, index), scan.k, share, request.params)
    if refine is not None and scan.bounds[0] is not None:
        return _EXACT  # Lance compares bounds with distances of codes, which for COSINE are twice the real ones
    least = min(scan.k, matching_rows) if matching_rows is not None and scan.bounds == _OPEN else 0
    return _SearchPlan(clause, least, refine)


def _run(scan: Scan, field: Field, metric: Metric, queries: npt.NDArray[Any], plan: _SearchPlan) -> list[pa.Table]:
    bounds = scan.bounds if plan.refine is None and scan.bounds != _OPEN else None
    clause = {
        "column": scan.vector,
        "k": scan.k * (plan.refine or 1),
        "metric": _LANCE_METRICS[metric],
        "distance_range": bounds,
        **plan.clause,
    }
    candidates = _candidates(scan, queries, clause)
    rows = _with_keys(scan, candidates) if plan.refine is None else _refined(scan, field, metric, queries, candidates)
    rows = rows.sort_by([(_QUERY, "ascending"), (DISTANCE, "ascending"), (KEY, "ascending")])
    edges = np.searchsorted(rows[_QUERY].to_numpy(), np.arange(len(queries) + 1))
    rows = rows.drop_columns([_QUERY])
    return [rows.slice(start, min(end - start, scan.k)) for start, end in pairwise(edges.tolist())]


def _candidates(scan: Scan, queries: npt.NDArray[Any], clause: Mapping[str, Any]) -> pa.Table:
    """The columns :data:`_QUERY` (its number), :data:`ADDRESS` and :data:`DISTANCE`."""
    # Lance names its own column query_index when it answers many queries in one pass.
    together = len(queries) > 1 and "query_index" not in scan.dataset.schema.names
    passes: Sequence[tuple[int, npt.NDArray[Any]]] = [(0, queries)] if together else list(enumerate(queries))
    tables = []
    for number, vectors in passes:
        check_deadline()
        answer = scan.dataset.scanner(
            columns=["_rowid", "_distance"],  # the id is the address: tables have no stable row ids
            nearest={"q": vectors, **clause},
            filter=scan.where,
            prefilter=True,
            disable_scoring_autoprojection=True,
        ).to_table()
        numbers = answer["query_index"] if together else pa.array(np.full(len(answer), number, np.int32))
        tables.append(pa.table({_QUERY: numbers, ADDRESS: answer["_rowid"], DISTANCE: answer["_distance"]}))
    return pa.concat_tables(tables)


def _with_keys(scan: Scan, candidates: pa.Table) -> pa.Table:
    addresses = candidates[ADDRESS].combine_chunks()
    return candidates.append_column(KEY, _take(scan.dataset, addresses, [scan.key])[scan.key])


def _refined(
    scan: Scan, field: Field, metric: Metric, queries: npt.NDArray[np.float32], candidates: pa.Table
) -> pa.Table:
    """The candidates within the bounds, with their keys and the distances of their stored vectors."""
    size = max(1, min(BATCH_ROWS, BATCH_BYTES // (4 * field.width)))
    tables = []
    for start in range(0, max(len(candidates), 1), size):
        check_deadline()
        chunk = candidates.slice(start, size)
        addresses, numbers = chunk[ADDRESS].combine_chunks(), chunk[_QUERY].combine_chunks()
        rows = _take(scan.dataset, addresses, [scan.key, scan.vector])
        vectors: Any = rows[scan.vector].combine_chunks()
        distances = paired_distances(
            metric, vectors.flatten().to_numpy().reshape(-1, field.width), queries[numbers.to_numpy()]
        )
        compared = pa.table({_QUERY: numbers, ADDRESS: addresses, DISTANCE: pa.array(distances), KEY: rows[scan.key]})
        tables.append(compared.filter(pa.array(scan.within(distances))))
    return pa.concat_tables(tables)


def _take(dataset: LanceDataset, addresses: pa.Array[Any], columns: list[str]) -> pa.Table:
    if not len(addresses):
        return dataset.schema.empty_table().select(columns)
    return dataset._take_rows(addresses, columns=columns)

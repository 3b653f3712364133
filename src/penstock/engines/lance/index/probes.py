"""Choose how many partitions of an index a search probes by default, by measured recall.

Once partitions have been trained, stored vectors are taken as queries, and their nearest rows are searched in all
partitions; then the fewest are chosen in which nearly all of these are found. Queries that are not stored need about
as many: of 200,000 x 768 with 24 intrinsic dimensions and 48 partitions, 16 probes had a recall of .964 with stored
vectors and of .955 with others, 24 probes .995 and .991.

The number is an entry of the table's configuration, with the partitions and the rows that it was measured with. The
task that builds an index measures. Without a number of the current partitions (several hosts have built the index, or
a process was killed before it measured) searches use a rule of thumb, and maintenance measures; and it measures again
when there are twice the rows.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from lance.dataset import LanceDataset

from penstock.domain.index import IndexSpec, Metric
from penstock.domain.schema import DataType, Field
from penstock.engines.lance.index.build import (
    LANCE_METRICS,
    ActualIndex,
    desired_indexes,
    durable_indexes,
    existing_indexes,
    index_name,
    partitions_of,
    segment_ids,
)
from penstock.engines.lance.index.mapping import vector_bytes
from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.lance.write.commit import retry_conflicts
from penstock.engines.values import Table

RECALL = 0.985
"""Of the nearest rows in all partitions. Codes lose some more: searches of other queries then have about .98."""

LEAST_PROBES, MOST_PROBES = 8, 128
_MOST_UNMEASURED = 64
_MOST_COMPARED = 256
"""Partitions that stand for all of a large index."""

NEIGHBOURS = 10
"""Rows that a measured search is for."""

_QUERIES, _LEAST_QUERIES = 48, 16
_MAX_BYTES = 64 << 30
"""Vectors, 32 bits a value, whose codes one measurement may compare; but of at least a few queries."""

_STEP = 1.15


@dataclass(frozen=True)
class _Measured:
    """An index to measure: its column, and what its table has."""

    column: str
    metric: Metric
    field: Field
    index: ActualIndex
    partitions: int


def default_probes(dataset: LanceDataset, index: ActualIndex, partitions: int) -> int:
    """How many of an index's partitions to probe: as measured, else a third of them within bounds."""
    entry = _entry(dataset, index, partitions)
    return _estimate(partitions) if entry is None else int(entry["probes"])


def _estimate(partitions: int) -> int:
    """The rule of thumb where nothing is measured."""
    return min(max(partitions // 3, LEAST_PROBES), _MOST_UNMEASURED)


def _entry(dataset: LanceDataset, index: ActualIndex, partitions: int) -> Mapping[str, Any] | None:
    """What was recorded for these partitions."""
    text = dataset.config().get(_key(index.name))
    entry: Mapping[str, Any] | None = None if text is None else orjson.loads(text)
    return entry if entry is not None and entry["trained"] == _trained(index, partitions) else None


def _trained(index: ActualIndex, partitions: int) -> list[Any]:
    """What differs between trainings. Compaction gives segments other ids, and keeps the partitions."""
    return [index.kind, index.metric, partitions]


def probes_are_due(dataset: LanceDataset, table: Table, specs: Sequence[IndexSpec]) -> bool:
    """Whether :func:`record_probes` has anything to do when it ``renews``."""
    return any(_unmeasured(dataset, table, specs, renews=True))


def record_probes(
    store: TableRoot,
    table: Table,
    specs: Sequence[IndexSpec],
    *,
    renews: bool,
    committed: Callable[[int], None] = lambda version: None,
) -> int:
    """Measure and record the probes of each index that has none; returns the table's version after it.

    With ``renews`` also where the rows have doubled: not while a job waits, as a training is due then, too.
    ``committed`` is called before each search with the table's version; what it raises ends the work.

    Raises:
        StorageConflict: other processes kept recording first; try again later.
    """
    return retry_conflicts(_record_probes, store, table, specs, renews, committed)


def _record_probes(
    store: TableRoot, table: Table, specs: Sequence[IndexSpec], renews: bool, committed: Callable[[int], None]
) -> int:
    doing = f"measuring the recall of searches of the table {table.id}"
    dataset = store.latest(table.id, doing)
    with translating_errors(doing, store.options):
        for each in list(_unmeasured(dataset, table, specs, renews=renews)):
            before, known = int(dataset.version), segment_ids(dataset)
            entry = {
                "trained": _trained(each.index, each.partitions),
                "rows": each.index.rows,
                "probes": _measure(dataset, each, partial(committed, before)),
            }
            dataset.update_config({_key(each.index.name): orjson.dumps(entry).decode()})
            durable_indexes(store, table.id, dataset, before, known)
            store.forget(table.id)
        return int(dataset.version)


def _key(name: str) -> str:
    return f"penstock.probes.{name}"


def _unmeasured(
    dataset: LanceDataset, table: Table, specs: Sequence[IndexSpec], *, renews: bool
) -> Iterator[_Measured]:
    existing = existing_indexes(dataset)
    for desired, target in desired_indexes(dataset, table, specs, int(dataset.count_rows())):
        actual = existing.get(index_name(desired.column))
        if target is None or desired.metric is None or desired.is_graph or actual is None:
            continue
        if not actual.rows or not actual.matches(desired):
            continue
        partitions = partitions_of(dataset, actual)
        if partitions <= LEAST_PROBES:  # all of them are probed
            continue
        entry = _entry(dataset, actual, partitions)
        if entry is None or (renews and actual.rows >= 2 * entry["rows"]):
            yield _Measured(desired.column, desired.metric, target, actual, partitions)


def _measure(dataset: LanceDataset, measured: _Measured, check: Callable[[], None]) -> int:
    """The fewest partitions in which a search finds :data:`RECALL` of the rows that it finds in all of them.

    ``check`` is called before each search.
    """
    searches = list(_searches(dataset, measured, check))
    if len(searches) < _LEAST_QUERIES:  # nearly all vectors are null
        return _estimate(measured.partitions)
    numbers = _numbers(min(measured.partitions, MOST_PROBES))
    return numbers[bisect_left(numbers, RECALL, hi=len(numbers) - 1, key=lambda number: _recall(searches, number))]


def _numbers(most: int) -> Sequence[int]:
    """The numbers of probes to choose from."""
    numbers = [min(LEAST_PROBES, most)]
    while numbers[-1] < most:
        numbers.append(min(most, math.ceil(numbers[-1] * _STEP)))
    return numbers


@dataclass
class _Search:
    """A search for the neighbours of a stored vector: the distance of the last one, and where all were found."""

    distances: Callable[[int], npt.NDArray[np.float32]]
    farthest: float
    complete_with: int

    def share(self, probes: int) -> float:
        """The share of the neighbours that so many probes find."""
        if probes >= self.complete_with:
            return 1.0
        found = int((self.distances(probes) <= self.farthest).sum()) - 1  # the vector itself is one of them
        if found >= NEIGHBOURS:
            self.complete_with = probes
        return min(max(found, 0), NEIGHBOURS) / NEIGHBOURS


def _recall(searches: Sequence[_Search], probes: int) -> float:
    return sum(search.share(probes) for search in searches) / len(searches)


def _searches(dataset: LanceDataset, measured: _Measured, check: Callable[[], None]) -> Iterator[_Search]:
    """A search for each stored vector that has neighbours: some have no direction, or too few others beside them."""
    compared = min(measured.partitions, _MOST_COMPARED)
    for vector in _stored_vectors(dataset, measured, compared):
        distances = partial(_distances, dataset, measured, check, vector)
        nearest = distances(compared)
        if len(nearest) > NEIGHBOURS and math.isfinite(nearest[-1]):
            yield _Search(distances, float(nearest[-1]), compared)


def _stored_vectors(dataset: LanceDataset, measured: _Measured, compared: int) -> Sequence[npt.NDArray[Any]]:
    """Vectors of the table that are spread evenly by chance, always the same ones."""
    rows = int(dataset.count_rows())
    bytes_per_query = vector_bytes(measured.field, measured.index.rows) * compared // measured.partitions
    count = min(_QUERIES, max(_LEAST_QUERIES, _MAX_BYTES // max(bytes_per_query, 1)))
    places = np.sort(np.random.default_rng(0).choice(rows, min(count, rows), replace=False))
    column: Any = dataset.take(places.tolist(), columns=[measured.column])[measured.column]
    vectors = column.drop_null().combine_chunks().flatten().to_numpy().reshape(-1, measured.field.width)
    binary = measured.field.type is DataType.BINARY_VECTOR
    return list(np.ascontiguousarray(vectors, np.uint8 if binary else np.float32))


def _distances(
    dataset: LanceDataset, measured: _Measured, check: Callable[[], None], query: npt.NDArray[Any], probes: int
) -> npt.NDArray[np.float32]:
    """The distances, as the index has them, of the nearest rows in this many partitions, and of the query itself."""
    check()
    answer = dataset.scanner(
        columns=["_rowid", "_distance"],
        nearest={
            "column": measured.column,
            "q": query,
            "k": NEIGHBOURS + 1,
            "metric": LANCE_METRICS[measured.metric],
            "use_index": True,
            "minimum_nprobes": probes,
            "maximum_nprobes": probes,
        },
        fast_search=True,  # rows that no segment has are compared anyway
        disable_scoring_autoprojection=True,
    ).to_table()
    distances: npt.NDArray[np.float32] = answer["_distance"].to_numpy()
    return np.sort(distances)

"""Build a table's indexes, and extend them as rows arrive.

:mod:`penstock.engines.lance.index.mapping` decides which index a table gets. Rows that arrive after it was built are
searched by brute force until there are :data:`MAX_UNINDEXED_ROWS` of them; then they are added as a segment, without
training. Rows not indexed yet are never missing from an answer. What takes longer is done in the background:
:mod:`penstock.engines.lance.index.optimize`.

The partition column gets a BITMAP where there is more than one partition.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import groupby
from typing import Any

from lance.dataset import LanceDataset
from lance.indices import IndexSegmentDescription

from penstock.domain.arrow_schema import PARTITION_COLUMN
from penstock.domain.index import IndexSpec, Metric
from penstock.domain.schema import Field
from penstock.engines.lance.index.mapping import (
    LEAST_SCALAR_ROWS,
    DesiredIndex,
    desired_index,
    partitions_by_size,
    partitions_for,
    sample_rate,
    vector_bytes,
)
from penstock.engines.lance.index.present_rows import present_rows
from penstock.engines.lance.index.progress import Progress, Steps
from penstock.engines.lance.index.segments import GROWTH, appended, is_outgrown, merged_by_extension
from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.names import stored_name
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.values import Table

MAX_UNINDEXED_ROWS = 10_000
"""Rows that may be outside of an index before it is extended."""
_MAX_UNINDEXED_BYTES, _LEAST_UNINDEXED_ROWS = 4 << 20, 1_000
"""Vectors that may be outside of an index, but no fewer rows than these: with 10,000 rows of 256 dimensions outside,
a search of 80,000 took 11 ms of processor time instead of 6."""

_partition_counts: dict[str, int] = {}
"""Partitions by segment, which never changes: Lance reads the whole index to report them."""
_MAX_CACHED_COUNTS = 10_000

LANCE_METRICS = {Metric.L2: "l2", Metric.IP: "dot", Metric.COSINE: "cosine", Metric.HAMMING: "hamming"}
_METRICS = {"L2": Metric.L2, "DOT": Metric.IP, "COSINE": Metric.COSINE, "HAMMING": Metric.HAMMING}


@dataclass(frozen=True)
class ActualIndex:
    """An index that the table has: kind (``IVFSQ``, ``BTREE`` …), metric if any, rows in it; segments, oldest first.

    ``fields`` are the ids of its columns.
    """

    name: str
    kind: str
    metric: Metric | None
    rows: int
    segments: Sequence[IndexSegmentDescription]
    fields: Sequence[int]
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def units(self) -> Sequence[Sequence[IndexSegmentDescription]]:
        """The segments, oldest first. Those that were trained together are one unit: they have one version."""
        by_version = groupby(self.segments, key=lambda segment: segment.dataset_version_at_last_update)
        return [list(unit) for _, unit in by_version]

    @property
    def trained_segment(self) -> str:
        """The id of the segment that the partitions were trained for, or of one of them."""
        return str(max(self.units, key=lambda unit: sum(segment.size_bytes or 0 for segment in unit))[0].uuid)

    @property
    def is_graph(self) -> bool:
        return "HNSW" in self.kind

    def matches(self, wanted: DesiredIndex) -> bool:
        """Whether kind, metric and parameters are the desired ones; ``nlist`` is not compared."""
        details = wanted.details or {}
        return (
            self.kind == wanted.kind.replace("_", "")
            and self.metric is wanted.metric
            and all(
                int((self.details.get(group) or {}).get(key, -1)) == value
                for group, values in details.items()
                for key, value in values.items()
            )
        )


class _IndexAction(Enum):
    """The work that an index needs."""

    BUILD = auto()
    EXTEND = auto()


def index_name(column: str) -> str:
    return f"{column}.index"


def existing_indexes(dataset: LanceDataset) -> dict[str, ActualIndex]:
    return {
        index.name: ActualIndex(
            name=index.name,
            kind=index.index_type.upper().replace("_", ""),
            metric=_METRICS.get(str((index.details or {}).get("metric_type", "")).upper()),
            rows=int(index.num_rows_indexed),
            segments=index.segments,
            fields=index.fields,
            details=index.details or {},
        )
        for index in dataset.describe_indices()
    }


def vector_index(dataset: LanceDataset, field: Field) -> ActualIndex | None:
    """The index of a vector field, if the table has one."""
    return existing_indexes(dataset).get(index_name(stored_name(field.name)))


def indexed_rows(store: TableRoot, table: Table, spec: IndexSpec) -> int:
    """Count the rows that an index covers; all rows where brute force is used instead of an index."""
    doing = f"describing the index {spec.name}"
    dataset = store.at_least(table, doing)
    with translating_errors(doing, store.options):
        rows = int(dataset.count_rows())
        desired = _desired(dataset, table, spec, rows)
        return rows if desired is None else _built_rows(dataset, desired)


def built_rows(store: TableRoot, table: Table, spec: IndexSpec) -> int:
    """Count the rows that the built index has; 0 where brute force is used instead of an index."""
    doing = f"describing the index {spec.name}"
    dataset = store.at_least(table, doing)
    with translating_errors(doing, store.options):
        desired = _desired(dataset, table, spec, int(dataset.count_rows()))
        return 0 if desired is None else _built_rows(dataset, desired)


def _built_rows(dataset: LanceDataset, desired: DesiredIndex) -> int:
    actual = existing_indexes(dataset).get(index_name(desired.column))
    return actual.rows if actual is not None and actual.matches(desired) else 0


def spec_is_due(store: TableRoot, table: Table, spec: IndexSpec) -> bool:
    """Whether :func:`index` has anything to do for one index."""
    doing = f"describing the index {spec.name}"
    dataset = store.at_least(table, doing)
    with translating_errors(doing, store.options):
        rows = int(dataset.count_rows())
        desired = _desired(dataset, table, spec, rows)
        if desired is None:
            return False
        target = table.schema[spec.field_name]
        return (
            _action(dataset, desired, target, existing_indexes(dataset).get(index_name(desired.column)), rows)
            is not None
        )


def _desired(dataset: LanceDataset, table: Table, spec: IndexSpec, rows: int) -> DesiredIndex | None:
    target = table.schema[spec.field_name]
    return desired_index(stored_name(target.name), target, spec, present_rows(dataset, target, rows))


@dataclass(frozen=True)
class _Plan:
    """The index work due for a table, in order, and the indexes to drop."""

    rows: int
    steps: Sequence[tuple[DesiredIndex, Field | None, _IndexAction]]
    stale: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.steps or self.stale)


def desired_indexes(
    dataset: LanceDataset, table: Table, specs: Sequence[IndexSpec], rows: int
) -> list[tuple[DesiredIndex, Field | None]]:
    """The indexes that a table of ``rows`` rows should have, with their fields; the partition column has none."""
    indexes: list[tuple[DesiredIndex, Field | None]] = []
    for spec in specs:
        desired = _desired(dataset, table, spec, rows)
        if desired is not None:
            indexes.append((desired, table.schema[spec.field_name]))
    return indexes


def _plan(dataset: LanceDataset, table: Table, specs: Sequence[IndexSpec]) -> _Plan:
    rows = int(dataset.count_rows())
    indexes = desired_indexes(dataset, table, specs, rows)
    existing = existing_indexes(dataset)
    if rows >= LEAST_SCALAR_ROWS and (index_name(PARTITION_COLUMN) in existing or _has_partitions(dataset)):
        indexes.append((DesiredIndex(PARTITION_COLUMN, "BITMAP"), None))
    steps = []
    for desired, target in indexes:
        action = _action(dataset, desired, target, existing.get(index_name(desired.column)), rows)
        if action is not None:
            steps.append((desired, target, action))
    named = {index_name(stored_name(spec.field_name)) for spec in specs} | {index_name(PARTITION_COLUMN)}
    return _Plan(rows, steps, sorted(existing.keys() - named))


def _action(
    dataset: LanceDataset, desired: DesiredIndex, target: Field | None, actual: ActualIndex | None, rows: int
) -> _IndexAction | None:
    if actual is None or not actual.matches(desired):
        return _IndexAction.BUILD
    if target is not None and desired.partitions is not None:
        has = partitions_of(dataset, actual)
        should = partitions_for(desired, target, present_rows(dataset, target, rows))
        if has != should and (has > should or should == desired.partitions):
            return _IndexAction.BUILD
    lags = rows - actual.rows > _max_unindexed(target) or actual.rows == 0 < rows
    return _IndexAction.EXTEND if lags else None


def is_to_be_built(
    dataset: LanceDataset, desired: DesiredIndex, target: Field, actual: ActualIndex, rows: int
) -> bool:
    """Whether an index that the table has is to be replaced by another one."""
    return _action(dataset, desired, target, actual, rows) is _IndexAction.BUILD


def needs_training(dataset: LanceDataset, desired: DesiredIndex, target: Field, actual: ActualIndex) -> bool:
    """Whether a vector index is to be trained anew: it has outgrown its partitions."""
    rows = segment_rows(dataset, actual)
    if is_outgrown(rows):
        return True
    # One import may have appended more rows than the index was trained on.
    if len(rows) < 2 or desired.is_graph or desired.partitions is not None:
        return False
    usual = partitions_by_size(present_rows(dataset, target, actual.rows))
    return usual >= GROWTH * (partitions_of(dataset, actual) + 1)


def _max_unindexed(target: Field | None) -> int:
    """How many rows may be outside of an index."""
    if target is None or not target.type.is_vector:
        return MAX_UNINDEXED_ROWS
    by_bytes = _MAX_UNINDEXED_BYTES // vector_bytes(target, 1)
    return min(MAX_UNINDEXED_ROWS, max(by_bytes, _LEAST_UNINDEXED_ROWS))


def index_is_due(dataset: LanceDataset, table: Table, specs: Sequence[IndexSpec]) -> bool:
    """Whether :func:`index` has anything to do."""
    return bool(_plan(dataset, table, specs))


def index(
    store: TableRoot,
    table: Table,
    specs: Sequence[IndexSpec],
    progress: Progress = lambda share: None,
    kept: Collection[str] = (),
    memory: int | None = None,
) -> int:
    """Do what is due; returns the table's version after it. The segments ``kept`` are not merged with new rows.

    ``memory`` bounds the sample that partitions are trained on.
    """
    doing = f"indexing the table {table.id}"
    dataset = store.latest(table.id, doing)
    with translating_errors(doing, store.options):
        before = int(dataset.version)
        plan = _plan(dataset, table, specs)
        existing = segment_ids(dataset)
        steps = Steps(progress, [10.0 if desired.is_vector else 1.0 for desired, _, _ in plan.steps])
        for desired, target, action in plan.steps:
            steps.begin()
            if action is _IndexAction.BUILD:
                _build(dataset, desired, target, plan.rows, steps, memory)
            else:
                _extend(dataset, index_name(desired.column), kept)
        for name in plan.stale:
            dataset.drop_index(name)
        version = int(dataset.version)
        if version != before:
            durable_indexes(store, table.id, dataset, before, existing)
    if version != before:
        store.forget(table.id)  # the next read opens the version that has the index
    return version


def _extend(dataset: LanceDataset, name: str, kept: Collection[str]) -> None:
    """Add the rows that an index lacks, as a segment or merged with the newest ones."""
    actual = existing_indexes(dataset)[name]
    count = len(mergeable_rows(dataset, actual, kept))
    dataset.optimize.optimize_indices(num_indices_to_merge=merged_by_extension(count), index_names=[name])


def mergeable_rows(dataset: LanceDataset, index: ActualIndex, kept: Collection[str] = ()) -> Sequence[int]:
    """The rows of those newest segments of an index that may be merged: of vector indexes not the trained ones."""
    rows = segment_rows(dataset, index)
    newer = [str(unit[0].uuid) not in kept for unit in index.units]
    if not all(newer):
        return rows[len(rows) - sum(newer) :]
    return rows if index.metric is None else appended(rows)


def segment_rows(dataset: LanceDataset, index: ActualIndex) -> Sequence[int]:
    """The live rows of each segment of an index, oldest first; those that were trained together count as one."""
    live = {
        fragment.fragment_id: int(fragment.physical_rows) - int(fragment.num_deletions)
        for fragment in dataset.get_fragments()
    }
    return [sum(live.get(id_, 0) for segment in unit for id_ in segment.fragment_ids) for unit in index.units]


def _has_partitions(dataset: LanceDataset) -> bool:
    first = dataset.scanner(columns=[PARTITION_COLUMN], limit=1).to_table()[PARTITION_COLUMN][0].as_py()
    others = dataset.scanner(columns=[PARTITION_COLUMN], filter=f"`{PARTITION_COLUMN}` <> {first}", limit=1)
    return len(others.to_table()) > 0


def _build(
    dataset: LanceDataset,
    desired: DesiredIndex,
    target: Field | None,
    rows: int,
    steps: Steps,
    memory: int | None,
) -> None:
    name = index_name(desired.column)
    if desired.metric is None or target is None:
        dataset.create_scalar_index(desired.column, desired.kind, name=name, replace=True)  # type: ignore[arg-type]
        return
    options = training_options(dataset, desired, desired.metric, target, rows, memory)
    dataset.create_index(desired.column, desired.kind, name=name, progress_callback=steps.update, **options)


def training_options(
    dataset: LanceDataset, desired: DesiredIndex, metric: Metric, target: Field, rows: int, memory: int | None
) -> dict[str, Any]:
    """Arguments with which a vector index over ``rows`` rows is trained, in place of the one that is there."""
    partitions = partitions_for(desired, target, present_rows(dataset, target, rows))
    return {
        "metric": LANCE_METRICS[metric],
        "num_partitions": partitions,
        "sample_rate": sample_rate(target, partitions, memory),
        "replace": True,
        **desired.build_options(),
    }


def partitions_of(dataset: LanceDataset, index: ActualIndex) -> int:
    """Count the partitions of a vector index: of its trained segment, and of those appended to it."""
    id_ = index.trained_segment
    count = _partition_counts.get(id_)
    if count is None:
        segments = dataset.stats.index_stats(index.name)["segments"]
        count = next(int(segment["num_partitions"]) for segment in segments if segment["uuid"] == id_)
        if len(_partition_counts) >= _MAX_CACHED_COUNTS:
            _partition_counts.clear()
        _partition_counts[id_] = count
    return count


def segment_ids(dataset: LanceDataset) -> set[str]:
    """The index segments of a version: folders below ``_indices``."""
    return {str(segment.uuid) for index in dataset.describe_indices() for segment in index.segments}


def durable_indexes(
    store: TableRoot, table_id: str, dataset: LanceDataset, before: int, known: set[str], names: Sequence[str] = ()
) -> None:
    """Sync to disk: index folders that are not ``known``, ``names``, and each version since ``before``."""
    if not store.is_local:
        return
    files = store.files(table_id)
    written = list(names)
    for id_ in sorted(segment_ids(dataset) - known):
        written += files.names(f"_indices/{id_}")
    for version in range(before + 1, int(dataset.version) + 1):
        store.sync_version(table_id, version, written)
        written = []

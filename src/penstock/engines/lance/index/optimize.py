"""Merge the segments of a table's indexes, and retrain vector indexes, while searches and publishes go on.

:mod:`penstock.engines.lance.index.segments` decides what is due. A training reads the rows that the index covers when
it begins, and writes a segment that no version has yet; searches use the old segments until one commit puts it in
their place. Meanwhile, rows that arrive are appended to the old index, so that no job waits for a training. What was
appended stays next to the new segment, and has the old partitions.

If the old segments are no longer there when a training ends (another process has compacted the table or built the
index), its segment is deleted and nothing has changed: :mod:`penstock.engines.lance.index.segment_commit`. A large
index is trained by several tasks instead: :mod:`penstock.engines.lance.index.distributed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass

from lance.dataset import Index, LanceDataset

from penstock.domain.index import IndexSpec
from penstock.domain.schema import Field
from penstock.engines.lance.index.build import (
    ActualIndex,
    desired_indexes,
    durable_indexes,
    existing_indexes,
    index,
    index_name,
    mergeable_rows,
    needs_training,
    segment_ids,
    training_options,
)
from penstock.engines.lance.index.mapping import DesiredIndex
from penstock.engines.lance.index.segment_commit import delete_unless_used, put_in_place
from penstock.engines.lance.index.segments import merged_by_level
from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.values import Table
from penstock.errors import StorageConflict

_POLL_SECONDS = 1.0
"""How often a training looks for rows that have arrived."""

Committed = Callable[[int], None]
"""Called with the table's version, whether it has changed or not; may raise to end the work."""


@dataclass(frozen=True)
class _Training:
    """A vector index to retrain: its name, what it should be, and its field."""

    name: str
    desired: DesiredIndex
    target: Field


def optimization_is_due(dataset: LanceDataset, table: Table, specs: Sequence[IndexSpec]) -> bool:
    """Whether :func:`optimize` has anything to do."""
    trainings = _trainings(dataset, table, specs)
    return bool(trainings) or any(_merges(dataset, trainings))


def optimize(
    store: TableRoot,
    table: Table,
    specs: Sequence[IndexSpec],
    committed: Committed = lambda version: None,
    memory: int | None = None,
) -> int:
    """Do what is due; returns the table's version after it. ``memory`` as for :func:`index`.

    Raises:
        StorageConflict: another process has changed an index meanwhile; try again later.
    """
    doing = f"optimizing the indexes of the table {table.id}"
    dataset = store.latest(table.id, doing)
    with translating_errors(doing, store.options):
        before, known = int(dataset.version), segment_ids(dataset)
        trainings = _trainings(dataset, table, specs)
        for name, count in list(_merges(dataset, trainings)):
            dataset.optimize.optimize_indices(num_indices_to_merge=count, index_names=[name])
        version = int(dataset.version)
        if version != before:
            durable_indexes(store, table.id, dataset, before, known)
    committed(version)
    for training in trainings:
        version = _train(store, table, specs, training, committed, memory)
        committed(version)
    store.forget(table.id)  # the next read opens the version that is quicker to search
    return version


def _trainings(dataset: LanceDataset, table: Table, specs: Sequence[IndexSpec]) -> list[_Training]:
    existing = existing_indexes(dataset)
    trainings = []
    for desired, target in desired_indexes(dataset, table, specs, int(dataset.count_rows())):
        actual = existing.get(index_name(desired.column))
        if target is None or not desired.is_vector or actual is None or not actual.matches(desired):
            continue
        if needs_training(dataset, desired, target, actual):
            trainings.append(_Training(actual.name, desired, target))
    return trainings


def _merges(dataset: LanceDataset, trainings: Sequence[_Training]) -> Iterator[tuple[str, int]]:
    """The indexes with segments to merge, and how many of the newest ones.

    Before a training all that may be are merged: what is appended while it runs comes on top.
    """
    trained = {training.name for training in trainings}
    for name, actual in existing_indexes(dataset).items():
        rows = mergeable_rows(dataset, actual)
        count = len(rows) if name in trained else merged_by_level(rows)
        if count > 1:
            yield name, count


def _train(
    store: TableRoot,
    table: Table,
    specs: Sequence[IndexSpec],
    training: _Training,
    committed: Committed,
    memory: int | None,
) -> int:
    doing = f"training the index {training.name} of the table {table.id}"
    dataset = store.latest(table.id, doing)
    with translating_errors(doing, store.options):
        actual = existing_indexes(dataset)[training.name]
        replaced = {str(segment.uuid) for segment in actual.segments}
        before, seen = int(dataset.version), 0  # rows may have arrived while this task waited for a worker
        with ThreadPoolExecutor(1, thread_name_prefix="training") as pool:
            built = pool.submit(_build_segment, dataset, training, actual, memory)
            try:
                while not wait([built], _POLL_SECONDS).done:
                    with suppress(StorageConflict):  # the next turn tries again
                        if int(store.latest(table.id, doing).version) > seen:
                            seen = index(store, table, specs, kept=replaced, memory=memory)
                    committed(max(before, seen))
                segment = built.result()
                files = store.files(table.id)
                files.sync(files.names(f"_indices/{segment.uuid}"))
                return put_in_place(store, table, doing, training.desired, [segment], replaced)
            except BaseException:
                delete_unless_used(store, table, before, [built.result()])
                raise


def _build_segment(dataset: LanceDataset, training: _Training, actual: ActualIndex, memory: int | None) -> Index:
    """Train on the rows that an index covers, and write the segment. No version has it yet."""
    metric = training.desired.metric
    assert metric is not None
    live = {fragment.fragment_id for fragment in dataset.get_fragments()}
    covered = live & {id_ for segment in actual.segments for id_ in segment.fragment_ids}
    return dataset.create_index_uncommitted(
        training.desired.column,
        training.desired.kind,
        name=training.name,
        fragment_ids=sorted(covered),
        **training_options(dataset, training.desired, metric, training.target, actual.rows, memory),
    )

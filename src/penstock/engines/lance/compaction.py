"""Joining small fragments: a table that many small jobs wrote is to be read as quickly as one of a large job.

Every query opens every fragment: a filter on 1,000 of them takes 0.3 s. Fragments are joined by size: as soon as
:data:`FEW` of a size class come together they become one of the next class, so that a row is written anew at most
once per class, and a table keeps some twenty small fragments, whatever the number of its jobs.

Lance commits a compaction only if the fragments that it read are still what they were: a publish, a delete or an
index build that came between refuses it, and a compaction that came between refuses a publish, which then begins
anew. So neither loses the other's rows. A refused compaction takes its files away and waits for another time. Indexes
keep covering what they covered: their row addresses are moved along in the same commit.

See docs/decisions/0009-compaction.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from lance.dataset import LanceDataset
from lance.fragment import FragmentMetadata, LanceFragment
from lance.optimize import Compaction, CompactionTask, RewriteResult

from penstock.engines.base import Table
from penstock.engines.lance.failures import told
from penstock.engines.lance.indexes import durable_indexes, segment_ids
from penstock.engines.lance.staging import MAX_FILE_BYTES, MAX_FILE_ROWS
from penstock.engines.lance.storage import WRITE_BATCH_BYTES
from penstock.engines.lance.store import Store
from penstock.errors import StoreConflict

__all__ = ["CLASSES", "FEW", "compact", "compaction_is_due"]

CLASSES = (8 << 20, 64 << 20, 512 << 20)
"""Upper ends of the size classes, in bytes; a fragment beyond the last one stays as it is."""

FEW = 8
"""So many fragments fewer make a compaction worth it."""

_WORN = 0.1
"""A fragment is written anew, whatever its size, when more than this share of its rows is deleted."""

_ATTEMPTS = 3


def compaction_is_due(store: Store, table: Table) -> bool:
    """Whether :func:`compact` has anything to do."""
    doing = f"looking at the fragments of the table {table.id}"
    dataset = store.latest(table.id, doing)
    with told(doing, store.options):
        return _plan(dataset) is not None


def compact(store: Store, table: Table) -> int:
    """Join what is due; returns the table's version after it.

    Raises:
        StoreConflict: others changed the table again and again meanwhile; nothing is lost, try again later.
    """
    doing = f"compacting the table {table.id}"
    attempts = 0
    while True:
        dataset = store.latest(table.id, doing)
        with told(doing, store.options):
            tasks = _plan(dataset)
        if tasks is None:
            return int(dataset.version)
        try:
            with told(doing, store.options):
                _run(store, table, dataset, tasks)
        except StoreConflict:
            attempts += 1
            if attempts == _ATTEMPTS:
                raise
        else:
            attempts = 0
            store.forget(table.id)  # whoever reads next opens the version that is quicker to read


def _plan(dataset: LanceDataset) -> Sequence[CompactionTask] | None:
    """What to join: of the smallest class in which enough comes together; None if there is none."""
    fragments = dataset.get_fragments()
    if len(fragments) < FEW and not any(map(_is_worn, fragments)):
        return None
    sizes = {each.fragment_id: _size(each) for each in fragments}
    rows = sum(each.physical_rows for each in fragments)
    batch = max(1, WRITE_BATCH_BYTES * rows // max(sum(sizes.values()), 1))
    for limit in CLASSES:
        large = [each.fragment_id for each in fragments if sizes[each.fragment_id] >= limit and not _is_worn(each)]
        planned = Compaction.plan(
            dataset,
            {
                "excluded_fragment_ids": large,
                "target_rows_per_fragment": MAX_FILE_ROWS,
                "max_bytes_per_file": MAX_FILE_BYTES,
                "materialize_deletions_threshold": _WORN,
                "batch_size": batch,
                "num_threads": 1,
            },
        )
        tasks = planned.tasks
        worn = any(_is_worn(each) for task in tasks for each in task.fragments)
        if worn or sum(len(each.fragments) - 1 for each in tasks) >= FEW - 1:
            return tasks
    return None


def _size(fragment: LanceFragment) -> int:
    return sum(int(each.file_size_bytes or 0) for each in fragment.data_files())


def _is_worn(fragment: LanceFragment | FragmentMetadata) -> bool:
    return int(fragment.num_deletions) > _WORN * int(fragment.physical_rows)


def _run(store: Store, table: Table, dataset: LanceDataset, tasks: Sequence[CompactionTask]) -> None:
    """One commit for all tasks: each one moves the indexes along, which costs the same for many as for one."""
    before, known = int(dataset.version), segment_ids(dataset)
    done: list[RewriteResult] = []
    try:
        for task in tasks:
            done.append(task.execute(dataset))
        names = _names([each for result in done for each in result.new_fragments])
        store.files(table.id).sync(names)
        Compaction.commit(dataset, done)
    except BaseException:
        _take_away(store, table, before, done)
        raise
    durable_indexes(store, table.id, dataset, before, known)


def _names(fragments: Sequence[FragmentMetadata]) -> list[str]:
    return [f"data/{file.path}" for each in fragments for file in each.files]


def _take_away(store: Store, table: Table, before: int, done: Sequence[RewriteResult]) -> None:
    """Delete what was written, unless the commit succeeded although its answer was lost."""
    names = set(_names([each for result in done for each in result.new_fragments]))
    # Whatever can't be told or deleted now, the sweep of orphans finds.
    with suppress(Exception):
        newest = store.latest(table.id, "compacting")
        for version in range(before + 1, int(newest.version) + 1):
            shown = newest.checkout_version(version)
            names -= set(_names([each.metadata for each in shown.get_fragments()]))
        store.files(table.id).delete(names)

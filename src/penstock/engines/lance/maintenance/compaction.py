"""Size-tiered compaction: make a table of many small jobs as quick to read as one of a large job.

Every query opens every fragment: a filter on 1,000 of them takes 0.3 s. A fragment's tier is the logarithm of its
rows to the base :data:`FEW`. As soon as :data:`FEW` fragments of a tier come together they become one of a higher
tier, so a row is rewritten at most once per tier, seven times before its fragment is full, and a table keeps fewer
than :data:`FEW` fragments in each tier, whatever the number of its jobs. Tiers count rows, not bytes: a
joined fragment may compress to less than its sources, and would return to the tier that it came from.

Lance commits a compaction only if the fragments that it read are still what they were: a publish, a delete or an
index build committed between refuses it, and a compaction committed between refuses a publish, which is then retried.
So neither loses the other's rows. A refused compaction deletes its files and waits for the next maintenance. Indexes
keep covering what they covered: their row addresses are remapped in the same commit.

See docs/decisions/0009-compaction.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from lance.dataset import LanceDataset
from lance.fragment import FragmentMetadata, LanceFragment
from lance.optimize import Compaction, CompactionOptions, CompactionTask, RewriteResult

from penstock.engines.lance.index.build import durable_indexes, segment_ids
from penstock.engines.lance.layout.encoding import WRITE_BATCH_BYTES
from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.lance.write.staging import MAX_FILE_BYTES, MAX_FILE_ROWS
from penstock.engines.values import Table
from penstock.errors import StorageConflict

FEW = 8
"""This many fragments of a tier are joined."""

_FULL_BYTES = 512 << 20
"""A fragment of this size, or of as many rows as a file may have, is never joined with others."""

_WORN = 0.2
"""A fragment is rewritten, whatever its size, when more than this share of its rows is deleted.

While rows expire one job after the other, each byte that is freed costs (1 - share) / share bytes of rewriting.
"""

_ATTEMPTS = 3


def compaction_is_due(dataset: LanceDataset) -> bool:
    """Whether :func:`compact` has anything to do.

    Every publish asks, so it makes no tasks: to write the metadata of many fragments as JSON takes longer than that.
    """
    fragments = dataset.get_fragments()
    return bool(_due_groups(fragments, dataset)) and bool(_planned(fragments, dataset))


def compact(store: TableRoot, table: Table) -> int:
    """Join the fragments that are due; returns the table's version after it.

    Raises:
        StorageConflict: other commits kept changing the table; nothing is lost, try again later.
    """
    doing = f"compacting the table {table.id}"
    attempts = 0
    while True:
        dataset = store.latest(table.id, doing)
        with translating_errors(doing, store.options):
            tasks = _plan(dataset)
        if tasks is None:
            return int(dataset.version)
        try:
            with translating_errors(doing, store.options):
                _run(store, table, dataset, tasks)
        except StorageConflict:
            attempts += 1
            if attempts == _ATTEMPTS:
                raise
        else:
            attempts = 0
            store.forget(table.id)  # the next read opens the version that is quicker to read


def _plan(dataset: LanceDataset) -> Sequence[CompactionTask] | None:
    """Tasks for the lowest tier that has enough fragments, and for worn fragments; None if there are none."""
    fragments = dataset.get_fragments()
    groups = _due_groups(fragments, dataset)
    if not groups or not (planned := _planned(fragments, dataset)):
        return None
    # Lance's planner joins neighbours only, whatever their sizes; its executor takes any fragments.
    from_json, (template,) = cast(Any, planned[0].__reduce__())
    task = json.loads(template)
    payloads = [{"fragments": [fragment.metadata.to_json() for fragment in group]} for group in groups]
    return [from_json(json.dumps(task | {"task": payload})) for payload in payloads]


def _planned(fragments: Sequence[LanceFragment], dataset: LanceDataset) -> Sequence[CompactionTask]:
    """The tasks of Lance's own planner."""
    sizes = sum(map(_size, fragments))
    rows = sum(fragment.physical_rows for fragment in fragments)
    options: CompactionOptions = {
        "target_rows_per_fragment": MAX_FILE_ROWS,
        "max_bytes_per_file": MAX_FILE_BYTES,
        "materialize_deletions_threshold": _WORN,
        "batch_size": max(1, WRITE_BATCH_BYTES * rows // max(sizes, 1)),
        "num_threads": 1,
    }
    return cast(Sequence[CompactionTask], Compaction.plan(dataset, options).tasks)


def _due_groups(fragments: Sequence[LanceFragment], dataset: LanceDataset) -> list[list[LanceFragment]]:
    """Groups of fragments to join; a worn fragment may be a group of its own."""
    tiers: dict[int, list[LanceFragment]] = {}
    for fragment in fragments:
        if not _is_full(fragment):
            tiers.setdefault(_tier(_live_rows(fragment)), []).append(fragment)
    groups: list[list[LanceFragment]] = []
    if any(len(tier) >= FEW for tier in tiers.values()):
        covers = _covering_segments(dataset)
        for _, tier in sorted(tiers.items()):
            # An index covers all rows of a fragment or none: only fragments with the same indexes can be joined.
            by_coverage: dict[frozenset[str], list[LanceFragment]] = {}
            for fragment in tier:
                by_coverage.setdefault(covers.get(fragment.fragment_id, frozenset()), []).append(fragment)
            groups = [group for group in by_coverage.values() if len(group) >= FEW]
            if groups:
                break
    joined = {fragment.fragment_id for group in groups for fragment in group}
    return groups + [
        [fragment] for fragment in fragments if _needs_rewrite(fragment) and fragment.fragment_id not in joined
    ]


def _covering_segments(dataset: LanceDataset) -> Mapping[int, frozenset[str]]:
    """By fragment, the index segments that cover it."""
    covers: dict[int, set[str]] = {}
    for index in dataset.describe_indices():
        for segment in index.segments:
            for fragment_id in segment.fragment_ids:
                covers.setdefault(fragment_id, set()).add(str(segment.uuid))
    return {fragment_id: frozenset(segments) for fragment_id, segments in covers.items()}


def _tier(rows: int) -> int:
    """The logarithm of ``rows`` to the base :data:`FEW`, rounded down."""
    tier = 0
    while rows >= FEW:
        rows //= FEW
        tier += 1
    return tier


def _is_full(fragment: LanceFragment) -> bool:
    return int(fragment.physical_rows) >= MAX_FILE_ROWS or _size(fragment) >= _FULL_BYTES


def _live_rows(fragment: LanceFragment) -> int:
    return int(fragment.physical_rows) - int(fragment.num_deletions)


def _size(fragment: LanceFragment) -> int:
    return sum(int(file.file_size_bytes or 0) for file in fragment.data_files())


def _needs_rewrite(fragment: LanceFragment) -> bool:
    return int(fragment.num_deletions) > _WORN * int(fragment.physical_rows)


def _run(store: TableRoot, table: Table, dataset: LanceDataset, tasks: Sequence[CompactionTask]) -> None:
    """Run all tasks and commit once: each commit remaps the indexes, which costs the same for many as for one."""
    before, existing = int(dataset.version), segment_ids(dataset)
    results: list[RewriteResult] = []
    try:
        for task in tasks:
            results.append(task.execute(dataset))
        names = _names([new_fragment for result in results for new_fragment in result.new_fragments])
        store.files(table.id).sync(names)
        Compaction.commit(dataset, results)
    except BaseException:
        _delete_rejected_files(store, table, before, results)
        raise
    durable_indexes(store, table.id, dataset, before, existing)


def _names(fragments: Sequence[FragmentMetadata]) -> list[str]:
    return [f"data/{file.path}" for fragment in fragments for file in fragment.files]


def _delete_rejected_files(store: TableRoot, table: Table, before: int, results: Sequence[RewriteResult]) -> None:
    """Delete the written files, unless the commit succeeded although its response was lost."""
    names = set(_names([new_fragment for result in results for new_fragment in result.new_fragments]))
    # What can't be checked or deleted now is found later as orphan files.
    with suppress(Exception):
        newest = store.latest(table.id, "compacting")
        for version in range(before + 1, int(newest.version) + 1):
            snapshot = newest.checkout_version(version)
            names -= set(_names([fragment.metadata for fragment in snapshot.get_fragments()]))
        store.files(table.id).delete(names)

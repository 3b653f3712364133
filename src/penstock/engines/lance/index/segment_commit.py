"""Commit new segments of a vector index in the place of those that it had; or delete them.

A publish and the commit of an index don't refuse each other. If the index has changed otherwise meanwhile (another
process has compacted the table or built the index), nothing is committed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace

import lance
from lance.dataset import Index, LanceDataset, LanceOperation

from penstock.engines.lance.index.build import durable_indexes, existing_indexes, index_name, segment_ids
from penstock.engines.lance.index.mapping import DesiredIndex
from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.lance.write.commit import retry_conflicts
from penstock.engines.values import Table
from penstock.errors import StorageConflict


def put_in_place(
    store: TableRoot,
    table: Table,
    doing: str,
    desired: DesiredIndex,
    segments: Sequence[Index],
    replaced: Collection[str],
) -> int:
    """Commit synced segments in the place of those ``replaced``; returns the table's version after it.

    Segments that were appended meanwhile stay, merged to one: before the new ones, whose partitions are others.

    Raises:
        StorageConflict: another process has changed the index.
    """
    version = retry_conflicts(_replace_once, store, table, doing, desired, segments, replaced)
    if version is None:
        raise StorageConflict(
            f"Another process changed the index while {doing}. Nothing was changed; it is trained again later"
        )
    return version


def _replace_once(
    store: TableRoot,
    table: Table,
    doing: str,
    desired: DesiredIndex,
    segments: Sequence[Index],
    replaced: Collection[str],
) -> int | None:
    """None if another segment covers rows of these, or they cover none any more, or another index is there."""
    dataset = store.latest(table.id, doing)
    with translating_errors(doing, store.options):
        before, known = int(dataset.version), segment_ids(dataset)
        name = index_name(desired.column)
        actual = existing_indexes(dataset).get(name)
        present = [] if actual is None else actual.segments
        newer = [each for each in present if str(each.uuid) not in replaced]
        covered = {id_ for segment in segments for id_ in segment.fragment_ids}
        lives = any(fragment.fragment_id in covered for fragment in dataset.get_fragments())
        was_dropped = bool(replaced) and not present
        is_another = bool(newer) and actual is not None and not actual.matches(desired)
        if not lives or was_dropped or is_another or any(covered.intersection(each.fragment_ids) for each in newer):
            return None
        if len(newer) > 1:
            # Behind the trained segments, whose partitions are others, they could not be merged any more.
            dataset.optimize.optimize_indices(num_indices_to_merge=len(newer), index_names=[name])
        old = [
            Index(
                uuid=str(each.uuid),
                name=name,
                fields=[] if actual is None else list(actual.fields),
                dataset_version=each.dataset_version_at_last_update,
                fragment_ids=each.fragment_ids,
                index_version=each.index_version,
            )
            for each in present
            if str(each.uuid) in replaced
        ]
        # Segments that were trained together are recognised by their version, which no other segment has: what was
        # appended meanwhile read an earlier one, but maybe the one that they were trained from.
        version = int(dataset.version)
        new = [replace(segment, dataset_version=version) for segment in segments]
        transaction = lance.Transaction(read_version=version, operation=LanceOperation.CreateIndex(new, old))
        committed = LanceDataset.commit(
            store.uri(table.id), transaction, storage_options=store.options or None, max_retries=0
        )
        durable_indexes(store, table.id, committed, before, known | {str(segment.uuid) for segment in segments})
    return int(committed.version)


def delete_unless_used(store: TableRoot, table: Table, before: int, segments: Sequence[Index]) -> None:
    """Delete segments, unless their commit after version ``before`` succeeded although the response was lost."""
    # What can't be checked or deleted now is found later as orphan files.
    with suppress(Exception):
        newest = store.latest(table.id, "training an index")
        versions = [newest.checkout_version(version) for version in range(before + 1, int(newest.version) + 1)]
        used = {id_ for version in versions for id_ in segment_ids(version)}
        files = store.files(table.id)
        for segment in segments:
            if str(segment.uuid) not in used:
                files.delete(files.names(f"_indices/{segment.uuid}"))

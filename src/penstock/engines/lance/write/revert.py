"""Revert a job: remove its rows and bring back those that it replaced, in one transaction.

The rows that it replaced are in the files of the version before its publish. They come back in new fragments of
these same files, in which all other rows are deleted: nothing is copied. The fragments are new, with ids that no
index has, so that they are searched by brute force until the indexes cover them. Their column of the job is theirs,
and so is their time to live.

See docs/decisions/0016-write-modes.md.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from lance.dataset import LanceDataset
from lance.fragment import FragmentMetadata, LanceFragment

from penstock.domain.arrow_schema import PARTITION_COLUMN
from penstock.engines.lance.layout.encoding import JOB_COLUMN
from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.manifest import highest_fragment_id
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.lance.write.add_field import with_defaults
from penstock.engines.lance.write.commit import commit_fragments, properties_after, retry_conflicts
from penstock.engines.lance.write.deletions import (
    DeletionWriter,
    Mask,
    RowMasks,
    addresses_of,
    live_rows,
    without,
)
from penstock.engines.values import Published, Reversal, Reverted, Table
from penstock.errors import RevertImpossible, StorageError

_REVERTED = "reverted"
"""Transaction property that names a reverted job."""


def check_revert(store: TableRoot, table: Table, job_id: int, reversal: Reversal) -> int:
    doing = f"checking whether job {job_id} can be reverted"
    dataset = store.latest(table.id, doing)
    with translating_errors(doing, store.options):
        if reversal.published.replaced != 0:
            _changed_by(store, table, dataset, job_id, reversal.published)
        return reversal.published.rows - int(dataset.count_rows(_of_job(job_id)))


def revert(store: TableRoot, table: Table, job_id: int, epoch: int, reversal: Reversal) -> Reverted | int:
    doing = f"reverting job {job_id}"
    reverted = retry_conflicts(_attempt, store, table, job_id, epoch, reversal, doing)
    if isinstance(reverted, Reverted):
        with translating_errors(doing, store.options):
            store.sync_version(table.id, reverted.version)
    return reverted


def _attempt(
    store: TableRoot, table: Table, job_id: int, epoch: int, reversal: Reversal, doing: str
) -> Reverted | int:
    dataset = store.latest(table.id, doing)
    with translating_errors(doing, store.options):
        reverted = _find(dataset, job_id, table.version)
        if reverted is not None:
            return reverted
        masks = _rows_of_job(dataset, job_id)
        removed = sum(int(np.count_nonzero(mask)) for mask in masks.by_fragment.values())
        missing = reversal.published.rows - removed
        if missing != reversal.missing:
            return missing
        restored: Sequence[tuple[FragmentMetadata, Mask]] = ()
        if reversal.published.replaced != 0:
            changed = _changed_by(store, table, dataset, job_id, reversal.published)
            restored = _replaced_rows(changed, reversal.partitions)
    writer = DeletionWriter(store, table.id, int(dataset.version))
    try:
        with translating_errors(doing, store.options):
            fragments = list(without(dataset, masks.by_fragment, writer))
            fragments += _restored_fragments(store, table, dataset, restored, writer)
            writer.sync()
            count = sum(int(np.count_nonzero(mask)) for _, mask in restored)
            properties = {
                _REVERTED: str(job_id),
                "epoch": str(epoch),
                "removed": str(removed),
                "restored": str(count),
            }
            version = commit_fragments(store, table.id, dataset, fragments, properties)
    except StorageError:
        # The commit may have succeeded although its response was lost.
        dataset = store.latest(table.id, doing)
        with translating_errors(doing, store.options):
            reverted = _find(dataset, job_id, table.version)
            if reverted is not None:
                return reverted
            writer.discard()
        raise
    return Reverted(version=version, removed=removed, restored=count)


def _find(dataset: LanceDataset, job_id: int, after: int) -> Reverted | None:
    """Find the revert of a job in the versions later than ``after``, the intent's.

    They are all there: no version expires while a job is between its intent and its commit.
    """
    for version, properties in properties_after(dataset, after):
        if properties is not None and properties.get(_REVERTED) == str(job_id):
            removed, restored = int(properties["removed"]), int(properties["restored"])
            return Reverted(version=version, removed=removed, restored=restored)
    return None


def _of_job(job_id: int) -> str:
    return f"`{JOB_COLUMN}` = {job_id}"


def _rows_of_job(dataset: LanceDataset, job_id: int) -> RowMasks:
    masks = RowMasks(dataset)
    for batch in dataset.scanner(columns=[], filter=_of_job(job_id), with_row_address=True).to_batches():
        masks.add(addresses_of(batch))
    return masks


_Changed = Sequence[tuple[LanceFragment, LanceFragment | None]]
"""Fragments before a publish and after it, those from which rows went; None: all of them."""


def _changed_by(store: TableRoot, table: Table, dataset: LanceDataset, job_id: int, published: Published) -> _Changed:
    """The fragments of the version before the job's publish from which it removed rows.

    Raises:
        RevertImpossible: the version is gone, or files of these fragments are.
    """
    try:
        before = dataset.checkout_version(published.version - 1)
        after = dataset.checkout_version(published.version)
        transaction = after.read_transaction(published.version)
    except (OSError, ValueError, TypeError):
        transaction = None
    properties = (transaction.transaction_properties if transaction else None) or {}
    if properties.get("job") != str(job_id):
        raise replaced_rows_are_gone(job_id)
    remaining = {fragment.fragment_id: fragment for fragment in after.get_fragments()}
    pairs = [(fragment, remaining.get(fragment.fragment_id)) for fragment in before.get_fragments()]
    changed = [
        (fragment, then)
        for fragment, then in pairs
        if then is None or then.deletion_file() != fragment.deletion_file()
    ]
    # Of a version that is being removed, some files may be gone already.
    names = {f"data/{file.path}" for fragment, _ in changed for file in fragment.data_files()}
    if names - store.files(table.id).sizes(names).keys():
        raise replaced_rows_are_gone(job_id)
    return changed


def replaced_rows_are_gone(job_id: int) -> RevertImpossible:
    return RevertImpossible(
        f"job {job_id} cannot be reverted: the rows that it replaced are no longer kept; the setting "
        "replaced_row_retention is for how long they are. Import the earlier rows again",
        job_id=job_id,
    )


def _replaced_rows(changed: _Changed, partitions: Sequence[int]) -> list[tuple[FragmentMetadata, Mask]]:
    """The rows that went, by fragment, if their partition still exists."""
    condition = f"`{PARTITION_COLUMN}` IN ({', '.join(map(str, partitions))})"
    replaced = []
    for fragment, then in changed:
        mask = live_rows(fragment, condition)
        if then is not None:
            mask &= ~live_rows(then)
        if mask.any():
            replaced.append((fragment.metadata, mask))
    return replaced


def _restored_fragments(
    store: TableRoot,
    table: Table,
    dataset: LanceDataset,
    replaced: Sequence[tuple[FragmentMetadata, Mask]],
    writer: DeletionWriter,
) -> Sequence[FragmentMetadata]:
    """New fragments of the replaced rows, with the defaults of fields that were added since."""
    highest = highest_fragment_id(dataset)
    fragments = []
    for number, (fragment, mask) in enumerate(replaced, 1):
        restored = copy.copy(fragment)
        restored.id = highest + number
        restored.files = list(fragment.files)
        fragments.append(writer.keep_only(restored, mask))
    return with_defaults(store, table, dataset, fragments)

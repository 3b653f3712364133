"""Old versions of a table, and the files that only they name.

Every publish, index build and compaction makes a version, and the ones before keep their files. A version may go when
it was superseded longer than an age ago: a reader opens the newest version for each call, so none is still at it.

Lance's own ``cleanup_old_versions`` isn't used: it also deletes files that no version names and that are a week old,
which a job that waits for its commit may have staged. Here a file goes only if a version that goes names it, and no
version that stays does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise, takewhile

from lance.dataset import LanceDataset

from penstock.engines.base import Table
from penstock.engines.lance.failures import told
from penstock.engines.lance.indexes import segment_ids
from penstock.engines.lance.store import Store, manifest_name

__all__ = ["Named", "forget_history", "named_by"]


@dataclass
class Named:
    """Files that versions name, relative to the table; index folders by their names."""

    data: set[str] = field(default_factory=set)
    deletions: set[str] = field(default_factory=set)
    indexes: set[str] = field(default_factory=set)

    def add(self, version: LanceDataset) -> None:
        for fragment in version.get_fragments():
            self.data.update(f"data/{file.path}" for file in fragment.data_files())
            deletion = fragment.deletion_file()
            if deletion is not None:
                self.deletions.add(deletion)
        self.indexes |= segment_ids(version)


def named_by(dataset: LanceDataset) -> Named:
    """What all versions of a table name together."""
    named = Named()
    for each in dataset.versions():
        named.add(dataset.checkout_version(each["version"]))
    return named


def forget_history(store: Store, table: Table, age: float) -> int:
    """Remove versions that were superseded more than ``age`` seconds ago, and their files; returns the bytes freed.

    The version ``table.version`` and what came after stay whatever their age. Cut off in the middle, the next call
    goes on: a version's manifest goes last.
    """
    doing = f"removing old versions of the table {table.id}"
    dataset = store.latest(table.id, doing)
    files = store.files(table.id)
    with told(doing, store.options):
        versions = sorted(int(each["version"]) for each in dataset.versions())
        old = set(files.older_than("_versions", age))
        # A version was superseded when the next one was written.
        passed = takewhile(lambda pair: manifest_name(pair[1]) in old and pair[0] < table.version, pairwise(versions))
        gone = [version for version, _ in passed]
        if not gone:
            return 0
        kept, lost = Named(), Named()
        for version in versions[len(gone) :]:
            kept.add(dataset.checkout_version(version))
        for version in gone:
            lost.add(dataset.checkout_version(version))
        names = [*(lost.data - kept.data), *(lost.deletions - kept.deletions)]
        for folder in lost.indexes - kept.indexes:
            names += files.names(f"_indices/{folder}")
        names += [name for name in files.older_than("_transactions", age) if _read_version(name) < gone[-1]]
        freed = sum(files.sizes(names).values())
        files.delete(names)
        files.delete(manifest_name(version) for version in gone)
    return freed


def _read_version(transaction: str) -> int:
    """The version that a transaction's file name begins with, on which it was built: it made a later one."""
    return int(transaction.rpartition("/")[2].partition("-")[0])

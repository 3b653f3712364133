"""Expire old versions of a table, and the files that only they name.

Every publish, index build and compaction makes a version, and the ones before keep their files. A version expires
when it was superseded longer than an age ago, and earlier where old versions hold more than a share of the live
bytes. A call opens the newest version, so an old one is read only by calls that were running when it was superseded;
a call that outlasts the version finds a file missing, and is done again on the newest one (:meth:`.Store.read`).

Lance's own ``cleanup_old_versions`` isn't used: it also deletes files that no version names and that are a week old,
which a job that waits for its commit may have staged. Here a file goes only if a version that goes names it, and no
version that stays does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, takewhile

from lance.dataset import LanceDataset

from penstock.engines.base import Table
from penstock.engines.lance.index.build import segment_ids
from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.files import TableFiles
from penstock.engines.lance.layout.tables import TableRoot, manifest_name

__all__ = ["ReferencedFiles", "expire_versions", "referenced_by"]

_MOST_VERSIONS = 1000
"""More old versions expire as if they held too much: to open one takes half a millisecond, or a request."""

_ALL = -86_400.0
"""An age that every file has, also on a store whose clock is ahead."""


@dataclass
class ReferencedFiles:
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

    @classmethod
    def of(cls, version: LanceDataset) -> ReferencedFiles:
        named = cls()
        named.add(version)
        return named

    def without(self, other: ReferencedFiles) -> ReferencedFiles:
        return ReferencedFiles(
            data=self.data - other.data,
            deletions=self.deletions - other.deletions,
            indexes=self.indexes - other.indexes,
        )


def referenced_by(dataset: LanceDataset) -> ReferencedFiles:
    """What all versions of a table name together."""
    named = ReferencedFiles()
    for version in dataset.versions():
        named.add(dataset.checkout_version(version["version"]))
    return named


def expire_versions(
    store: TableRoot, table: Table, age: float, share: float | None = None, least_age: float = 0.0
) -> int:
    """Remove versions that were superseded more than ``age`` seconds ago, and their files; returns the bytes freed.

    While the ones that stay hold more than ``share`` of the live bytes, the oldest of them go as well if they were
    superseded more than ``least_age`` seconds ago. The version ``table.version`` and what came after stay whatever
    their age. Cut off in the middle, the next call goes on: a version's manifest goes last.
    """
    doing = f"removing old versions of the table {table.id}"
    dataset = store.latest(table.id, doing)
    files = store.files(table.id)
    with translating_errors(doing, store.options):
        versions = sorted(int(version["version"]) for version in dataset.versions())
        aged = _superseded(files, versions, table.version, age)
        free = aged if share is None else _superseded(files, versions, table.version, min(age, least_age))
        if free == 0:
            return 0
        table_files = _TableSizes(files.older_than("", _ALL))
        live = ReferencedFiles.of(dataset)
        expiring = max(aged, min(free, len(versions) - 1 - _MOST_VERSIONS))
        if share is not None and expiring < free:
            expiring = max(expiring, _too_much(dataset, versions, free, table_files, share * table_files.of(live)))
        if expiring == 0:
            return 0
        kept, gone = ReferencedFiles.of(dataset.checkout_version(versions[expiring])), ReferencedFiles()
        for version in versions[:expiring]:
            gone.add(dataset.checkout_version(version))
        # A file that a version no longer names never comes back in a later one.
        names = table_files.names(gone.without(kept).without(live))
        old = files.older_than("_transactions", min(age, least_age) if expiring > aged else age)
        names += [name for name in old if _read_version(name) < versions[expiring - 1]]
        freed = sum(table_files.sizes.get(name, 0) for name in names)
        files.delete(names)
        files.delete(manifest_name(version) for version in versions[:expiring])
    return freed


def _superseded(files: TableFiles, versions: Sequence[int], current: int, age: float) -> int:
    """How many of the oldest versions, all before ``current``, were superseded more than ``age`` seconds ago."""
    old = set(files.older_than("_versions", age))
    # A version was superseded when the next one was written.
    passed = takewhile(lambda pair: manifest_name(pair[1]) in old and pair[0] < current, pairwise(versions))
    return sum(1 for _ in passed)


class _TableSizes:
    """Bytes of all files of a table, and of what versions name."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self._folders: dict[str, list[str]] = {}
        for name in sizes:
            if name.startswith("_indices/"):
                self._folders.setdefault(name.split("/")[1], []).append(name)

    def names(self, named: ReferencedFiles) -> list[str]:
        return [
            *named.data,
            *named.deletions,
            *(name for id_ in named.indexes for name in self._folders.get(id_, ())),
        ]

    def of(self, named: ReferencedFiles) -> int:
        return sum(self.sizes.get(name, 0) for name in self.names(named))


def _too_much(
    dataset: LanceDataset, versions: Sequence[int], free: int, table_files: _TableSizes, most: float
) -> int:
    """How many of the first ``free`` versions have to go for the old versions to hold at most ``most`` bytes."""
    transactions: dict[int, int] = {}
    for name, size in table_files.sizes.items():
        if name.startswith("_transactions/"):
            made = _read_version(name) + 1
            transactions[made] = transactions.get(made, 0) + size
    held = []
    named = ReferencedFiles.of(dataset.checkout_version(versions[0]))
    for version, following in pairwise(versions):
        after = ReferencedFiles.of(dataset.checkout_version(following))
        own = table_files.sizes.get(manifest_name(version), 0) + transactions.get(version, 0)
        held.append(own + table_files.of(named.without(after)))
        named = after
    total, expiring = sum(held), 0
    while expiring < free and total > most:
        total -= held[expiring]
        expiring += 1
    return expiring


def _read_version(transaction: str) -> int:
    """The version that a transaction's file name begins with, on which it was built: it made a later one."""
    return int(transaction.rpartition("/")[2].partition("-")[0])

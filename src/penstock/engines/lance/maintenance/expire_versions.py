"""Expire old versions of a table, and the files that only they reference.

Every publish, index build and compaction makes a version, and the ones before keep their files. A version expires
when it was superseded longer than an age ago, and earlier where old versions hold more than a share of the live
bytes. A call opens the newest version, so an old one is read only by calls that were running when it was superseded;
a call that outlasts the version finds a file missing, and is run again on the newest one (:meth:`.TableRoot.read`).

Lance's own ``cleanup_old_versions`` isn't used: it also deletes files that no version references and that are a week
old, which a job that waits for its commit may have staged. Here a file is deleted only if an expiring version
references it, and no remaining version does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, takewhile

from lance.dataset import LanceDataset

from penstock.engines.lance.index.build import segment_ids
from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.files import TableFiles
from penstock.engines.lance.layout.tables import TableRoot, manifest_name
from penstock.engines.values import Table

_MAX_OLD_VERSIONS = 1000
"""More old versions expire as if they held too much: opening one takes half a millisecond, or a request."""

_ALL = -86_400.0
"""An age that every file has, also on a store whose clock is ahead."""


@dataclass
class ReferencedFiles:
    """Files that versions reference, by names relative to the table; index folders by their names."""

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
        references = cls()
        references.add(version)
        return references

    def without(self, other: ReferencedFiles) -> ReferencedFiles:
        return ReferencedFiles(
            data=self.data - other.data,
            deletions=self.deletions - other.deletions,
            indexes=self.indexes - other.indexes,
        )


def referenced_by(dataset: LanceDataset) -> ReferencedFiles:
    """The files that all versions of a table reference."""
    references = ReferencedFiles()
    for version in dataset.versions():
        references.add(dataset.checkout_version(version["version"]))
    return references


def expire_versions(
    store: TableRoot, table: Table, age: float, share: float | None = None, least_age: float = 0.0
) -> int:
    """Delete versions superseded more than ``age`` seconds ago, and their files; returns the bytes freed.

    While the remaining ones hold more than ``share`` of the live bytes, the oldest of them expire too if they were
    superseded more than ``least_age`` seconds ago. The version ``table.version`` and later ones stay whatever their
    age. After an interruption the next call goes on: a version's manifest is deleted last.
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
        expiring = max(aged, min(free, len(versions) - 1 - _MAX_OLD_VERSIONS))
        if share is not None and expiring < free:
            expiring = max(
                expiring, _expiring_by_share(dataset, versions, free, table_files, share * table_files.of(live))
            )
        if expiring == 0:
            return 0
        remaining, expired = ReferencedFiles(), ReferencedFiles()
        for position, version in enumerate(versions):
            # All that remain: a revert brings files back that the versions before it no longer reference.
            (expired if position < expiring else remaining).add(dataset.checkout_version(version))
        names = table_files.names(expired.without(remaining).without(live))
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
    pairs = takewhile(lambda pair: manifest_name(pair[1]) in old and pair[0] < current, pairwise(versions))
    return sum(1 for _ in pairs)


class _TableSizes:
    """Bytes of all files of a table, and of those that versions reference."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self._folders: dict[str, list[str]] = {}
        for name in sizes:
            if name.startswith("_indices/"):
                self._folders.setdefault(name.split("/")[1], []).append(name)

    def names(self, references: ReferencedFiles) -> list[str]:
        return [
            *references.data,
            *references.deletions,
            *(name for id_ in references.indexes for name in self._folders.get(id_, ())),
        ]

    def of(self, references: ReferencedFiles) -> int:
        return sum(self.sizes.get(name, 0) for name in self.names(references))


def _expiring_by_share(
    dataset: LanceDataset, versions: Sequence[int], free: int, table_files: _TableSizes, limit: float
) -> int:
    """How many of the first ``free`` versions must expire for old versions to hold at most ``limit`` bytes."""
    transactions: dict[int, int] = {}
    for name, size in table_files.sizes.items():
        if name.startswith("_transactions/"):
            created = _read_version(name) + 1
            transactions[created] = transactions.get(created, 0) + size
    exclusive = []
    references = ReferencedFiles.of(dataset.checkout_version(versions[0]))
    for version, following in pairwise(versions):
        after = ReferencedFiles.of(dataset.checkout_version(following))
        own = table_files.sizes.get(manifest_name(version), 0) + transactions.get(version, 0)
        exclusive.append(own + table_files.of(references.without(after)))
        references = after
    total, expiring = sum(exclusive), 0
    while expiring < free and total > limit:
        total -= exclusive[expiring]
        expiring += 1
    return expiring


def _read_version(transaction: str) -> int:
    """The version that a transaction was built on, from its file name: it created a later one."""
    return int(transaction.rpartition("/")[2].partition("-")[0])

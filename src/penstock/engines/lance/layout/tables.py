"""Table locations, and the handle cache."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import lance
from lance.dataset import LanceDataset
from lance.lance import _Session as Session

from penstock.engines.lance.layout.errors import is_unexplained, translating_errors
from penstock.engines.lance.layout.files import TableFiles, files_of
from penstock.engines.lance.layout.resident_vectors import ResidentVectors
from penstock.engines.values import Table
from penstock.errors import StorageError, TableDamaged
from penstock.machine import memory_limit

Result = TypeVar("Result")

_MAX_OPEN = 64
_INDEX_CACHE = 512 << 20
"""Bytes per process, for all tables together, unless it is said how many: a server that searches has more for it."""
_METADATA_CACHE, _REMOTE_METADATA_CACHE = 16 << 20, 128 << 20
"""Bytes per process, for all tables together; Lance's own defaults are 6 GiB and 1 GiB. Lance keeps what belongs to
superseded versions, 27 KB for each small job, until its cache is full. What isn't cached is read again, which costs
little on a local disk, and a request in an object store."""
_SHARE = 16
"""Each cache takes at most this fraction, one of 16 parts, of the memory, unless its size is said."""

_TABLE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")


def manifest_name(version: int) -> str:
    """The manifest file of a version: Lance counts down from 2**64 - 1, so that the newest is listed first."""
    return f"_versions/{2**64 - 1 - version:020d}.manifest"


class TableCache:
    """Handle cache and Lance's caches: bounded, for all stores of a process together. Thread-safe.

    ``index_bytes`` is the size of the cache of indexes; None for what a worker has. ``vector_bytes`` bounds the
    vectors that are kept for searches.
    """

    def __init__(self, *, is_remote: bool, index_bytes: int | None = None, vector_bytes: int = 0) -> None:
        self.vectors = ResidentVectors(vector_bytes)
        self._is_remote = is_remote
        self._index_bytes = index_bytes
        self._session: Session | None = None
        self._open: OrderedDict[str, LanceDataset] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def session(self) -> Session:
        with self._lock:
            if self._session is None:
                limit = memory_limit().size // _SHARE
                metadata = _REMOTE_METADATA_CACHE if self._is_remote else _METADATA_CACHE
                index = min(_INDEX_CACHE, limit) if self._index_bytes is None else self._index_bytes
                self._session = Session(index, min(metadata, limit))
            return self._session

    def get(self, table_id: str) -> LanceDataset | None:
        with self._lock:
            dataset = self._open.get(table_id)
            if dataset is not None:
                self._open.move_to_end(table_id)
            return dataset

    def keep(self, table_id: str, dataset: LanceDataset) -> None:
        """Cache a handle, unless a newer one is cached."""
        with self._lock:
            cached = self._open.get(table_id)
            if cached is None or cached.version <= dataset.version:
                self._open[table_id] = dataset
            self._open.move_to_end(table_id)
            while len(self._open) > _MAX_OPEN:
                self._open.popitem(last=False)

    def forget(self, table_id: str) -> None:
        with self._lock:
            self._open.pop(table_id, None)
        self.vectors.forget(table_id)


class TableRoot:
    """A folder or prefix of tables. Thread-safe."""

    def __init__(self, root: str, options: Mapping[str, str], opened: TableCache) -> None:
        self.root = root.removeprefix("file://").rstrip("/") or "/"
        if self.is_local:
            self.root = str(Path(self.root).absolute())
        self.options = {} if self.is_local else dict(options)
        if self.options.get("endpoint", self.options.get("aws_endpoint", "")).startswith("http://"):
            self.options.setdefault("allow_http", "true")
        self._opened = opened

    @property
    def is_local(self) -> bool:
        return "://" not in self.root

    def uri(self, table_id: str) -> str:
        if not _TABLE_ID.match(table_id):
            raise StorageError(
                f"{table_id!r} is not a valid table id; the uuid of a collection was expected", table=table_id
            )
        return f"{self.root}/{table_id}.lance"

    @property
    def vectors(self) -> ResidentVectors:
        """The vectors that are kept for searches, of all tables."""
        return self._opened.vectors

    def files(self, table_id: str) -> TableFiles:
        return files_of(self.uri(table_id), self.options)

    def latest(self, table_id: str, doing: str) -> LanceDataset:
        """Open the newest version of a table, uncached, for the caller alone.

        Lance borrows a handle for writing in every change of a table, and even to read a transaction: meanwhile
        every other thread's call on the same handle fails. So handles that :meth:`at_least` shares are only read.

        Raises:
            TableDamaged: there is no such table, or its newest version can't be opened.
            StorageError, StorageUnavailable
        """
        session = self._opened.session
        try:
            with translating_errors(doing, self.options):
                return lance.dataset(self.uri(table_id), storage_options=self.options or None, session=session)
        except StorageError as error:
            if isinstance(error.__cause__, ValueError) and "not found" in str(error.__cause__).lower():
                raise TableDamaged(
                    f"The table {table_id} is not in the store {self.root}, found while {doing}. "
                    "Was the store moved or emptied? Restore it from a backup, or drop the collection",
                    table=table_id,
                ) from error
            if is_unexplained(error):
                raise self._unreadable(table_id, doing, error) from error
            raise

    def _unreadable(self, table_id: str, doing: str, error: StorageError) -> StorageError:
        """The error for a table whose newest version can't be opened; ``error`` itself if it has no versions."""
        with translating_errors(doing, self.options):
            manifests = sorted(name for name in self.files(table_id).names("_versions") if name.endswith(".manifest"))
        if not manifests:
            return error
        return TableDamaged(
            f"The table {table_id} is damaged: the file of its newest version, {manifests[0]}, cannot be read, found "
            f"while {doing}. Restart the server, which quarantines unreadable versions; if that does not help, "
            f"restore the table from a backup, or drop the collection. ({error})",
            table=table_id,
            file=manifests[0],
        )

    def at_least(self, table: Table, doing: str) -> LanceDataset:
        """A handle for reading the table at ``table.version`` or later; a cached one if it is new enough.

        Raises:
            StorageError: the table is older than that, as a disk that lost power may leave it.
        """
        cached = self._opened.get(table.id)
        if cached is not None and cached.version >= table.version:
            return cached
        dataset = self.latest(table.id, doing)
        self._opened.keep(table.id, dataset)
        if dataset.version < table.version:
            raise StorageError(
                f"The table {table.id} is at version {dataset.version}, but {table.version} was committed. "
                "Restart the server: it repairs tables that a power loss damaged.",
                table=table.id,
                found=dataset.version,
                expected=table.version,
            )
        return dataset

    def read(self, table: Table, doing: str, work: Callable[[LanceDataset], Result]) -> Result:
        """Run ``work`` on the table at ``table.version`` or later, and return its result.

        Old versions expire, and with them files that a long-running call still needs: so if ``work`` fails and the
        table has changed meanwhile, it is run again on the newest version, once.
        """
        dataset = self.at_least(table, doing)
        try:
            with translating_errors(doing, self.options):
                return work(dataset)
        except StorageError:
            newest = self.latest(table.id, doing)
            if newest.version == dataset.version:
                raise
        self._opened.keep(table.id, newest)
        with translating_errors(doing, self.options):
            return work(newest)

    def forget(self, table_id: str) -> None:
        self._opened.forget(table_id)

    def sync_version(self, table_id: str, version: int, names: Iterable[str] = ()) -> None:
        """Make a committed version survive a power loss: sync its manifest, ``names``, and their folders."""
        if self.is_local:
            files = self.files(table_id)
            transactions = files.names("_transactions")
            recent = [name for name in transactions if name.startswith(f"_transactions/{version - 1}-")]
            files.sync(recent, missing_ok=True)  # a publisher that lost removes its own
            files.sync([manifest_name(version), *names])

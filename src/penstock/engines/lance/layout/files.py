"""Access a table's files without Lance: sizes, deletion, durability. Names are relative to the table, with ``/``."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from penstock.errors import StorageError

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig

_LIST_FROM = 16
"""From this many names on, one listing is cheaper than a request for each."""
_DELETE_BATCH = 1_000
"""The most objects that one request of S3 deletes."""

_CLIENT_OPTIONS = {
    "allow_http",
    "allow_invalid_certificates",
    "connect_timeout",
    "pool_idle_timeout",
    "proxy_url",
    "timeout",
    "user_agent",
}


_RETRY: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
"""As Lance's own, for short transient errors; longer ones are left to the caller's retry."""


class TableFiles(Protocol):
    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        """Bytes of the files ``names``, without those that do not exist."""
        ...

    def names(self, folder: str) -> list[str]:
        """All files below a folder of the table, as names relative to the table."""
        ...

    def older_than(self, folder: str, age: float) -> dict[str, int]:
        """Bytes of all files below a folder that were last written more than ``age`` seconds ago."""
        ...

    def read(self, name: str) -> bytes | None:
        """The content of a small file; None if it does not exist."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Replace a small file, durably and in one step: a reader sees the old content or the new."""
        ...

    def create(self, name: str, content: bytes) -> None:
        """Write a file of a new name, which is durable after :meth:`sync`."""
        ...

    def delete(self, names: Iterable[str]) -> None:
        """Delete files. Idempotent."""
        ...

    def sync(self, names: Iterable[str], *, missing_ok: bool = False) -> None:
        """Sync files and their folders to disk; does nothing where writes are durable by themselves."""
        ...

    def remove_all(self) -> None:
        """Delete all files of the table."""
        ...


@dataclass(frozen=True)
class LocalFiles:
    """A table in a folder."""

    folder: Path

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        sizes = {}
        for name in names:
            try:
                sizes[name] = (self.folder / name).stat().st_size
            except FileNotFoundError:
                continue
        return sizes

    def names(self, folder: str) -> list[str]:
        return [
            path.relative_to(self.folder).as_posix() for path in (self.folder / folder).rglob("*") if path.is_file()
        ]

    def older_than(self, folder: str, age: float) -> dict[str, int]:
        cutoff = time.time() - age
        sizes = {}
        for name in self.names(folder):
            with suppress(FileNotFoundError):  # Lance's temporary files come and go
                status = (self.folder / name).stat()
                if status.st_mtime <= cutoff:
                    sizes[name] = status.st_size
        return sizes

    def read(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        folder = (self.folder / name).parent
        if not folder.exists():
            self._make(folder)
        handle, temporary = tempfile.mkstemp(prefix=f".{Path(name).name}.", dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self.folder / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync(folder)

    def _make(self, folder: Path) -> None:
        """Make a folder within the table's, which must exist, durably."""
        missing = []
        while folder != self.folder and not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            _sync(path.parent)

    def create(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)

    def delete(self, names: Iterable[str]) -> None:
        emptied: set[Path] = set()
        for name in names:
            path = self.folder / name
            path.unlink(missing_ok=True)
            if path.parent.parent != self.folder:
                emptied.add(path.parent)  # an index's own folder goes with its last file
        for folder in emptied:
            with suppress(OSError):
                folder.rmdir()

    def sync(self, names: Iterable[str], *, missing_ok: bool = False) -> None:
        folders: set[Path] = {self.folder, self.folder.parent}
        for name in names:
            path = self.folder / name
            with suppress(FileNotFoundError) if missing_ok else nullcontext():
                _sync(path)
            folders.update(parent for parent in path.parents if parent.is_relative_to(self.folder))
        for folder in folders:
            _sync(folder)

    def remove_all(self) -> None:
        # Renamed first: a crash in the middle leaves no half table under the table's name.
        trash = self.folder.with_name(self.folder.name + ".dropped")
        if self.folder.exists():
            if trash.exists():
                shutil.rmtree(trash)
            self.folder.rename(trash)
        if trash.exists():
            shutil.rmtree(trash)
            _sync(self.folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class ObjectFiles:
    """A table below a prefix of an object store, whose writes are durable when they return."""

    def __init__(self, uri: str, options: Mapping[str, str]) -> None:
        import obstore

        self._obstore = obstore
        self._uri, self._options = uri, options
        self._store = object_store(uri, options)

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        names = list(names)
        if len(names) >= _LIST_FROM:
            listed: dict[str, int] = {}
            for folder in {name.rpartition("/")[0] for name in names}:
                listed.update(self._listed(folder))
            return {name: listed[name] for name in names if name in listed}
        sizes = {}
        for name in names:
            try:
                sizes[name] = int(self._obstore.head(self._store, name)["size"])
            except FileNotFoundError:
                continue
        return sizes

    def names(self, folder: str) -> list[str]:
        return list(self._listed(folder))

    def older_than(self, folder: str, age: float) -> dict[str, int]:
        cutoff = datetime.now(UTC) - timedelta(seconds=age)
        pages = self._obstore.list(self._store, prefix=folder or None)
        return {
            str(entry["path"]): int(entry["size"])
            for page in pages
            for entry in page
            if entry["last_modified"] <= cutoff
        }

    def _listed(self, folder: str) -> dict[str, int]:
        pages = self._obstore.list(self._store, prefix=folder or None)
        return {str(entry["path"]): int(entry["size"]) for page in pages for entry in page}

    def read(self, name: str) -> bytes | None:
        try:
            return bytes(self._obstore.get(self._store, name).bytes())
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        self._obstore.put(self._store, name, content, use_multipart=False)

    def create(self, name: str, content: bytes) -> None:
        self.write(name, content)

    def delete(self, names: Iterable[str]) -> None:
        from obstore.exceptions import BaseError

        names = list(names)
        for start in range(0, len(names), _DELETE_BATCH):
            batch = names[start : start + _DELETE_BATCH]
            try:
                self._obstore.delete(self._store, batch)
            except (BaseError, OSError):
                # Google and Azure refuse names that don't exist, and some stores with S3's protocol all batches.
                # Where everything is denied or fails, the first of these requests raises the error.
                self._delete_singly(batch)

    def _delete_singly(self, names: Iterable[str]) -> None:
        store = object_store(self._uri, self._options, deletes_singly=True)
        for name in names:
            with suppress(FileNotFoundError):
                self._obstore.delete(store, name)

    def sync(self, names: Iterable[str], *, missing_ok: bool = False) -> None:
        return None

    def remove_all(self) -> None:
        self.delete(self.names(""))


def object_store(uri: str, options: Mapping[str, str], *, deletes_singly: bool = False) -> ObjectStore:
    """A client of the object store at ``uri``, whose names are relative to it; ``options`` as Lance takes them.

    ``deletes_singly``: without requests that delete several objects, which not all stores with S3's protocol know.
    """
    from obstore.store import from_url

    client: dict[str, Any] = {key: _flag(value) for key, value in options.items() if key in _CLIENT_OPTIONS}
    config: dict[str, Any] = {key: value for key, value in options.items() if key not in _CLIENT_OPTIONS}
    if deletes_singly and uri.startswith("s3://"):
        config["disable_bulk_delete"] = True
    return from_url(uri, config=cast(Any, config), client_options=cast(Any, client), retry_config=_RETRY)


def _flag(value: str) -> bool | str:
    return {"true": True, "1": True, "false": False, "0": False}.get(value.lower(), value)


def files_of(uri: str, options: Mapping[str, str]) -> TableFiles:
    """The files of the table at ``uri``: a path, or ``s3://…``."""
    if "://" not in uri:
        return LocalFiles(Path(uri))
    if uri.startswith(("s3://", "gs://", "az://")):
        return ObjectFiles(uri, options)
    raise StorageError(f"The store {uri!r} is neither a folder nor of s3://, gs://, az://.")

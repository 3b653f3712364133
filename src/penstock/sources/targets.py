"""Folders that exports are written into: on a local disk, or a prefix of an object store."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import obstore

from penstock.errors import FileUnreadable, PathNotAllowed, StorageError, StorageFull, TargetNotEmpty
from penstock.sources.credentials import Settings
from penstock.sources.local import is_below
from penstock.sources.object_store_clients import connect
from penstock.sources.object_store_errors import STORE_FAILURES, translate

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_FULL = (28, 122)
"""Error numbers: no space left, quota exceeded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The folder of an export: picklable, and sufficient to write into it on any host.

    ``uri`` is ``file:///…`` or ``s3://bucket/prefix`` (``gs``, ``az``); ``name`` is the path as the request gave it.
    ``roots`` are sets of real local paths: the folder must lie below one path of each set. ``credentials`` are never
    printed.
    """

    uri: str
    name: str
    roots: Sequence[Sequence[str]] = ()
    credentials: Settings = field(default_factory=dict, repr=False)

    @property
    def folder(self) -> Path | None:
        """The local folder; None for an object store."""
        scheme, _, rest = self.uri.partition("://")
        return Path(os.fsdecode(unquote_to_bytes(rest))) if scheme == "file" else None

    def check_empty(self) -> None:
        """Check that the folder has no files, or doesn't exist.

        Raises:
            TargetNotEmpty: it has a file, which the message names.
            PathNotAllowed: a link leads out of the roots.
            FileUnreadable, SourceUnavailable, FileMissing: as the store reports.
        """
        folder = self.folder
        if folder is None:
            with self._translated():
                pages = obstore.list(self._store, self._key("") or None, chunk_size=1)
                marker = self._key("").rstrip("/")  # the empty object that consoles create as a folder
                paths = (
                    entry["path"]
                    for page in pages
                    for entry in page
                    if entry["size"] or entry["path"].rstrip("/") != marker
                )
                first = next(paths, None)
            if first is not None:
                raise self._not_empty(first.rpartition("/")[2])
            return
        self._check_links(folder)
        try:
            with os.scandir(folder) as entries:
                name = next((entry.name for entry in entries), None)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._error(error) from error
        if name is not None:
            raise self._not_empty(name)

    @contextmanager
    def writing(self, subfolder: str) -> Iterator[Path]:
        """A local folder to write files in: the subfolder of the target, or a temporary one for :meth:`deliver`.

        Raises:
            StorageFull, StorageError: the disk is full or fails.
            PathNotAllowed: a link leads out of the roots.
        """
        folder = self.folder
        try:
            if folder is None:
                with tempfile.TemporaryDirectory(prefix="penstock-export-") as temporary:
                    yield Path(temporary)
            else:
                place = folder / subfolder if subfolder else folder
                self._check_links(place)
                place.mkdir(parents=True, exist_ok=True)
                yield place
        except OSError as error:
            raise self._error(error) from error

    def deliver(self, path: Path, name: str) -> None:
        """Upload a finished file as ``name`` below the target, and remove the copy. Nothing to do on a local disk."""
        if self.folder is None:
            with self._translated():
                obstore.put(self._store, self._key(name), path)
            path.unlink()

    def write(self, name: str, content: bytes) -> None:
        """Write a small file, in one step: a reader sees all of it or nothing."""
        if self.folder is None:
            with self._translated():
                obstore.put(self._store, self._key(name), content, use_multipart=False)
            return
        with self.writing("") as folder:
            temporary = folder / f".{name}.part"
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(folder / name)
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def delete(self, subfolders: Sequence[str], is_own: Callable[[str], bool]) -> None:
        """Delete the files of an export: those in the target and its ``subfolders`` whose names ``is_own`` accepts;
        then the folders that are empty."""
        folder = self.folder
        if folder is None:
            with self._translated():
                for page in obstore.list(self._store, self._key("") or None):
                    for entry in page:
                        parent, _, name = entry["path"].removeprefix(self._key("")).rpartition("/")
                        if (parent in subfolders or not parent) and is_own(name):
                            obstore.delete(self._store, entry["path"])
            return
        try:
            for place in [*(folder / subfolder for subfolder in subfolders if subfolder), folder]:
                self._check_links(place)
                if not place.is_dir():
                    continue
                for path in place.iterdir():
                    if is_own(path.name) and not path.is_dir():
                        path.unlink(missing_ok=True)
                if not any(place.iterdir()):
                    place.rmdir()
        except OSError as error:
            raise self._error(error) from error

    @property
    def _store(self) -> ObjectStore:
        scheme, _, rest = self.uri.partition("://")
        return connect(scheme, rest.partition("/")[0], self.credentials)

    def _key(self, name: str) -> str:
        prefix = self.uri.partition("://")[2].partition("/")[2]
        return f"{prefix}/{name}" if prefix else name

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except STORE_FAILURES as error:
            raise translate(error, self.uri, self.name) from None  # the client's text holds the request with its keys

    def _check_links(self, folder: Path) -> None:
        real = os.path.realpath(folder)
        if not all(any(is_below(real, root) for root in root_set) for root_set in self.roots):
            raise PathNotAllowed(
                f"path {self.name!r} leads by a link out of the folders that this server exports to", path=self.name
            )

    def _error(self, error: OSError) -> StorageError | FileUnreadable:
        if error.errno in _FULL:
            return StorageFull(
                f"no space is left to write the export into {self.name!r}. Free space there, then retry the export",
                path=self.name,
            )
        why = error.strerror or str(error)
        return StorageError(f"can't write the export into {self.name!r}: {why}", path=self.name)

    def _not_empty(self, name: str) -> TargetNotEmpty:
        return TargetNotEmpty(
            f"the folder {self.name!r} is not empty: it has {name!r}. An export never changes existing files: choose "
            "a new or an empty folder",
            path=self.name,
        )


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

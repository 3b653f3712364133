"""Copy files between a store and a backup, a chunk at a time, with their SHA-256."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from penstock.engines.lance.layout.errors import translate
from penstock.engines.lance.layout.files import object_store
from penstock.engines.lance.layout.tables import TableRoot
from penstock.errors import StorageError
from penstock.server.backup.manifest import BackedUpFile

_CHUNK = 4 << 20


def open_store(root: TableRoot) -> Any:
    """A client of a store: of a folder, or of a prefix of an object store. Names are relative to it."""
    return LocalStore(Path(root.root)) if root.is_local else object_store(root.root, root.options)


def names_below(store: Any, folder: str) -> Iterator[str]:
    """Names of all files below a folder."""
    for page in obstore.list(store, prefix=folder):
        for entry in page:
            yield str(entry["path"])


def download(store: Any, name: str, target: Path) -> BackedUpFile:
    """Copy a file of a store. Raises FileNotFoundError: it isn't there (any more)."""
    chunks = obstore.get(store, name).stream(min_chunk_size=_CHUNK)
    digest, size = hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.part")
    with temporary.open("wb") as file:
        for chunk in chunks:
            content = bytes(chunk)
            digest.update(content)
            file.write(content)
            size += len(content)
    temporary.replace(target)
    return BackedUpFile(size=size, sha256=digest.hexdigest())


def describe(path: Path) -> BackedUpFile:
    """The size and the SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return BackedUpFile(size=path.stat().st_size, sha256=digest.hexdigest())


def check_copy(path: Path, name: str, expected: BackedUpFile) -> None:
    """Compare a file of a backup with its description.

    Raises:
        StorageError: it is missing or differs.
    """
    try:
        actual = describe(path)
    except FileNotFoundError:
        raise StorageError(f"The backup is damaged: {name} is missing. Use another backup", file=name) from None
    if actual != expected:
        problem = f"has {actual.size:,} bytes instead of {expected.size:,}"
        raise StorageError(
            f"The backup is damaged: {name} "
            + (problem if actual.size != expected.size else "has other content than when it was written")
            + ". Use another backup",
            file=name,
        )


def upload(path: Path, store: Any, name: str) -> None:
    """Copy a file of a backup into a store."""
    with path.open("rb") as file:
        obstore.put(store, name, file)


@contextmanager
def io_errors(doing: str, remedy: str, options: Mapping[str, str]) -> Iterator[None]:
    """Translate errors of disks and stores raised while ``doing`` (“restoring the backup”). Raises StorageError.

    ``options`` are those of the stores: their secrets are in no message.
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        message = f"{doing} failed: {error}. Correct the cause, such as a full disk, and {remedy}"
        raise StorageError(message) from error
    except BaseError as error:
        # The text of the client may hold the request with its signature.
        raise translate(error, doing, options) from None

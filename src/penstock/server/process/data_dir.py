"""Lock the data dir and the SQLite catalog for one server, and write the file with the server's address."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson
import psutil
import structlog
from sqlalchemy import URL

from penstock.errors import DataFolderInUse, InvalidParameter

log = structlog.get_logger(__name__)

LOCK = "server.lock"
NOTE = "server.json"
_OTHERS = 0o077


@contextmanager
def private_umask() -> Iterator[None]:
    """Make the files that this process and its workers create in data dirs and stores private to their user."""
    previous = os.umask(_OTHERS)
    try:
        yield
    finally:
        os.umask(previous)


def make_data_folder(folder: Path) -> None:
    """Create the folder, for its owner alone, if it doesn't exist. Raises InvalidParameter: it can't be created."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error


def _unusable(folder: Path, error: OSError) -> InvalidParameter:
    return InvalidParameter(
        f"the data dir {folder} cannot be used: {error.strerror}. Set another with --data-dir", folder=str(folder)
    )


@contextmanager
def lock_data_dir(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Create the folder if needed and lock it. The lock ends with the process, however it ends.

    ``shared`` takes a shared lock: for servers with a catalog outside of the folder.

    Raises:
        DataFolderInUse: another server has locked it; the message has its process id.
        InvalidParameter: the folder can't be created or written to.
    """
    make_data_folder(folder)
    try:
        with _file_lock(folder / LOCK, shared=shared):
            yield
    except _Locked as owner:
        raise DataFolderInUse(
            f"the data dir {folder} is locked by another server, process {owner.process}. "
            "Stop that one, or set another data dir with --data-dir",
            folder=str(folder),
            process=owner.process,
        ) from None
    except _Unlockable as error:
        raise _unusable(folder, error.reason) from error


@contextmanager
def lock_catalog(url: URL) -> Iterator[None]:
    """Lock an SQLite catalog, also against servers with another data dir.

    Raises:
        DataFolderInUse: another server has locked it; the message has its process id.
        InvalidParameter: its folder can't be written to.
    """
    file = url.database
    if url.get_backend_name() != "sqlite" or not file or file == ":memory:":
        yield
        return
    try:
        with _file_lock(Path(f"{file}.lock")):
            yield
    except _Locked as owner:
        raise DataFolderInUse(
            f"the catalog {file} is locked by another server, process {owner.process}. Stop that one, or set another "
            "with --catalog-url. Several servers can share one in PostgreSQL",
            catalog=file,
            process=owner.process,
        ) from None
    except _Unlockable as error:
        raise InvalidParameter(
            f"the catalog {file} cannot be used: {error.reason.strerror}. Set another with --catalog-url",
            catalog=file,
        ) from error


class _Locked(Exception):
    def __init__(self, process: str) -> None:
        super().__init__(process)
        self.process = process


class _Unlockable(Exception):
    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


@contextmanager
def _file_lock(lock: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock file, and write the process id into it if the lock is exclusive.

    Raises:
        _Locked: another process holds it.
        _Unlockable: it can't be created or written to.
    """
    try:
        handle = lock.open("a+")
    except OSError as error:
        raise _Unlockable(error) from error
    with handle:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise _Locked(handle.read().strip() or "unknown") from None
        if not shared:
            with suppress(OSError):  # on a full disk the lock holds all the same
                os.ftruncate(handle.fileno(), 0)
                os.write(handle.fileno(), f"{os.getpid()}\n".encode())
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)


def lock_owner(folder: Path) -> str | None:
    """The id of the process that has locked the folder, or None."""
    try:
        with (folder / LOCK).open() as handle:
            process = handle.read().strip()
            if not process.isdecimal() or not psutil.pid_exists(int(process)):
                return None
            # Only tried if that process exists: even a momentary shared lock would keep a server from starting.
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return process
    return None


@contextmanager
def server_info_file(folder: Path, url: str, host: str, port: int) -> Iterator[None]:
    """Write ``server.json`` into the folder, for service discovery: process id, URL, host and port.

    Of servers that share the folder it has the one that started last.
    """
    note = folder / NOTE
    content = orjson.dumps({"pid": os.getpid(), "url": url, "host": host, "port": port})
    temporary = note.with_name(f"{NOTE}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(note)
    except OSError as error:
        # On a full disk the server still answers reads, though tools can't discover it here.
        log.warning("server_info_file.not_written", file=str(note), error=str(error))
        with suppress(OSError):
            temporary.unlink()
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            if note.read_bytes() == content:
                note.unlink()

"""The data folder and the SQLite catalog: one server at a time, and a note that says where that server listens."""

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

__all__ = [
    "LOCK",
    "NOTE",
    "lock_catalog",
    "lock_data_dir",
    "lock_owner",
    "make_data_folder",
    "private_umask",
    "server_info_file",
]

log = structlog.get_logger(__name__)

LOCK = "server.lock"
NOTE = "server.json"
_OTHERS = 0o077


@contextmanager
def private_umask() -> Iterator[None]:
    """What this process and its workers make meanwhile, in data folders and stores, only its own user may read."""
    before = os.umask(_OTHERS)
    try:
        yield
    finally:
        os.umask(before)


def make_data_folder(folder: Path) -> None:
    """Make the folder, for its owner alone, if it isn't there. Raises InvalidParameter: it can't be made."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error


def _unusable(folder: Path, error: OSError) -> InvalidParameter:
    return InvalidParameter(
        f"the data folder {folder} can't be used: {error.strerror}. Give another with --data-dir", folder=str(folder)
    )


@contextmanager
def lock_data_dir(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Make the folder if need be and keep other servers out of it. The lock ends with the process, however it ends.

    ``shared`` lets other servers in that say so too: those with a catalog outside of the folder.

    Raises:
        DataFolderInUse: another server holds it; names its process.
        InvalidParameter: the folder can't be made or written to.
    """
    make_data_folder(folder)
    try:
        with _held(folder / LOCK, shared=shared):
            yield
    except _Held as held:
        raise DataFolderInUse(
            f"the data folder {folder} is held by another server, process {held.process}. "
            "Stop that one, or give another folder with --data-dir",
            folder=str(folder),
            process=held.process,
        ) from None
    except _Unlockable as error:
        raise _unusable(folder, error.reason) from error


@contextmanager
def lock_catalog(url: URL) -> Iterator[None]:
    """Keep other servers from an SQLite catalog: those with data folders of their own, too.

    Raises:
        DataFolderInUse: another server holds it; names its process.
        InvalidParameter: its folder can't be written to.
    """
    file = url.database
    if url.get_backend_name() != "sqlite" or not file or file == ":memory:":
        yield
        return
    try:
        with _held(Path(f"{file}.lock")):
            yield
    except _Held as held:
        raise DataFolderInUse(
            f"the catalog {file} is held by another server, process {held.process}. Stop that one, or give another "
            "with --catalog-url. Several servers can share one in PostgreSQL",
            catalog=file,
            process=held.process,
        ) from None
    except _Unlockable as error:
        raise InvalidParameter(
            f"the catalog {file} can't be used: {error.reason.strerror}. Give another with --catalog-url",
            catalog=file,
        ) from error


class _Held(Exception):
    def __init__(self, process: str) -> None:
        super().__init__(process)
        self.process = process


class _Unlockable(Exception):
    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


@contextmanager
def _held(lock: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock file. The one that holds it alone notes its process in it.

    Raises:
        _Held: another process does.
        _Unlockable: it can't be made or written to.
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
            raise _Held(handle.read().strip() or "unknown") from None
        if not shared:
            with suppress(OSError):  # on a full disk it holds all the same
                os.ftruncate(handle.fileno(), 0)
                os.write(handle.fileno(), f"{os.getpid()}\n".encode())
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)


def lock_owner(folder: Path) -> str | None:
    """The process that holds the folder, or None."""
    try:
        with (folder / LOCK).open() as handle:
            process = handle.read().strip()
            if not process.isdecimal() or not psutil.pid_exists(int(process)):
                return None
            # Asked only where the note may be true: this shared lock of a moment would keep a server from starting.
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return process
    return None


@contextmanager
def server_info_file(folder: Path, url: str, host: str, port: int) -> Iterator[None]:
    """``server.json`` in the folder, for tools that look for the server: process, address, host and port.

    Of servers that share the folder it names the one that started last.
    """
    note = folder / NOTE
    told = orjson.dumps({"pid": os.getpid(), "url": url, "host": host, "port": port})
    fresh = note.with_name(f"{NOTE}.{os.getpid()}")
    try:
        fresh.write_bytes(told)
        fresh.replace(note)
    except OSError as error:
        # On a full disk the server answers reads, though those who look for it here don't find it.
        log.warning("server_info_file.not_written", file=str(note), error=str(error))
        with suppress(OSError):
            fresh.unlink()
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            if note.read_bytes() == told:
                note.unlink()

"""Write new files to disk while Lance still writes them."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["writing_back"]

_CHECK_SECONDS = 0.03
_LEAST = 4 << 20
"""Bytes that are written to disk together."""
_PREFIX = ".tmp"
"""Of the names that Lance's files have until they are finished."""
_WRITE = 2
"""Flag SYNC_FILE_RANGE_WRITE: begin to write dirty pages, don't wait for them."""
_DESCRIPTORS = Path("/proc/self/fd")


@contextmanager
def writing_back(folder: Path) -> Iterator[None]:
    """Start writing the pages of files that this process creates in ``folder`` as soon as a few megabytes are dirty.

    The kernel leaves pages in memory until a tenth of it is dirty, or until fsync: the disk would be idle while rows
    are read, and the processor while fsync waits. Files are durable after fsync only, as before. Does nothing where
    the system has no ``sync_file_range``.
    """
    write = getattr(ctypes.CDLL(None, use_errno=True), "sync_file_range", None)
    if write is None or not _DESCRIPTORS.exists():
        yield
        return
    write.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    stop = threading.Event()
    thread = threading.Thread(
        target=_write_back, args=(str(folder.resolve()), write, stop), name="write-back", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _write_back(folder: str, write: Callable[..., Any], stop: threading.Event) -> None:
    started: dict[str, int] = {}
    while not stop.wait(_CHECK_SECONDS):
        for number in os.listdir(_DESCRIPTORS):
            with suppress(OSError):  # closed or renamed meanwhile: fsync writes what is left
                path = os.readlink(_DESCRIPTORS / number)
                parent, _, name = path.rpartition("/")
                if parent != folder or not name.startswith(_PREFIX):
                    continue
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    start, size = started.get(path, 0), os.fstat(descriptor).st_size
                    if size - start >= _LEAST:
                        write(descriptor, start, size - start, _WRITE)
                        started[path] = size
                finally:
                    os.close(descriptor)

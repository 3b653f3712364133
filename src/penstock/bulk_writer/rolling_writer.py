"""Rolling writer: the current chunk of a bulk writer, and the one that is being finished in the background."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from penstock.errors import PenstockError, StorageError, StorageFull
from penstock.writers import open_chunk
from penstock.writers.base import ChunkFile, Layout

__all__ = ["CallBack", "Chunks", "Deliver"]

Deliver = Callable[[list[Path]], list[str]]
CallBack = Callable[[list[str]], object]


class Chunks:
    """Write numbered chunks into ``folder``, one at a time, and finish them on a background thread.

    ``files`` lists the complete files, one list of names per chunk. A chunk is finished while the next one is being
    filled, but never two at a time. Its failure is raised by the next :meth:`raise_failure`, :meth:`end` or
    :meth:`wait`.

    Args:
        deliver: moves the files of a finished chunk to their destination and returns their names there.
    """

    def __init__(self, layout: Layout, folder: Path, deliver: Deliver) -> None:
        self._layout = layout
        self._folder = folder
        self._deliver = deliver
        self._number = 0
        self._chunk: ChunkFile | None = None
        self._first_row = self._rows = 0
        self._finishing: Future[None] | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._undelivered: list[tuple[list[Path], CallBack | None]] = []
        self._lock = threading.Lock()
        self.files: list[list[str]] = []
        self.file_bytes = 0

    @property
    def has_undelivered(self) -> bool:
        """Whether complete files are undelivered after a failure; the next :meth:`end` retries."""
        return bool(self._undelivered)

    def add(self, batch: pa.RecordBatch) -> None:
        """Append a canonical batch to the current chunk.

        Raises:
            StorageError: the disk fails or is full. The chunk is discarded with all its rows.
        """
        try:
            if self._chunk is None:
                self._chunk = open_chunk(self._layout, self._folder, str(self._number + 1))
            self._chunk.add(batch)
            self._rows += len(batch)
        except OSError as error:
            first = self._first_row
            self.discard()
            raise self._write_error(error, first) from error

    def detach_buffers(self) -> None:
        """Copy buffered rows, so that callers may change their arrays."""
        if self._chunk is not None:
            self._chunk.detach_buffers()

    def end(self, call_back: CallBack | None = None) -> None:
        """Finish the current chunk in the background; an empty one uses up its number and writes nothing."""
        self.wait()
        self._number += 1
        chunk, self._chunk = self._chunk, None
        first = self._first_row
        self._first_row, self._rows = first + self._rows, 0
        if chunk is None and not self._undelivered:
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="bulk-writer")
        self._finishing = self._thread.submit(self._finish, chunk, first, call_back)

    def wait(self) -> None:
        """Wait for the chunk in the background, and raise its failure."""
        finishing, self._finishing = self._finishing, None
        if finishing is not None:
            finishing.result()

    def raise_failure(self) -> None:
        """Raise the failure of a chunk in the background, if it has failed already."""
        if self._finishing is not None and self._finishing.done():
            self.wait()

    def discard(self) -> None:
        """Discard the current chunk."""
        chunk, self._chunk = self._chunk, None
        self._first_row, self._rows = self._first_row + self._rows, 0
        if chunk is not None:
            chunk.discard()

    def close(self) -> None:
        """Discard the current chunk and end the thread."""
        self.discard()
        if self._thread is not None:
            self._thread.shutdown(wait=True)
            self._thread = None

    def _finish(self, chunk: ChunkFile | None, first: int, call_back: CallBack | None) -> None:
        if chunk is not None:
            try:
                paths = chunk.finish()
            except OSError as error:
                chunk.discard()
                raise self._write_error(error, first) from error
            self._undelivered.append((paths, call_back))
        while self._undelivered:
            paths, call_back = self._undelivered[0]
            size = sum(path.stat().st_size for path in paths)
            names = self._deliver(paths)
            del self._undelivered[0]
            with self._lock:
                self.files.append(names)
                self.file_bytes += size
            if call_back is not None:
                call_back(names)

    def _write_error(self, error: OSError, first: int) -> PenstockError:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        why = "no space is left" if is_full else str(error)
        kind = StorageFull if is_full else StorageError
        return kind(
            f"can't write to {str(self._folder)!r}: {why}. The chunk that begins with row {first} of this writer is "
            f"not written; the {len(self.files)} chunks before are complete and listed in batch_files",
            folder=str(self._folder),
            first_row=first,
        )

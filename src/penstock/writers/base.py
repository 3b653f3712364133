"""Common parts of the file formats: the layout of columns, and files that are renamed when complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa

from penstock.domain.schema import META_FIELD, DataType, Field
from penstock.writers.background_encoder import BackgroundEncoder
from penstock.writers.file_type import BulkFileType

__all__ = ["META", "ChunkFile", "Layout", "PartFile", "sync_folder", "text_slices"]

META = Field(name=META_FIELD, type=DataType.JSON)
"""The dynamic field, as a column of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The columns of one writer's files, in order, and the options of the format.

    ``separator`` and ``null_key`` are for CSV. ``chunk_bytes`` is a chunk's approximate size: for small chunks less
    is buffered.
    """

    file_type: BulkFileType
    columns: tuple[Field, ...]
    separator: str = ","
    null_key: str = ""
    chunk_bytes: int = 128 << 20


_WRITE_BACK_BYTES = 32 << 20
_BACKGROUND_BYTES = 8 << 20
_TEXT_BYTES = 1 << 20


def text_slices(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Slices to convert to text one at a time: their copies take several times the size of the batch."""
    step = max(1, len(batch) * _TEXT_BYTES // max(1, batch.nbytes))
    for start in range(0, len(batch), step):
        yield batch.slice(start, step)


class ChunkFile(Protocol):
    """The file or files of one chunk while they are written. Only :meth:`finish` makes them visible."""

    def add(self, batch: pa.RecordBatch) -> None:
        """Append a batch of canonical columns.

        Raises:
            OSError: the disk is full or fails.
        """
        ...

    def detach_buffers(self) -> None:
        """Copy buffered data of earlier batches, so that callers may change their arrays."""
        ...

    def finish(self) -> list[Path]:
        """Write buffered data, sync it to disk, and rename the files to their final names."""
        ...

    def discard(self) -> None:
        """Remove everything that this chunk has written. Idempotent, also after an error."""
        ...


class PartFile:
    """A file that is written under a hidden temporary name in its folder and renamed when it is complete.

    Writes run in the background; their failures are raised by later calls.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path.with_name(f".{path.name}.part")
        self._stream: BinaryIO = self.temporary.open("wb", buffering=0)
        self._background = BackgroundEncoder(_BACKGROUND_BYTES)
        self._started = 0

    def write(self, data: bytes | memoryview | pa.Buffer) -> None:
        """Append bytes, which must not be changed afterwards."""
        self._background.run(len(data), self._write, data)

    def start_write_back(self) -> None:
        """Start write-back of the data so far: the final sync takes 10 ms instead of 70 for 160 MB."""
        if not hasattr(os, "posix_fadvise"):
            return
        end = os.fstat(self._stream.fileno()).st_size
        # Clean pages would be evicted from the page cache; those of the newest range are dirty.
        os.posix_fadvise(self._stream.fileno(), self._started, end - self._started, os.POSIX_FADV_DONTNEED)
        self._started = end

    def finish(self) -> Path:
        """Sync to disk, then rename: after a crash the file is either complete or absent."""
        self._background.wait()
        self._background.close()
        os.fsync(self._stream.fileno())
        self._stream.close()
        self.temporary.replace(self.path)
        sync_folder(self.path.parent)
        return self.path

    def discard(self) -> None:
        self._background.close()
        with suppress(OSError):
            self._stream.close()
        self.temporary.unlink(missing_ok=True)

    def _write(self, data: bytes | memoryview | pa.Buffer) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._stream.write(rest) :]
        if self._stream.tell() - self._started >= _WRITE_BACK_BYTES:
            self.start_write_back()


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that renames in it are durable, if the system can open folders."""
    if os.name != "posix":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)

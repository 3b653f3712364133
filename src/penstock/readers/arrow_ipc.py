"""Read Arrow IPC files, also called Feather V2: the file format by record batches, the stream format as a whole.

A record batch is read at once, but only the columns that are imported. Its values are checked before they are used:
a damaged file may hold offsets that lead outside of its buffers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from penstock.domain.jobs import JobWarning
from penstock.errors import DataError
from penstock.readers.base import FormatSpec, ReadRequest
from penstock.readers.columnar import REWRITE, Chunk, ColumnarReader, content_errors, shares

_TITLE = "Arrow IPC"
_MAGIC = b"ARROW1"
_FEATHER_V1 = b"FEA1"
_CONTINUATION = b"\xff\xff\xff\xff"
_ROWS_PER_BYTE = 8
"""Rows per byte of a record batch, at most: a boolean takes a bit."""
_MIN_ROWS = 1 << 20
"""Rows that a record batch may have in any case: equal values compress well."""
_BLOCK = struct.Struct("<qi4xq")
"""A block of the footer: offset, and the bytes of its metadata and of its buffers."""
_TAIL_BYTES = 10
_ERRORS = (pa.ArrowException, UnicodeError, struct.error, KeyError)
"""What Arrow and the parser of footers raise for damaged files."""


@dataclass(slots=True)
class _IpcFile:
    """An open file of the file format."""

    stream: pa.NativeFile
    source_name: str
    names: Sequence[str]
    chunks: Sequence[Chunk]
    notes: Sequence[JobWarning] = ()
    reader: Any = None

    def batches(self, number: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with content_errors(_TITLE, self.source_name, *_ERRORS):
            if self.reader is None:
                selected = set(columns)
                included = [index for index, name in enumerate(self.names) if name in selected]
                self.reader = pa.ipc.open_file(
                    self.stream, options=pa.ipc.IpcReadOptions(included_fields=included, use_threads=False)
                )
            batch = self.reader.get_batch(number)
            batch.validate(full=True)
        yield batch


@dataclass(slots=True)
class _IpcStream:
    """An open file of the stream format, which is one chunk."""

    reader: Any
    source_name: str
    names: Sequence[str]
    chunks: Sequence[Chunk]
    notes: Sequence[JobWarning] = ()

    def batches(self, number: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        del number, columns
        while True:
            with content_errors(_TITLE, self.source_name, *_ERRORS):
                try:
                    batch = self.reader.read_next_batch()
                except StopIteration:
                    return
                batch.validate(full=True)
            yield batch


@contextmanager
def _opened(request: ReadRequest) -> Iterator[_IpcFile | _IpcStream]:
    source = request.sources[0]
    name = source.name
    with source.open_arrow() as stream:
        is_stream = _is_stream(stream, name)
        with content_errors(_TITLE, name, *_ERRORS):
            if is_stream:
                reader: Any = pa.ipc.open_stream(stream, options=pa.ipc.IpcReadOptions(use_threads=False))
                blocks = [source.size]
            else:
                reader = pa.ipc.open_file(stream)
                blocks = _block_sizes(stream) if reader.num_record_batches else []
            names = reader.schema.names
        chunks = [
            Chunk(size=size, decoded_size=block, max_rows=max(_ROWS_PER_BYTE * block, _MIN_ROWS))
            for size, block in zip(shares(source.size, blocks), blocks, strict=True)
        ]
        yield _IpcStream(reader, name, names, chunks) if is_stream else _IpcFile(stream, name, names, chunks)


def _is_stream(stream: pa.NativeFile, name: str) -> bool:
    """Whether the file has the stream format. Raises DataError where it has neither, or isn't complete."""
    size = stream.size()
    if size == 0:
        raise DataError("the file is empty (0 bytes)", file=name, remedy=f"{REWRITE}, or leave it out")
    head = bytes(stream.read(len(_MAGIC)))
    stream.seek(max(0, size - len(_MAGIC)))
    tail = bytes(stream.read(len(_MAGIC)))
    stream.seek(0)
    if head == _MAGIC:
        if tail == _MAGIC and size > len(_MAGIC):
            return False
        raise DataError(
            f"the {_TITLE} file is cut off: its footer is missing after {size} bytes",
            file=name,
            remedy="Copy it again, and import it once it is written to its end",
        )
    if head.startswith(_FEATHER_V1):
        raise DataError(
            "the file is Feather V1, which Arrow no longer writes",
            file=name,
            remedy="Read it with pyarrow.feather.read_table and write it with pyarrow.feather.write_feather",
        )
    if not head.startswith(_CONTINUATION):
        raise DataError(
            f"the file is not an {_TITLE} file", file=name, remedy="Check its extension, or write it again"
        )
    return True


def _block_sizes(stream: pa.NativeFile) -> list[int]:
    """The bytes of each record batch, from the footer, which Arrow doesn't expose; it has checked the footer's form.

    The footer is a FlatBuffers table: a table begins with the distance to its list of fields' places, and the fourth
    field is the vector of record batches.
    """
    stream.seek(stream.size() - _TAIL_BYTES)
    length = int.from_bytes(stream.read(4), "little")
    stream.seek(stream.size() - _TAIL_BYTES - length)
    footer = bytes(stream.read(length))
    (table,) = struct.unpack_from("<I", footer)
    (distance,) = struct.unpack_from("<i", footer, table)
    (place,) = struct.unpack_from("<H", footer, table - distance + 4 + 2 * 3)
    at = table + place
    (offset,) = struct.unpack_from("<I", footer, at)
    (count,) = struct.unpack_from("<I", footer, at + offset)
    blocks = (_BLOCK.unpack_from(footer, at + offset + 4 + number * _BLOCK.size) for number in range(count))
    sizes = [metadata + body for _, metadata, body in blocks]
    if min(sizes) < 0 or sum(sizes) > stream.size():  # also if batches overlap: each is read
        raise pa.ArrowInvalid("the footer claims record batches that are larger than the file")
    return sizes


ARROW_IPC = FormatSpec(name="Arrow", extensions=("arrow", "feather", "ipc", "arrows"), reader=ColumnarReader(_opened))

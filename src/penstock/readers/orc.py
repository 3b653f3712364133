"""Read ORC files by stripes; a stripe is read at once, but only the columns that are imported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import orc

from penstock.domain.jobs import JobWarning
from penstock.errors import DataError
from penstock.readers.base import FormatSpec, ReadRequest
from penstock.readers.columnar import REWRITE, Chunk, ColumnarReader, content_errors, shares
from penstock.readers.decompression_bombs import max_decoded_bytes

_TITLE = "ORC"
_MAGIC = b"ORC"
_ERRORS = (pa.ArrowException, UnicodeError, ValueError)
"""What the library raises for damaged files."""


@dataclass(frozen=True, slots=True)
class _OrcFile:
    """An open ORC file."""

    file: orc.ORCFile
    source_name: str
    names: Sequence[str]
    chunks: Sequence[Chunk]
    notes: Sequence[JobWarning] = ()

    def batches(self, number: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with content_errors(_TITLE, self.source_name, *_ERRORS):
            batch = self.file.read_stripe(number, columns=list(columns))
            batch.validate(full=True)
        yield batch


@contextmanager
def _opened(request: ReadRequest) -> Iterator[_OrcFile]:
    source = request.sources[0]
    if source.size == 0:
        raise DataError("the file is empty (0 bytes)", file=source.name, remedy=f"{REWRITE}, or leave it out")
    with source.open_arrow() as stream:
        if bytes(stream.read(len(_MAGIC))) != _MAGIC:
            raise DataError(
                "the file is not an ORC file", file=source.name, remedy="Check its extension, or write it again"
            )
        stream.seek(0)
        with content_errors(_TITLE, source.name, *_ERRORS):
            file = orc.ORCFile(stream)
            names, stripes, rows = file.schema.names, file.nstripes, file.nrows
        if not 0 <= rows <= max_decoded_bytes(source.size):
            raise DataError(
                f"the ORC file is damaged: its footer claims {rows:,} rows", file=source.name, remedy=REWRITE
            )
        sizes = shares(source.size, [1] * stripes)
        chunks = [Chunk(size=size, decoded_size=max(1, size), max_rows=rows) for size in sizes]
        yield _OrcFile(file, source.name, names, chunks)


ORC = FormatSpec(name="ORC", extensions=("orc",), reader=ColumnarReader(_opened))

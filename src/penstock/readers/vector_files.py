"""Read files of vectors alone, as benchmarks of nearest-neighbour search publish them: fvecs, ivecs, bvecs and fbin.

In ``.fvecs`` (float32), ``.ivecs`` (int32) and ``.bvecs`` (uint8) each vector follows its dimension; a ``.fbin``
(float32) begins with the number of vectors and their dimension. Numbers are little-endian.

The vectors belong to the only vector field of the collection, or to the one that is named ``vector``. The files have
no keys, so the collection must generate them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from penstock.domain.jobs import FileRange
from penstock.domain.schema import Field
from penstock.errors import DataError
from penstock.readers.base import FormatSpec, ReadRequest, RowBatch, Sample, SampleRequest
from penstock.readers.byte_ranges import even_spans
from penstock.readers.columnar import MAX_BATCH_ROWS, vector_field, vector_name
from penstock.readers.unknown_columns import check_missing
from penstock.sources.base import Source

_MAX_DIMENSION = 1 << 20
_BLOCK_BYTES = 512 << 10
_WORD = 4
"""Bytes of a dimension, and of each number of a header."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """The vectors of a file, from ``offset`` on: ``gap`` bytes, then ``dimension`` numbers of ``dtype``."""

    dtype: np.dtype[Any]
    arrow: pa.DataType
    dimension: int
    rows: int
    offset: int
    gap: int

    @property
    def row_bytes(self) -> int:
        return self.gap + self.dimension * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class _VectorFileReader:
    """Reader of one of these formats. A range is ``{"rows": [start, stop]}``.

    ``has_header``: the file begins with the number of vectors and the dimension, which otherwise precedes each.
    """

    dtype: str
    arrow: pa.DataType
    has_header: bool = False

    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[FileRange]:
        layout = self._layout(request.sources[0])
        field = vector_field(request)
        if layout.rows:
            _check_others(request, field)
        count = min(max(1, round(layout.rows * layout.row_bytes / split_bytes)), max(1, layout.rows))
        return [
            FileRange(
                spec={"rows": [start, stop]},
                size=(stop - start) * layout.row_bytes + (0 if start else layout.offset),
                max_rows=stop - start,
            )
            for start, stop in even_spans(0, layout.rows, count)
        ]

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        start, stop = spec["rows"]
        source = request.sources[0]
        layout = self._layout(source)
        name = vector_name(request)
        step = max(1, min(MAX_BATCH_ROWS, request.batch_bytes // layout.row_bytes))
        with source.open_arrow() as stream:
            for first in range(start, stop, step):
                last = min(stop, first + step)
                vectors = _vectors(stream, source, layout, first, last, start)
                numbers = (last - first) * layout.dimension
                values = pa.Array.from_buffers(layout.arrow, numbers, [None, vectors])
                lists = pa.FixedSizeListArray.from_arrays(values, layout.dimension)
                yield RowBatch(
                    batch=pa.RecordBatch.from_arrays([lists], names=[name]),
                    first_row=first - start,
                    bytes_read=(last - start) * layout.row_bytes,
                )

    def sample(self, request: SampleRequest) -> Sample:
        read = request.read_request()
        layout = self._layout(read.sources[0])
        rows = min(layout.rows, max(1, min(request.max_rows, request.max_bytes // layout.row_bytes)))
        batches = [batch.batch for batch in self.read(read, {"rows": [0, rows]})]
        table = pa.Table.from_batches(batches) if batches else pa.table({vector_name(read): pa.nulls(0)})
        return Sample(
            columns=dict(zip(table.column_names, table.columns, strict=True)),
            rows=rows,
            arrow={field.name: field.with_nullable(False) for field in table.schema},
            is_complete=rows == layout.rows,
        )

    def _layout(self, source: Source) -> _Layout:
        dtype = np.dtype(self.dtype)
        words = 2 if self.has_header else 1
        if source.size == 0 and not self.has_header:
            return _Layout(dtype, self.arrow, 1, 0, 0, _WORD)
        if source.size < words * _WORD:
            raise _wrong(source, f"the file is cut off: it has {source.size} bytes")
        with source.open_arrow() as stream:
            numbers = np.frombuffer(bytes(stream.read(words * _WORD)), "<i4").tolist()
        dimension = numbers[-1]
        if not 0 < dimension <= _MAX_DIMENSION:
            raise _wrong(source, f"the file is not of this format: it begins with the dimension {dimension}")
        gap = 0 if self.has_header else _WORD
        offset = 2 * _WORD if self.has_header else 0
        row_bytes = gap + dimension * dtype.itemsize
        rows, rest = divmod(source.size - offset, row_bytes)
        if self.has_header and (rows, rest) != (numbers[0] % (1 << 32), 0):
            raise _wrong(
                source,
                f"its header says {numbers[0]} vectors of {dimension} numbers, its {source.size} bytes are "
                f"{rows} and {rest} bytes more",
            )
        if rest:
            raise _wrong(source, f"the file is cut off in a vector, or the dimension {dimension} is wrong", row=rows)
        return _Layout(dtype, self.arrow, dimension, rows, offset, gap)


def _vectors(stream: pa.NativeFile, source: Source, layout: _Layout, first: int, last: int, start: int) -> pa.Buffer:
    """Read the numbers of rows ``first`` to ``last``, in native byte order; rows in errors count from ``start``."""
    stream.seek(layout.offset + first * layout.row_bytes)
    if layout.gap:
        data = _without_dimensions(stream, source, layout, last - first, first - start)
    else:
        data = stream.read_buffer((last - first) * layout.row_bytes)
        _check_size(data.size, (last - first) * layout.row_bytes, source)
    if layout.dtype.isnative:
        return data
    return pa.py_buffer(np.frombuffer(memoryview(data), layout.dtype).astype(layout.dtype.newbyteorder("=")).data)


def _without_dimensions(
    stream: pa.NativeFile, source: Source, layout: _Layout, count: int, first_row: int
) -> pa.Buffer:
    """Read ``count`` vectors without the dimension before each, in blocks that stay in the processor's cache."""
    vector_bytes = layout.row_bytes - layout.gap
    data: pa.Buffer = pa.allocate_buffer(count * vector_bytes)
    vectors = np.frombuffer(memoryview(data), np.uint8).reshape(count, vector_bytes)
    step = max(1, _BLOCK_BYTES // layout.row_bytes)
    block = np.empty((min(step, count), layout.row_bytes), np.uint8)
    for start in range(0, count, step):
        rows = block[: count - start]
        _check_size(stream.readinto(rows.data), rows.nbytes, source)
        dimensions = np.ascontiguousarray(rows[:, :_WORD]).view("<i4").ravel()
        if (dimensions != layout.dimension).any():
            row = int(np.argmax(dimensions != layout.dimension))
            raise _wrong(
                source,
                f"the vector has the dimension {int(dimensions[row])}, the first has {layout.dimension}",
                row=first_row + start + row,
            )
        vectors[start : start + len(rows)] = rows[:, layout.gap :]
    return data


def _check_size(size: int, needed: int, source: Source) -> None:
    if size < needed:
        raise _wrong(source, "the file became shorter while it was read")


def _wrong(source: Source, rule: str, row: int | None = None) -> DataError:
    return DataError(rule, file=source.name, row=row, remedy="Check its extension, copy it again, or write it again")


def _check_others(request: ReadRequest, field: Field) -> None:
    """Raise where another field, such as the key, needs a value."""
    try:
        check_missing(request.schema, [field.name], request)
    except DataError as error:
        missing = request.schema.get(error.field or "")
        remedy = (
            "The file holds vectors alone: create the collection with autoId, so that keys are generated"
            if missing is not None and missing.primary
            else "The file holds vectors alone: make the field nullable, or give it a default value"
        )
        raise error.at(file=request.sources[0].name, remedy=remedy) from None


FVECS = FormatSpec(
    name="fvecs", extensions=("fvecs",), reader=_VectorFileReader("<f4", pa.float32()), counts_rows=True
)
IVECS = FormatSpec(name="ivecs", extensions=("ivecs",), reader=_VectorFileReader("<i4", pa.int32()), counts_rows=True)
BVECS = FormatSpec(name="bvecs", extensions=("bvecs",), reader=_VectorFileReader("u1", pa.uint8()), counts_rows=True)
FBIN = FormatSpec(
    name="fbin",
    extensions=("fbin",),
    reader=_VectorFileReader("<f4", pa.float32(), has_header=True),
    counts_rows=True,
)

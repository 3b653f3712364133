"""Read NumPy sets: one ``.npy`` file per field, named as the field, all with the same number of rows.

Files are read in slices of rows, never mapped (a map of a file that shrinks kills the process) and never unpickled.
"""

from __future__ import annotations

import io
import tokenize
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np
import numpy.lib.format as npy
import numpy.typing as npt
import pyarrow as pa

from penstock.domain.jobs import FileRange, JobWarning
from penstock.domain.schema import META_FIELD, DataType
from penstock.errors import DataError
from penstock.readers.base import FormatSpec, ReadRequest, RowBatch, Sample, SampleRequest
from penstock.readers.byte_ranges import even_spans
from penstock.readers.columnar import merge_dynamic
from penstock.readers.dynamic_columns import DynamicColumns
from penstock.readers.numpy_set import NUMPY_SET, field_of
from penstock.readers.unknown_columns import (
    UnknownColumns,
    check_missing,
    computed_field_error,
    listed,
    unknown_column,
)
from penstock.sources.base import Source

HEAD = 1 << 16
"""Maximum bytes of a header; a plain array's has 128."""
MAX_ROW = 64 << 20
"""Maximum bytes of a row: a thousand times what a VarChar may hold."""
MAX_BATCH_ROWS = 1 << 16

_ARROW: Mapping[str, pa.DataType] = {
    "i1": pa.int8(),
    "i2": pa.int16(),
    "i4": pa.int32(),
    "i8": pa.int64(),
    "u1": pa.uint8(),
    "u2": pa.uint16(),
    "u4": pa.uint32(),
    "u8": pa.uint64(),
    "f2": pa.float16(),
    "f4": pa.float32(),
    "f8": pa.float64(),
}
_BAD_HEADER = (
    ValueError,
    TypeError,
    SyntaxError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
    MemoryError,
    tokenize.TokenError,
)
"""Exceptions of NumPy's header parser for text that isn't a header: it evaluates a Python literal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """One file of the set: values of ``dtype`` from ``offset`` on, ``width`` per row (None: a scalar)."""

    source: Source
    field: str
    dtype: np.dtype[Any]
    rows: int
    width: int | None
    column_major: bool
    offset: int

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * (self.width or 1)

    @property
    def arrow_bytes(self) -> int:
        """Maximum Arrow bytes of a row."""
        return self.row_bytes * (2 if self.dtype.kind == "V" else 1) + 4


class _NumpyReader:
    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[FileRange]:
        columns, _ = _set(request)
        rows = _count(columns, request)
        if rows:
            _check_missing(request)
        row_bytes = sum(column.row_bytes for column in columns)
        count = min(max(1, round(rows * row_bytes / split_bytes)), max(1, rows))
        return [
            FileRange(spec={"rows": [start, stop]}, size=(stop - start) * row_bytes, max_rows=stop - start)
            for start, stop in even_spans(0, rows, count)
        ]

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        start, stop = spec["rows"]
        columns, unknown = _set(request)
        _count(columns, request)
        _warn(request, unknown, stop - start)
        dynamic = DynamicColumns(request.schema, request.batch_bytes)
        row_bytes = sum(column.row_bytes for column in columns)
        step = max(
            1, min(MAX_BATCH_ROWS, request.batch_bytes // max(1, sum(column.arrow_bytes for column in columns)))
        )
        file_of: dict[str | None, str] = {column.field: column.source.name for column in columns}
        with ExitStack() as stack:
            streams = [stack.enter_context(column.source.open_arrow()) for column in columns]
            for first in range(start, stop, step):
                last = min(stop, first + step)
                arrays = [
                    _to_arrow(_rows(stream, column, first, last), column, first - start)
                    for stream, column in zip(streams, columns, strict=True)
                ]
                batch = pa.RecordBatch.from_arrays(arrays, names=[column.field for column in columns])
                row = first - start
                for output in merge_dynamic(dynamic, batch, request, row, file_of):
                    yield replace(output, bytes_read=(last - start) * row_bytes)
        request.warnings.extend(dynamic.warnings())

    def sample(self, request: SampleRequest) -> Sample:
        read = request.read_request()
        columns, _ = _set(read)
        total = _count(columns, read)
        selected = columns[: request.max_columns]
        row_bytes = sum(column.arrow_bytes for column in selected)
        rows = min(total, max(1, min(request.max_rows, request.max_bytes // max(1, row_bytes))))
        arrays: dict[str, pa.ChunkedArray[Any]] = {}
        for column in selected:
            with column.source.open_arrow() as stream:
                arrays[column.field] = pa.chunked_array([_to_arrow(_rows(stream, column, 0, rows), column, 0)])
        return Sample(
            columns=arrays,
            rows=rows,
            arrow={name: pa.field(name, array.type, nullable=False) for name, array in arrays.items()},
            is_complete=rows == total,
            has_all_columns=len(selected) == len(columns),
        )


NUMPY = FormatSpec(name="Numpy", extensions=("npy",), reader=_NumpyReader(), file_set=NUMPY_SET, counts_rows=True)


def _set(request: ReadRequest) -> tuple[list[_Column], list[str]]:
    """Select the columns to read; also return the names of files dropped since they belong to no field."""
    schema = request.schema
    _refuse_structs(request)
    field_names = {*schema.names, META_FIELD} if schema.dynamic else set(schema.names)
    sources: dict[str, Source] = {}
    for source in request.sources:
        field = field_of(source.name)
        if field in sources:
            raise DataError(
                f"two files are named {field!r}: {sources[field].name!r} and {source.name!r}",
                file=source.name,
                field=field,
                remedy="Give each field one file",
            )
        sources[field] = source
        known = schema.get(field)
        if known is not None and known.function_output:
            raise computed_field_error(known).at(file=source.name)
    unknown = [field for field in sources if field not in field_names | request.excluded_columns]
    if unknown and request.unknown_columns is UnknownColumns.ERROR:
        raise unknown_column(unknown[0], schema, "file").at(file=sources[unknown[0]].name)
    if field_names.isdisjoint(sources) and schema.fields:
        raise DataError(
            "none of the files is named as a field of the collection",
            file=" ".join(sources[field].name for field in sources),
            remedy=f"Name the files as the fields: {listed([f'{name}.npy' for name in schema.names])}",
        )
    if schema.dynamic and request.unknown_columns is UnknownColumns.DYNAMIC:
        unknown = []
    skipped = request.excluded_columns | set(unknown)
    return [_column(source, field) for field, source in sources.items() if field not in skipped], unknown


def _check_missing(request: ReadRequest) -> None:
    names = [field_of(source.name) for source in request.sources]
    try:
        check_missing(request.schema, names, request)
    except DataError as error:
        raise error.at(file=" ".join(source.name for source in request.sources)) from None


def _refuse_structs(request: ReadRequest) -> None:
    names = {field_of(source.name): source.name for source in request.sources}
    for field in request.schema:
        if field.type is DataType.ARRAY_OF_STRUCT and (field.name in names or not field.nullable):
            raise DataError(
                f"unsupported importing numpy files for collection with data type: {field.type.value}",
                file=names.get(field.name),
                field=field.name,
                remedy="NumPy files hold no struct arrays: use Parquet, JSON, JSON Lines or CSV",
            )


def _count(columns: Sequence[_Column], request: ReadRequest) -> int:
    first = columns[0]
    for column in columns[1:]:
        if column.rows != first.rows:
            raise DataError(
                f"imported rows are not aligned, field '{first.field}' with '{first.rows}' rows, "
                f"field '{column.field}' with '{column.rows}' rows",
                file=column.source.name,
                field=column.field,
                remedy="Save all arrays of a set with the same number of rows",
            )
    return first.rows


def _warn(request: ReadRequest, unknown: Sequence[str], rows: int) -> None:
    hint = ", as unknown_columns=drop says" if request.schema.dynamic else ""
    request.warnings.extend(
        JobWarning(
            code="column_dropped",
            message=f"file '{name}.npy' names no field of the collection and was left out{hint}",
            count=rows,
        )
        for name in unknown
        if rows
    )


def _column(source: Source, field: str) -> _Column:
    if source.size == 0:
        raise _wrong(source, field, "the file is empty (0 bytes)")
    with source.open_arrow() as stream:
        head = io.BytesIO(stream.read(min(HEAD, source.size)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns of files written by Python 2, which are valid
            version = npy.read_magic(head)
            read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
            header = read_header(head) if read_header else None
    except _BAD_HEADER as error:
        raise _wrong(source, field, f"the file is not a NumPy file: {' '.join(str(error).split())[:200]}") from error
    if header is None:
        raise _wrong(source, field, f"NumPy format version {version[0]}.{version[1]} can't be read")
    shape, column_major, dtype = header
    _check_dtype(dtype, source, field)
    rows, width = _check_shape(shape, dtype, source, field)
    column = _Column(
        source=source,
        field=field,
        dtype=dtype,
        rows=rows,
        width=width,
        column_major=column_major and (width or 1) > 1 and rows > 1,
        offset=head.tell(),
    )
    end = column.offset + rows * column.row_bytes
    if end > source.size:
        raise _wrong(
            source,
            field,
            f"the file is cut off: an array of shape {shape} takes {end} bytes, it has {source.size}",
        )
    if column.row_bytes > MAX_ROW:
        raise _wrong(source, field, f"a row takes {column.row_bytes} bytes, more than the {MAX_ROW} that are read")
    return column


def _wrong(source: Source, field: str, rule: str, remedy: str = "Save it again with numpy.save") -> DataError:
    return DataError(rule, file=source.name, field=field, remedy=remedy)


def _check_dtype(dtype: np.dtype[Any], source: Source, field: str) -> None:
    if dtype.hasobject:
        raise _wrong(
            source,
            field,
            "the array holds Python objects, which are never unpickled",
            "Save it with a plain type: numpy.array(values, dtype='float32') for numbers, numpy.array(texts) for "
            "texts; for nulls use Parquet or JSON, or leave the file of a nullable field out",
        )
    plain = dtype.names is None and dtype.subdtype is None and dtype.itemsize > 0
    if not plain or not (dtype.kind in "bUS" or dtype.str[1:] in _ARROW or _is_bfloat16(dtype)):
        raise _wrong(
            source,
            field,
            f"arrays of type {str(dtype)!r} can't be imported",
            "Save it as bool, int8 to int64, float16, float32, float64, bfloat16 or text",
        )


def _is_bfloat16(dtype: np.dtype[Any]) -> bool:
    """Whether a type is bfloat16, which NumPy's files lack: they store its values as two opaque bytes."""
    return dtype.kind == "V" and dtype.itemsize == 2


def _check_shape(shape: tuple[Any, ...], dtype: np.dtype[Any], source: Source, field: str) -> tuple[int, int | None]:
    if any(type(length) is not int or length < 0 for length in shape):
        raise _wrong(source, field, f"the file is damaged: its shape is {shape}")
    if len(shape) == 1:
        return shape[0], None
    if len(shape) != 2 or shape[1] == 0 or dtype.kind in "US":
        raise _wrong(
            source,
            field,
            f"an array of shape {shape} and type {str(dtype)!r} can't be imported",
            "Save values as shape (rows,), vectors as shape (rows, dimension)",
        )
    return shape[0], shape[1]


def _rows(stream: pa.NativeFile, column: _Column, start: int, stop: int) -> npt.NDArray[Any]:
    """Read rows ``start`` to ``stop``: shape (n,) or (n, width), in native byte order."""
    count = stop - start
    if column.column_major:
        assert column.width is not None
        item = column.dtype.itemsize
        values = np.empty((column.width, count), column.dtype)
        for number in range(column.width):
            values[number] = _values(stream, column, column.offset + (number * column.rows + start) * item, count)
        values = np.ascontiguousarray(values.T)
    else:
        values = _values(stream, column, column.offset + start * column.row_bytes, count * (column.width or 1))
        if column.width is not None:
            values = values.reshape(count, column.width)
    return values if column.dtype.isnative else values.astype(column.dtype.newbyteorder("="))


def _values(stream: pa.NativeFile, column: _Column, offset: int, count: int) -> npt.NDArray[Any]:
    stream.seek(offset)
    data = stream.read_buffer(count * column.dtype.itemsize)
    if data.size < count * column.dtype.itemsize:
        raise _wrong(column.source, column.field, "the file became shorter while it was read")
    return np.frombuffer(memoryview(data), column.dtype, count)


def _to_arrow(values: npt.NDArray[Any], column: _Column, first_row: int) -> pa.Array[Any]:
    """Convert to Arrow, numbers zero-copy; ``first_row`` is for messages."""
    if values.dtype.kind in "US":
        return _texts(values, column, first_row)
    if values.dtype.kind == "V":
        values = values.view(ml_dtypes.bfloat16).astype(np.float32)
    flat = values.reshape(-1)
    array: pa.Array[Any]
    if flat.dtype.kind == "b":
        array = pa.array(flat.view(np.uint8) != 0)
    else:
        array = pa.Array.from_buffers(_ARROW[flat.dtype.str[1:]], len(flat), [None, pa.py_buffer(flat.data)])
    return array if column.width is None else pa.FixedSizeListArray.from_arrays(array, column.width)


def _texts(values: npt.NDArray[Any], column: _Column, first_row: int) -> pa.Array[Any]:
    """Strip trailing NULs, NumPy's padding, which can't be distinguished from NULs of the text."""
    # Arrow ends the text of a NumPy array at its first NUL; Python's str and bytes keep inner ones.
    source: Any = values.tolist() if _has_inner_nul(values) else values
    try:
        texts: pa.Array[Any] = pa.array(source).cast(pa.string())
        return texts
    except (UnicodeError, pa.ArrowInvalid) as error:
        row = next(number for number in range(len(values)) if not _is_text(values[number : number + 1]))
        raise DataError(
            "the text is not valid Unicode",
            file=column.source.name,
            row=first_row + row,
            field=column.field,
            value=values[row : row + 1].tobytes().rstrip(b"\0")[:40],
            remedy="Save texts as str, or as bytes in UTF-8",
        ) from error


def _has_inner_nul(values: npt.NDArray[Any]) -> bool:
    """Whether any text has a NUL that another character follows."""
    unit = np.dtype(np.uint8) if values.dtype.kind == "S" else np.dtype(np.uint32)
    characters = np.ascontiguousarray(values).view(unit).reshape(len(values), values.itemsize // unit.itemsize)
    return bool(((characters[:, :-1] == 0) & (characters[:, 1:] != 0)).any())


def _is_text(value: npt.NDArray[Any]) -> bool:
    try:
        pa.array(value).cast(pa.string())
    except (UnicodeError, pa.ArrowInvalid):
        return False
    return True

"""Read Avro files (object container files), block by block; a file is one file range.

The library needs the extra ``avro``. It decodes rows in compiled code; their columns are built with the types of the
file's schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast
from uuid import UUID

import pyarrow as pa

from penstock.domain.jobs import JobWarning
from penstock.errors import DataError, shorten
from penstock.extras import require_extra
from penstock.readers.base import FormatSpec, ReadRequest
from penstock.readers.columnar import REWRITE, Chunk, ColumnarReader, check_names, content_errors

_TITLE = "Avro"
_MAGIC = b"Obj\x01"
_ROWS_PER_BYTE = 8
_MIN_ROWS = 1 << 20
_BATCH_ROWS = 1 << 12
_BATCH_BYTES = 4 << 20
"""Rows, or bytes of the file, that become a batch: Python objects take many times what Arrow does."""
_MAX_DEPTH = 32
_MAX_FREE_VALUES = 1024
"""Values of a row, or of an array's element, that take no bytes in the file, such as nulls."""
_PRIMITIVES: Mapping[str, pa.DataType] = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
}
_LOGICAL: Mapping[str, pa.DataType] = {
    "date": pa.date32(),
    "time-millis": pa.time32("ms"),
    "time-micros": pa.time64("us"),
    "timestamp-millis": pa.timestamp("ms", "UTC"),
    "timestamp-micros": pa.timestamp("us", "UTC"),
    "local-timestamp-millis": pa.timestamp("ms"),
    "local-timestamp-micros": pa.timestamp("us"),
    "uuid": pa.string(),
}


@dataclass(frozen=True, slots=True)
class _AvroFile:
    """An open Avro file, which is one chunk. ``types`` are those of its columns."""

    reader: Any
    stream: _CountingStream
    types: Mapping[str, pa.DataType | DataError]
    chunks: Sequence[Chunk]
    notes: Sequence[JobWarning] = ()

    @property
    def names(self) -> Sequence[str]:
        return list(self.types)

    def batches(self, number: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        del number
        types = {name: self._type(name) for name in columns}
        values: dict[str, list[Any]] = {name: [] for name in columns}
        count = start = 0
        rows = iter(self.reader)
        while True:
            try:
                with content_errors(_TITLE, self.stream.name, Exception):
                    row = next(rows, None)
            except DataError as error:
                raise error.at(row=count) from None
            if row is not None:
                for name, column in values.items():
                    column.append(row[name])
                count += 1
            is_full = count == _BATCH_ROWS or self.stream.position - start >= _BATCH_BYTES
            if count and (row is None or is_full):
                arrays = [_array(values[name], type_, name) for name, type_ in types.items()]
                yield pa.RecordBatch.from_arrays(arrays, names=list(types))
                values = {name: [] for name in columns}
                count, start = 0, self.stream.position
            if row is None:
                return

    def _type(self, name: str) -> pa.DataType:
        type_ = self.types[name]
        if isinstance(type_, DataError):
            raise type_.at(file=self.stream.name, field=name)
        return type_


class _CountingStream:
    """The stream of a source that counts the bytes that the library has read."""

    def __init__(self, name: str, stream: BinaryIO) -> None:
        self.name = name
        self.position = 0
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.position += len(data)
        return data


def _array(values: list[Any], type_: pa.DataType, name: str) -> pa.Array[Any]:
    try:
        if type_ == pa.string():
            values = [str(value) if isinstance(value, UUID) else value for value in values]
        return pa.array(values, type_)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeError, OverflowError) as error:
        raise DataError(
            f"the values can't be read as {type_}: {' '.join(str(error).split())[:200]}",
            field=name,
            remedy=REWRITE,
        ) from error


@contextmanager
def _opened(request: ReadRequest) -> Iterator[_AvroFile]:
    source = request.sources[0]
    require_extra("avro", "fastavro", reason=f"file {source.name!r}: the reader of Avro is not installed")
    import fastavro

    if source.size == 0:
        raise DataError("the file is empty (0 bytes)", file=source.name, remedy=f"{REWRITE}, or leave it out")
    with source.open_stream() as stream:
        head = stream.read(len(_MAGIC))
    if head != _MAGIC:
        raise DataError(
            "the file is not an Avro file", file=source.name, remedy="Check its extension, or write it again"
        )
    with source.open_stream() as file:
        counting = _CountingStream(source.name, file)
        with content_errors(_TITLE, source.name, Exception):  # the library checks little
            reader: Any = fastavro.reader(cast(Any, counting))
            _check_bounded(reader.writer_schema, source.name)
            types = _columns(json.loads(reader.metadata["avro.schema"]), source.name)
        chunk = Chunk(
            size=source.size,
            decoded_size=source.size,
            max_rows=max(_ROWS_PER_BYTE * source.size, _MIN_ROWS),
        )
        yield _AvroFile(reader, counting, types, [chunk])


def _columns(schema: Any, file: str) -> Mapping[str, pa.DataType | DataError]:
    """The types of the columns; the error instead of one that can't be imported, which matters if it is read."""
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise DataError(
            "the rows of the Avro file are not records",
            file=file,
            remedy="Write records, whose fields are the columns",
        )
    fields = schema["fields"]
    check_names([field["name"] for field in fields], file)
    types: dict[str, pa.DataType | DataError] = {}
    for field in fields:
        try:
            types[field["name"]] = _arrow_type(field["type"], 0)
        except DataError as error:
            types[field["name"]] = error
    return types


def _arrow_type(schema: Any, depth: int) -> pa.DataType:
    """The Arrow type of an Avro type. Raises DataError where it has none."""
    if depth > _MAX_DEPTH:
        raise _no_type("deeply nested types")
    if isinstance(schema, str):
        if schema not in _PRIMITIVES:
            raise _no_type(f"references to the named type {schema!r}")
        return _PRIMITIVES[schema]
    if isinstance(schema, list):
        choices = [choice for choice in schema if choice != "null"]
        if len(choices) > 1:
            raise _no_type("unions of several types")
        return _arrow_type(choices[0], depth + 1) if choices else pa.null()
    logical = _LOGICAL.get(schema.get("logicalType", ""))
    match schema.get("type"):
        case "bytes" | "fixed" if schema.get("logicalType") == "decimal":
            return pa.decimal128(min(38, int(schema["precision"])), int(schema.get("scale", 0)))
        case "array":
            return pa.list_(_arrow_type(schema["items"], depth + 1))
        case "map":
            return pa.map_(pa.string(), _arrow_type(schema["values"], depth + 1))
        case "record":
            return pa.struct([(field["name"], _arrow_type(field["type"], depth + 1)) for field in schema["fields"]])
        case "enum":
            return pa.string()
        case "fixed":
            return pa.binary(int(schema["size"]))
        case inner:
            return logical or _arrow_type(inner, depth + 1)


def _check_bounded(schema: Any, file: str) -> None:
    """Raise DataError for a schema by which a few bytes decode to any number of values, or to any depth.

    The library decodes all columns, also those that are not imported, by functions that call themselves.
    """
    try:
        _cost(schema, {})
    except DataError as error:
        raise error.at(file=file) from None


def _cost(schema: Any, named: dict[str, tuple[bool, int] | None]) -> tuple[bool, int]:
    """Whether a value takes bytes, and how many values that take none come with it.

    ``named`` has those of the named types so far, None for records whose fields are being looked at.
    """
    if isinstance(schema, list):
        return True, max((_cost(choice, named)[1] for choice in schema), default=0)
    if isinstance(schema, str):
        if schema not in named:
            return schema != "null", int(schema == "null")
        cost = named[schema]
        if cost is None:
            raise DataError(
                f"the type {shorten(schema)!r} contains itself, so that it may nest to any depth",
                remedy="Write the column with a type of fixed depth, or as JSON text, or leave it out",
            )
        return cost
    cost = True, 0
    match schema["type"]:
        case "record" | "error":
            named[schema["name"]] = None
            fields = [_cost(field["type"], named) for field in schema["fields"]]
            takes_bytes, free = any(takes for takes, _ in fields), 1 + sum(free for _, free in fields)
            if free > _MAX_FREE_VALUES:
                raise DataError(
                    f"{_MAX_FREE_VALUES:,} values and more of the type {shorten(schema['name'])!r} take no bytes",
                    remedy="Leave out the columns and fields that are always null",
                )
            cost = takes_bytes, free
        case "array":
            if not _cost(schema["items"], named)[0]:
                raise DataError(
                    "arrays whose elements take no bytes, such as nulls, can't be imported",
                    remedy="Leave the column out of the file",
                )
        case "map":
            _cost(schema["values"], named)
        case "fixed":
            cost = schema["size"] > 0, int(schema["size"] <= 0)
        case "enum":
            pass
        case inner:
            return _cost(inner, named)
    if "name" in schema:
        named[schema["name"]] = cost
    return cost


def _no_type(what: str) -> DataError:
    return DataError(f"{what} can't be imported", remedy="Write the column with one type, or leave it out")


AVRO = FormatSpec(name="Avro", extensions=("avro",), reader=ColumnarReader(_opened))

"""Read Avro files (object container files), block by block; a file is one file range.

The library needs the extra ``avro``. It decodes rows in compiled code; their columns are built with the types of the
file's schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pyarrow as pa

from penstock.domain.jobs import JobWarning
from penstock.errors import DataError, PenstockError
from penstock.extras import require_extra
from penstock.readers.base import FormatSpec, ReadRequest
from penstock.readers.columnar import REWRITE, Chunk, ColumnarReader, broken, check_names

_TITLE = "Avro"
_MAGIC = b"Obj\x01"
_ROWS_PER_BYTE = 8
_MIN_ROWS = 1 << 20
_BATCH_ROWS = 1 << 12
"""Rows that become a batch: Python objects take many times what Arrow does."""
_MAX_DEPTH = 32
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
    source_name: str
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
        count = 0
        rows = iter(self.reader)
        while True:
            try:
                with _errors(self.source_name):
                    row = next(rows, None)
            except DataError as error:
                raise error.at(row=count) from None
            if row is not None:
                for name, column in values.items():
                    column.append(row[name])
                count += 1
            if count and (row is None or count == _BATCH_ROWS):
                arrays = [_array(values[name], type_, name) for name, type_ in types.items()]
                yield pa.RecordBatch.from_arrays(arrays, names=list(types))
                values = {name: [] for name in columns}
                count = 0
            if row is None:
                return

    def _type(self, name: str) -> pa.DataType:
        type_ = self.types[name]
        if isinstance(type_, DataError):
            raise type_.at(file=self.source_name, field=name)
        return type_


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
    with source.open_stream() as stream:
        with _errors(source.name):
            reader: Any = fastavro.reader(stream)
            types = _columns(json.loads(reader.metadata["avro.schema"]), source.name)
        chunk = Chunk(
            size=source.size,
            decoded_size=source.size,
            max_rows=max(_ROWS_PER_BYTE * source.size, _MIN_ROWS),
        )
        yield _AvroFile(reader, source.name, types, [chunk])


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
        case "array" if schema["items"] == "null":
            raise _no_type("arrays of nulls")  # their values take no bytes, so that a few claim any number
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


def _no_type(what: str) -> DataError:
    return DataError(f"{what} can't be imported", remedy="Write the column with one type, or leave it out")


@contextmanager
def _errors(name: str) -> Iterator[None]:
    """Translate the library's errors about a file's content: it checks little, so they are of any kind."""
    try:
        yield
    except (PenstockError, MemoryError):
        raise
    except OSError as error:
        if error.errno is not None:
            raise  # the disk's
        raise broken(_TITLE, error, name) from error
    except Exception as error:
        raise broken(_TITLE, error, name) from error


AVRO = FormatSpec(name="Avro", extensions=("avro",), reader=ColumnarReader(_opened))

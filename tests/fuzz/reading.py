"""What holds for the readers, whatever the bytes: rows that fit the schema, or a DataError that names the file.

The first byte of an input chooses the schema and how the file is cut; the rest is the file.
"""

from __future__ import annotations

import bz2
import gzip
import json
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from penstock.domain.arrow_schema import canonical_schema
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType
from penstock.errors import DataError
from penstock.readers.base import Reader, ReadRequest, plan_at_once
from penstock.readers.csv.reader import CsvReader
from penstock.readers.formats import EXTENSIONS
from penstock.readers.json.array_reader import JsonReader
from penstock.readers.json.lines_reader import JsonLinesReader
from penstock.readers.numpy import NUMPY
from penstock.readers.parquet.reader import PARQUET
from penstock.validation import Conformer
from tests.support.conforming import check_json
from tests.support.in_memory import BytesSource
from tests.support.schemas import EVERYTHING, KEY_AND_VECTOR, LENIENT

__all__ = [
    "COLUMN_EXTENSIONS",
    "read_columns",
    "read_compressed",
    "read_csv",
    "read_json",
    "read_json_lines",
    "read_numpy",
    "read_parquet",
]

COLUMN_EXTENSIONS = ("arrow", "arrows", "avro", "h5", "npz", "orc", "fvecs", "ivecs", "bvecs", "fbin")
"""Of the formats of columns besides Parquet; the choice's remainder tells which."""
_ALONE = replace(KEY_AND_VECTOR, auto_id=True)
_SCHEMAS = (KEY_AND_VECTOR, EVERYTHING, LENIENT)
_WHOLE = 1 << 30
_BATCH = 1 << 16
_MEMORY = 200 << 20
"""Bytes by which the process's peak may rise with one input: a small file that takes more is a bomb."""
_SEPARATORS = (",", ";", "\t")
_BLOCKS = (3, 16, 64, 1 << 20)


class _Refused(Exception):
    """A row was read and breaks a rule of its field, which the cause tells."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The rows of a file, or the text of the error that ends its import; ``read`` tells whether all rows could be
    read, so that it is a later check that refuses one."""

    rows: list[object]
    error: str = ""
    read: bool = True


def read_parquet(data: bytes) -> None:
    """Memory is not looked at: Arrow takes the 2 GiB that a page's header may claim before it looks for them. Workers
    are ended for that, which is tried elsewhere."""
    choice, content = _split(data)
    _import(PARQUET.reader, {"data.parquet": content}, _schema(choice))


def read_json(data: bytes) -> None:
    found = _read_text(data, "data.json", JsonReader)
    if found:
        _check_values(json.loads(_split(data)[1]), found, data)


def read_json_lines(data: bytes) -> None:
    found = _read_text(data, "data.jsonl", JsonLinesReader)
    try:
        lines = [json.loads(line) for line in _split(data)[1].splitlines() if line.strip()]
    except ValueError:
        return  # objects that are spread over lines, or share one
    if found:
        _check_values(lines, found, data)


def _check_values(content: Any, found: Sequence[Any], data: bytes) -> None:
    """Texts and dynamic values are those that the standard library's parser finds under the very same keys."""
    rows = next(iter(content.values())) if isinstance(content, dict) else content
    schema = _schema(data[0])
    assert len(rows) == len(found)
    for row, imported in zip(rows, found, strict=True):
        for name in schema.names:
            if schema[name].type is DataType.VARCHAR and isinstance(row.get(name), str):
                assert imported[name] == row[name], name
        extras = {key: value for key, value in row.items() if key not in schema.names and key != META_FIELD}
        if schema.dynamic:
            kept = json.loads(imported[META_FIELD])
            assert {key: kept.get(key, "absent") for key in extras} == extras


def read_csv(data: bytes) -> None:
    _read_text(data, "data.csv", CsvReader)


def read_numpy(data: bytes) -> None:
    """The file is that of each field in turn; the choice's remainder tells which."""
    choice, content = _split(data)
    fields = [each for each in LENIENT if each.name != "parts"]
    field = fields[choice % len(fields)]
    # Whatever else the collection has may be absent: what this field's file holds gets through to the checks.
    schema = replace(
        LENIENT, fields=tuple(subfield for subfield in fields if subfield.primary or subfield is field), auto_id=False
    )
    if not field.primary:
        schema = replace(schema, auto_id=True)
    with _bounded():
        _import(NUMPY.reader, {f"{field.name}.npy": content}, schema)


def read_columns(data: bytes) -> None:
    """Memory is not looked at: as with Parquet, libraries take what a length claims before they look for it."""
    choice, content = _split(data)
    extension = COLUMN_EXTENSIONS[choice % len(COLUMN_EXTENSIONS)]
    lenient = LENIENT if choice // len(COLUMN_EXTENSIONS) % 2 else KEY_AND_VECTOR
    schema = _ALONE if extension[-4:] in _OF_VECTORS else lenient
    with suppress(pa.ArrowMemoryError):
        _import(_reader(extension), {f"data.{extension}": content}, schema)


_OF_VECTORS = ("vecs", "fbin")


def read_compressed(data: bytes) -> None:
    """As what is in a compressed file, and as the text of one, which comes to the same as the text itself."""
    choice, content = _split(data)
    suffix = [*_COMPRESS][choice % len(_COMPRESS)]
    extension = ("jsonl", "json", "csv")[choice // 3 % 3]
    reader = _reader(extension)
    _import(reader, {f"data.{extension}.{suffix}": content}, KEY_AND_VECTOR)
    plain = _outcome(reader, {f"data.{extension}": content}, KEY_AND_VECTOR, _WHOLE, {})
    packed = _COMPRESS[suffix](content)
    same = _outcome(reader, {f"data.{extension}.{suffix}": packed}, KEY_AND_VECTOR, _WHOLE, {})
    assert replace(same, error=same.error.replace(f".{suffix}'", "'")) == plain, f"{same} instead of {plain}"


def _zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, codec="zstd", asbytes=True))


_COMPRESS: Mapping[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "zst": _zstd, "bz2": bz2.compress}


def _reader(extension: str) -> Reader:
    return EXTENSIONS[extension].reader


@contextmanager
def _bounded() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        yield
    finally:
        taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
        assert taken < _MEMORY, f"it took {taken >> 20} MiB"


def _split(data: bytes) -> tuple[int, bytes]:
    return (data[0], data[1:]) if data else (0, b"")


def _schema(choice: int) -> CollectionSchema:
    return _SCHEMAS[choice % len(_SCHEMAS)]


def _read_text(
    data: bytes, name: str, make: type[JsonReader] | type[JsonLinesReader] | type[CsvReader]
) -> Sequence[Any]:
    """Read in one piece, and in small blocks and splits: both come to the same. The rows, none if it is refused."""
    choice, content = _split(data)
    schema = _schema(choice)
    options = {"sep": _SEPARATORS[choice // 3 % 3], "nullkey": "null" if choice // 9 % 2 else ""}
    whole = _outcome(make(), {name: content}, schema, _WHOLE, options)
    block = _BLOCKS[choice // 18 % len(_BLOCKS)]
    cut = _outcome(make(block_bytes=block), {name: content}, schema, max(8, len(content) // 3), options)
    if whole.error and cut.error and (whole.read or cut.read):
        return []  # the checks get to see rows before those that can't be read, or don't, as the batches fall
    assert cut == whole, f"read in one piece: {whole}\nread in parts: {cut}"
    return whole.rows


def _outcome(
    reader: Reader, files: Mapping[str, bytes], schema: CollectionSchema, split_bytes: int, options: Mapping[str, str]
) -> _Outcome:
    try:
        with _bounded():
            batches = _read(reader, files, schema, split_bytes, options)
    except _Refused as refused:
        return _Outcome([], str(refused.__cause__))
    except DataError as error:
        return _Outcome([], str(error), read=False)
    return _Outcome([row for batch in batches for row in batch.to_pylist()])


def _import(reader: Reader, files: Mapping[str, bytes], schema: CollectionSchema) -> None:
    try:
        _read(reader, files, schema, 64, {})
    except _Refused:
        return
    except DataError as error:
        if not (error.file or error.field or error.row is not None):
            raise AssertionError(f"says nothing about where: {error}") from error


def _read(
    reader: Reader, files: Mapping[str, bytes], schema: CollectionSchema, split_bytes: int, options: Mapping[str, str]
) -> Sequence[pa.RecordBatch]:
    """The canonical batches of a file. Raises DataError, with the row in the file where a row is at fault."""
    request = ReadRequest(
        sources=[BytesSource(name, content) for name, content in files.items()],
        schema=schema,
        batch_bytes=_BATCH,
        options=options,
    )
    found = []
    wanted = canonical_schema(schema)
    before = 0
    for plan in plan_at_once(reader, request, split_bytes):
        conformer = Conformer(schema, [1], 1 if schema.auto_id else None)
        rows = 0
        try:
            for each in reader.read(request, plan.spec):
                assert each.first_row == rows
                try:
                    batch = conformer.conform(each)
                except DataError as error:
                    raise _Refused from error
                batch.validate(full=True)
                assert batch.schema.equals(wanted)
                check_json(batch, schema)
                rows += batch.num_rows
                found.append(batch)
        except DataError as error:
            raise error if error.row is None else error.at(row=before + error.row) from None
        assert rows <= plan.max_rows
        before += rows
    return found

"""Read Parquet files row group by row group, in memory independent of the file's and the row groups' size.

Types are passed on as stored. Columns that are no field of the collection become dynamic values where it has a
dynamic field (in Milvus only a column ``$meta`` does); where it has none, or by the option ``unknown_columns``, they
are not read at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from penstock.domain.jobs import FileRange, JobWarning
from penstock.domain.schema import META_FIELD, CollectionSchema, Field
from penstock.errors import DataError, shorten
from penstock.readers.arrow_values import may_hold
from penstock.readers.base import FormatSpec, ReadRequest, RowBatch
from penstock.readers.dynamic_columns import DynamicColumns
from penstock.readers.unknown_columns import UnknownColumns, check_missing, listed, unknown_column

BUFFER = 1 << 20
"""Read buffer of a column, in bytes. Without it a whole column of a row group is read at once."""
MAX_BATCH_ROWS = 1 << 16
MAX_FOOTER = 256 << 20
"""Largest footer that is parsed, in bytes; files of a million row groups stay below."""
SLACK = 8
"""Factor by which decoded bytes may exceed ``batch_bytes`` where the long values of a column are clustered."""
OVERHEAD = 5
"""Arrow bytes per row and column on top of the values: an offset and a validity bit."""
ASSUMED_LENGTH = 1 << 16
"""Assumed maximum bytes of a value without a length in the schema (JSON, arrays), and of a row's dynamic values."""
TEXT_BYTES = 30
"""Bytes of a number or time as JSON text, with quotes and separators."""

MAX_NAMED, MAX_NAME = 100, 200
"""Columns that warnings name one by one, and characters per name: a file may have a million, of any length."""

_OPENING: Mapping[str, Any] = {
    "pre_buffer": False,
    "buffer_size": BUFFER,
    "page_checksum_verification": True,
    # In nanoseconds, as stored, years before 1678 and after 2262 would overflow into other years.
    "coerce_int96_timestamp_unit": "us",
}
_UNNAMED_INDEX = re.compile(r"__index_level_\d+__")
"""Columns that pandas writes for an unnamed index; its own reader turns them back into the index."""
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 8, "FLOAT": 4, "DOUBLE": 8}
_NARROW = {"INT_8": 1, "UINT_8": 1, "INT_16": 2, "UINT_16": 2}
_REWRITE = "Write the file again"


@dataclass(frozen=True, slots=True)
class _Group:
    """A row group: its rows, its share of the file's bytes, and the Arrow bytes of the columns that are read,
    estimated and in the worst case (all texts of maximum length)."""

    rows: int
    size: int
    arrow_size: int
    worst_size: int


@dataclass(frozen=True, slots=True)
class _Columns:
    """Column names: read as fields, read as dynamic values, dropped, and all of the file."""

    fields: list[str]
    dynamic: list[str]
    dropped: list[str]
    names: list[str]

    @property
    def selected(self) -> list[str]:
        return [*self.fields, *self.dynamic]


class _ParquetReader:
    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[FileRange]:
        with _opened(request) as file:
            columns = _columns(file, request)
            groups = _groups(file, columns, request)
            if sum(group.rows for group in groups):
                _check_fields(file, columns, request)
        return [_range(groups, start, stop) for start, stop in _pack_groups(groups, split_bytes)]

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        start, stop = spec["row_groups"]
        with _opened(request) as file:
            columns = _columns(file, request)
            groups = _groups(file, columns, request)[start:stop]
            _warn(request, columns, sum(group.rows for group in groups))
            dynamic = DynamicColumns(request.schema, request.batch_bytes)
            first_row = done = 0
            for number, group in enumerate(groups, start):
                read = 0
                for batch in _batches(file, number, group, columns.selected, request, first_row):
                    for output in _merge_dynamic(dynamic, batch, request, first_row + read):
                        read += output.num_rows
                        yield RowBatch(
                            batch=output,
                            first_row=first_row + read - output.num_rows,
                            bytes_read=done + group.size * read // group.rows,
                        )
                first_row += read
                done += group.size
            request.warnings.extend(dynamic.warnings())


def _merge_dynamic(
    dynamic: DynamicColumns, batch: pa.RecordBatch, request: ReadRequest, first_row: int
) -> Iterator[pa.RecordBatch]:
    try:
        yield from dynamic.batches(batch)
    except DataError as error:
        raise error.at(file=request.sources[0].name, row=first_row + (error.row or 0)) from None


PARQUET = FormatSpec(name="Parquet", extensions=("parquet",), reader=_ParquetReader(), counts_rows=True)


@contextmanager
def _opened(request: ReadRequest) -> Iterator[pq.ParquetFile]:
    source = request.sources[0]
    with source.open_arrow() as stream:
        _check_ends(stream, source.name)
        try:
            file = pq.ParquetFile(stream, **_OPENING)
            _check_names(file, source.name)
        except pa.ArrowMemoryError:
            raise
        except (pa.ArrowException, OSError, UnicodeError) as error:
            raise _broken(error, source.name) from error
        yield file


def _check_ends(stream: pa.NativeFile, name: str) -> None:
    """Distinguish the usual kinds of broken files, and reject a hostile footer before it is read."""
    size = stream.size()
    if size == 0:
        raise DataError("the file is empty (0 bytes)", file=name, remedy=f"{_REWRITE}, or leave it out")
    stream.seek(max(0, size - 8))
    tail = bytes(stream.read(8))
    if tail[4:] == b"PARE":
        raise DataError("the Parquet file is encrypted", file=name, remedy=f"{_REWRITE} without encryption")
    if tail[4:] != b"PAR1" or size < 12:
        stream.seek(0)
        if bytes(stream.read(4)) == b"PAR1":
            raise DataError(
                f"the Parquet file is cut off: its footer is missing after {size} bytes",
                file=name,
                remedy="Copy it again, and import it once it is written to its end",
            )
        raise DataError("the file is not a Parquet file", file=name, remedy="Check its extension, or write it again")
    footer = int.from_bytes(tail[:4], "little")
    if footer > min(size - 12, MAX_FOOTER):
        raise DataError(
            f"the Parquet file is damaged: its footer claims {footer} bytes of a file of {size}",
            file=name,
            remedy=_REWRITE,
        )


def _check_names(file: pq.ParquetFile, source_name: str) -> None:
    for number in range(file.metadata.num_columns):
        _ = file.schema.column(number).path  # decoding fails where a name isn't text
    seen: set[str] = set()
    for name in file.schema_arrow.names:
        if name in seen:
            raise DataError(
                f"there is multi field with name: {name}",
                file=source_name,
                field=name,
                remedy="Give each column a name of its own",
            )
        seen.add(name)


def _broken(error: Exception, name: str, row: int | None = None) -> DataError:
    text = " ".join(str(error).split())
    if "crypt" in text:
        return DataError("the Parquet file is encrypted", file=name, remedy=f"{_REWRITE} without encryption")
    return DataError(
        f"the Parquet file can't be read{'' if row is None else ' from this row on'}: {text[:300]}",
        file=name,
        row=row,
        remedy=f"{_REWRITE}, or copy it again if it was damaged on the way",
    )


def _columns(file: pq.ParquetFile, request: ReadRequest) -> _Columns:
    """Select the columns to read. Raises DataError for an unknown column if the request refuses those."""
    schema = request.schema
    field_names = {*schema.names, META_FIELD} if schema.dynamic else set(schema.names)
    names = file.schema_arrow.names
    known = field_names | request.excluded_columns
    unknown = [name for name in names if name not in known]
    if unknown and request.unknown_columns is UnknownColumns.ERROR:
        raise unknown_column(unknown[0], schema).at(file=request.sources[0].name)
    keep_unknown = schema.dynamic and request.unknown_columns is UnknownColumns.DYNAMIC
    dynamic = [name for name in unknown if keep_unknown and not _UNNAMED_INDEX.fullmatch(name)]
    return _Columns(
        fields=[name for name in names if name in field_names],
        dynamic=dynamic,
        dropped=[name for name in unknown if not keep_unknown or _UNNAMED_INDEX.fullmatch(name)],
        names=names,
    )


def _check_fields(file: pq.ParquetFile, columns: _Columns, request: ReadRequest) -> None:
    """Raise where no column is a field, or a required field has no column."""
    schema, source = request.schema, request.sources[0].name
    if not columns.fields:
        raise DataError(
            "no column of the file is a field of the collection",
            file=source,
            remedy=f"Name the columns as the fields: {listed(schema.names)}. The file's columns: "
            f"{listed(columns.names)}",
        )
    try:
        types = {column.name: column.type for column in file.schema_arrow}
        check_missing(schema, columns.names, request, lambda name, field: may_hold(types[name], field))
    except DataError as error:
        hint = _index_hint(file, columns, error.field or "")
        raise error.at(file=source, remedy=f"{error.remedy}{hint}") from None


def _index_hint(file: pq.ParquetFile, columns: _Columns, field: str) -> str:
    """Hint for a missing field that may be the index of the pandas frame that was written."""
    unnamed = [name for name in columns.names if _UNNAMED_INDEX.fullmatch(name)]
    if unnamed:
        return (
            f" {unnamed[0]!r} is the index of a pandas frame, which had no name: if it is meant, write "
            f"frame.rename_axis({field!r}).reset_index()."
        )
    if field in _range_indexes(file):
        return (
            f" The pandas frame's index is named {field!r}, but pandas did not write it as a column: write "
            "frame.reset_index()."
        )
    return ""


def _range_indexes(file: pq.ParquetFile) -> list[str]:
    """Names of pandas indexes stored only in the file's metadata, as start, stop and step (``RangeIndex``)."""
    text = (file.schema_arrow.metadata or {}).get(b"pandas", b"{}")
    try:
        metadata = orjson.loads(text)
    except orjson.JSONDecodeError:
        return []  # used for a hint only, and no part of the format
    indexes = metadata.get("index_columns") if isinstance(metadata, dict) else None
    if not isinstance(indexes, list):
        return []
    return [index["name"] for index in indexes if isinstance(index, dict) and isinstance(index.get("name"), str)]


def _warn(request: ReadRequest, columns: _Columns, rows: int) -> None:
    unknown = columns.dropped
    if not rows:
        return
    texts = [f"column {shorten(name, MAX_NAME)!r} {_why_dropped(name, request)}" for name in unknown[:MAX_NAMED]]
    if len(unknown) > MAX_NAMED:
        texts.append(
            f"{len(unknown) - MAX_NAMED:,} further columns are no fields of the collection and were left out"
        )
    request.warnings.extend(JobWarning(code="column_dropped", message=text, count=rows) for text in texts)


def _why_dropped(name: str, request: ReadRequest) -> str:
    if _UNNAMED_INDEX.fullmatch(name):
        return "is the index of a pandas frame, which has no name, and was left out; to_parquet(index=False) omits it"
    text = "is not a field of the collection and was left out"
    return f"{text}, as unknown_columns=drop says" if request.schema.dynamic else text


def _groups(file: pq.ParquetFile, columns: _Columns, request: ReadRequest) -> list[_Group]:
    """List all row groups. Column chunks are not inspected: pyarrow aborts the process where one is encrypted."""
    source = request.sources[0]
    metadata = file.metadata
    row_groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if any(row_group.num_rows < 0 or row_group.total_byte_size < 0 for row_group in row_groups):
        raise DataError(
            "the Parquet file is damaged: a row group has a negative size", file=source.name, remedy=_REWRITE
        )
    fixed, longest = _row_bytes(file, columns, request.schema)
    stored = max(1, sum(row_group.total_byte_size for row_group in row_groups))
    groups = []
    before = 0
    for row_group in row_groups:
        after = before + row_group.total_byte_size
        size = source.size * after // stored - source.size * before // stored
        before = after
        arrow_size = max(row_group.total_byte_size, fixed * row_group.num_rows)
        worst_size = max(arrow_size, (fixed + longest) * row_group.num_rows)
        groups.append(_Group(row_group.num_rows, size, arrow_size, worst_size))
    return groups


def _row_bytes(file: pq.ParquetFile, columns: _Columns, schema: CollectionSchema) -> tuple[int, int]:
    """Arrow bytes of a row: of the fixed-size values, and the maximum of those that vary in length.

    The sizes in the file can't be used: equal values in a dictionary take next to nothing there. Dynamic values count
    as the JSON text that they become, which is limited as a whole.
    """
    fixed = longest = 0
    fields, dynamic = set(columns.fields), set(columns.dynamic)
    varies = False
    for column, name in _leaves(file, columns.names):
        if name in dynamic:
            fixed += OVERHEAD + TEXT_BYTES + 2 * len(column.path)
            varies = varies or column.path != name or not _width(column)
            continue
        if name not in fields:
            continue
        field, width = schema.get(name), _width(column)
        if field and field.fields:
            longest += _subfield_bytes(field, column.path, width)
        elif width and column.path == name:
            fixed += OVERHEAD + width
        elif width and field and field.type.is_dense_vector:
            fixed += OVERHEAD + field.width * width + field.width // 8
        elif width and field and field.max_capacity:
            longest += OVERHEAD + field.max_capacity * width
        else:
            longest += OVERHEAD + (field.max_length or ASSUMED_LENGTH if field else ASSUMED_LENGTH)
    return fixed, longest + (ASSUMED_LENGTH if varies else 0)


def _leaves(file: pq.ParquetFile, names: Sequence[str]) -> Iterator[tuple[pq.ColumnSchema, str]]:
    """Leaf columns of Parquet, each with the top-level column that it belongs to, both in file order."""
    at = 0
    for number in range(file.metadata.num_columns):
        column = file.schema.column(number)
        path = column.path
        while at < len(names) and path != names[at] and not path.startswith(f"{names[at]}."):
            at += 1
        if at == len(names):
            return
        yield column, names[at]


def _subfield_bytes(field: Field, path: str, width: int) -> int:
    """Maximum Arrow bytes of a struct's subfield per row; ``path`` is ``struct.list.element.part.list.element``."""
    names = path.split(".")
    part = next((subfield for subfield in field.fields if subfield.name in names[1:]), None)
    if part is None:
        return OVERHEAD
    if part.type.is_dense_vector:
        size = part.width * width + part.width // 8
    else:
        size = width or part.max_length or ASSUMED_LENGTH
    return (field.max_capacity or 0) * (OVERHEAD + size)


def _width(column: pq.ColumnSchema) -> int:
    """Arrow bytes of one value; 0 for texts."""
    if column.physical_type == "FIXED_LEN_BYTE_ARRAY":
        return column.length or 0
    return _NARROW.get(column.converted_type or "") or _WIDTHS.get(column.physical_type, 0)


def _pack_groups(groups: Sequence[_Group], split_bytes: int) -> Iterator[tuple[int, int]]:
    """Pack row groups into ranges of about ``split_bytes`` once decoded; no groups make one empty range."""
    start = size = 0
    for number, group in enumerate(groups):
        if size and size + group.arrow_size > split_bytes:
            yield start, number
            start, size = number, 0
        size += group.arrow_size
    yield start, len(groups)


def _range(groups: Sequence[_Group], start: int, stop: int) -> FileRange:
    packed = groups[start:stop]
    return FileRange(
        spec={"row_groups": [start, stop]},
        size=sum(group.size for group in packed),
        max_rows=sum(group.rows for group in packed),
        decoded_size=sum(group.arrow_size for group in packed),
    )


def _batches(
    file: pq.ParquetFile, number: int, group: _Group, names: Sequence[str], request: ReadRequest, first_row: int
) -> Iterator[pa.RecordBatch]:
    if not group.rows:
        return
    name = request.sources[0].name
    average = request.batch_bytes * group.rows // max(1, group.arrow_size)
    worst = SLACK * request.batch_bytes * group.rows // max(1, group.worst_size)
    size = max(1, min(average, worst, MAX_BATCH_ROWS))
    batches = file.iter_batches(size, row_groups=[number], columns=list(names), use_threads=False)
    read = 0
    while True:
        try:
            batch = next(batches, None)
        except pa.ArrowMemoryError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise _broken(error, name, first_row + read) from error
        if batch is None:
            break
        read += batch.num_rows
        yield from _cut(batch.select(list(names)), request.batch_bytes)
    if read != group.rows:
        raise DataError(
            f"the Parquet file is damaged: row group {number} holds {read} rows, its footer says {group.rows}",
            file=name,
            remedy=_REWRITE,
        )


def _cut(batch: pa.RecordBatch, limit: int) -> Iterator[pa.RecordBatch]:
    """Halve a batch until each slice has at most ``limit`` bytes (or one row)."""
    if batch.num_rows < 2 or batch.nbytes <= limit:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _cut(batch.slice(0, half), limit)
    yield from _cut(batch.slice(half), limit)

"""Read Parquet files row group by row group, in memory independent of the file's and the row groups' size.

Types are passed on as stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from penstock.domain.jobs import FileRange
from penstock.domain.schema import CollectionSchema, Field
from penstock.errors import DataError
from penstock.readers.arrow_values import may_hold
from penstock.readers.base import FormatSpec, ReadRequest, RowBatch, Sample, SampleRequest
from penstock.readers.columnar import (
    MAX_BATCH_ROWS,
    REWRITE,
    UNNAMED_INDEX,
    Columns,
    check_fields,
    check_names,
    cut_batch,
    merge_dynamic,
    pack,
    select_columns,
    warn_of_dropped,
)
from penstock.readers.dynamic_columns import DynamicColumns
from penstock.readers.parquet.vectors import VectorColumns, vector_columns
from penstock.sources.errors import is_of_disk

BUFFER = 1 << 20
"""Read buffer of a column, in bytes. Without it a whole column of a row group is read at once."""
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

_OPENING: Mapping[str, Any] = {
    "pre_buffer": False,
    "buffer_size": BUFFER,
    "page_checksum_verification": True,
    # In nanoseconds, as stored, years before 1678 and after 2262 would overflow into other years.
    "coerce_int96_timestamp_unit": "us",
}
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 8, "FLOAT": 4, "DOUBLE": 8}
_NARROW = {"INT_8": 1, "UINT_8": 1, "INT_16": 2, "UINT_16": 2}


@dataclass(frozen=True, slots=True)
class _Group:
    """A row group: its rows, its share of the file's bytes, and the Arrow bytes of the columns that are read,
    estimated and in the worst case (all texts of maximum length)."""

    rows: int
    size: int
    arrow_size: int
    worst_size: int


class _ParquetReader:
    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[FileRange]:
        with _opened(request) as (file, _):
            columns = select_columns(file.schema_arrow.names, request)
            groups = _groups(file, columns, request)
            if sum(group.rows for group in groups):
                types = {column.name: column.type for column in file.schema_arrow}
                check_fields(
                    columns,
                    request,
                    lambda field: _index_hint(file, columns, field),
                    lambda name, field: may_hold(types[name], field),
                )
        return [
            _range(groups, start, stop) for start, stop in pack([group.arrow_size for group in groups], split_bytes)
        ]

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        start, stop = spec["row_groups"]
        with _opened(request) as (file, stream):
            columns = select_columns(file.schema_arrow.names, request)
            groups = _groups(file, columns, request)[start:stop]
            vectors = vector_columns(file, stream, columns.fields, request)
            warn_of_dropped(request, columns, sum(group.rows for group in groups))
            dynamic = DynamicColumns(request.schema, request.batch_bytes)
            first_row = done = 0
            for number, group in enumerate(groups, start):
                read = 0
                for batch in _batches(file, number, group, columns.selected, request, first_row, vectors):
                    outputs = merge_dynamic(dynamic, batch, request, first_row + read)
                    read += batch.num_rows
                    for output in outputs:
                        yield replace(output, bytes_read=done + group.size * read // group.rows)
                first_row += read
                done += group.size
            request.warnings.extend(dynamic.warnings())

    def sample(self, request: SampleRequest) -> Sample:
        read = request.read_request()
        with _opened(read) as (file, _):
            names = file.schema_arrow.names[: request.max_columns]
            selected = Columns(fields=[], dynamic=names, dropped=[], names=file.schema_arrow.names)
            groups = _groups(file, selected, read)
            number = next((number for number, group in enumerate(groups) if group.rows), 0)
            table = file.schema_arrow.empty_table().select(names)
            if groups:
                for batch in _batches(file, number, groups[number], names, read, 0):
                    table = pa.concat_tables([table, pa.Table.from_batches([batch])])
                    if table.num_rows >= request.max_rows or table.nbytes >= request.max_bytes:
                        break
            average = max(1, table.nbytes // max(1, table.num_rows))
            table = table.slice(0, max(1, min(request.max_rows, request.max_bytes // average)))
            return Sample(
                columns=dict(zip(names, table.columns, strict=True)),
                rows=table.num_rows,
                arrow={name: file.schema_arrow.field(name) for name in names},
                is_complete=table.num_rows == sum(group.rows for group in groups),
                has_all_columns=len(names) == len(file.schema_arrow.names),
            )


PARQUET = FormatSpec(name="Parquet", extensions=("parquet",), reader=_ParquetReader(), counts_rows=True)


@contextmanager
def _opened(request: ReadRequest) -> Iterator[tuple[pq.ParquetFile, pa.NativeFile]]:
    source = request.sources[0]
    with source.open_arrow() as stream:
        _check_ends(stream, source.name)
        try:
            file = pq.ParquetFile(stream, **_OPENING)
            _check_names(file, source.name)
        except pa.ArrowMemoryError:
            raise
        except (pa.ArrowException, OSError, UnicodeError) as error:
            if is_of_disk(error):
                raise
            raise _broken(error, source.name) from error
        yield file, stream


def _check_ends(stream: pa.NativeFile, name: str) -> None:
    """Distinguish the usual kinds of broken files, and reject a hostile footer before it is read."""
    size = stream.size()
    if size == 0:
        raise DataError("the file is empty (0 bytes)", file=name, remedy=f"{REWRITE}, or leave it out")
    stream.seek(max(0, size - 8))
    tail = bytes(stream.read(8))
    if tail[4:] == b"PARE":
        raise DataError("the Parquet file is encrypted", file=name, remedy=f"{REWRITE} without encryption")
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
            remedy=REWRITE,
        )


def _check_names(file: pq.ParquetFile, source_name: str) -> None:
    for number in range(file.metadata.num_columns):
        _ = file.schema.column(number).path  # decoding fails where a name isn't text
    check_names(file.schema_arrow.names, source_name)


def _broken(error: Exception, name: str, row: int | None = None) -> DataError:
    text = " ".join(str(error).split())
    if "crypt" in text:
        return DataError("the Parquet file is encrypted", file=name, remedy=f"{REWRITE} without encryption")
    return DataError(
        f"the Parquet file can't be read{'' if row is None else ' from this row on'}: {text[:300]}",
        file=name,
        row=row,
        remedy=f"{REWRITE}, or copy it again if it was damaged on the way",
    )


def _index_hint(file: pq.ParquetFile, columns: Columns, field: str) -> str:
    """Hint for a missing field that may be the index of the pandas frame that was written."""
    unnamed = [name for name in columns.names if UNNAMED_INDEX.fullmatch(name)]
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


def _groups(file: pq.ParquetFile, columns: Columns, request: ReadRequest) -> list[_Group]:
    """List all row groups. Column chunks are not inspected: pyarrow aborts the process where one is encrypted."""
    source = request.sources[0]
    metadata = file.metadata
    row_groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if any(row_group.num_rows < 0 or row_group.total_byte_size < 0 for row_group in row_groups):
        raise DataError(
            "the Parquet file is damaged: a row group has a negative size", file=source.name, remedy=REWRITE
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


def _row_bytes(file: pq.ParquetFile, columns: Columns, schema: CollectionSchema) -> tuple[int, int]:
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


def _range(groups: Sequence[_Group], start: int, stop: int) -> FileRange:
    packed = groups[start:stop]
    return FileRange(
        spec={"row_groups": [start, stop]},
        size=sum(group.size for group in packed),
        max_rows=sum(group.rows for group in packed),
        decoded_size=sum(group.arrow_size for group in packed),
    )


def _batches(
    file: pq.ParquetFile,
    number: int,
    group: _Group,
    names: Sequence[str],
    request: ReadRequest,
    first_row: int,
    vectors: VectorColumns | None = None,
) -> Iterator[pa.RecordBatch]:
    if not group.rows:
        return
    name = request.sources[0].name
    average = request.batch_bytes * group.rows // max(1, group.arrow_size)
    worst = SLACK * request.batch_bytes * group.rows // max(1, group.worst_size)
    size = max(1, min(average, worst, MAX_BATCH_ROWS))
    if vectors is None:
        batches = file.iter_batches(size, row_groups=[number], columns=list(names), use_threads=False)
    else:
        batches = vectors.batches(number, group.rows, size, names)
    read = 0
    while True:
        try:
            batch = next(batches, None)
        except pa.ArrowMemoryError:
            raise
        except (pa.ArrowException, OSError) as error:
            if is_of_disk(error):
                raise
            raise _broken(error, name, first_row + read) from error
        if batch is None:
            break
        read += batch.num_rows
        yield from cut_batch(batch.select(list(names)), request.batch_bytes)
    if read != group.rows:
        raise DataError(
            f"the Parquet file is damaged: row group {number} holds {read} rows, its footer says {group.rows}",
            file=name,
            remedy=REWRITE,
        )

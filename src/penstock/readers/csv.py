"""CSV files: a header, then RFC 4180 rows; vectors, arrays, JSON and sparse vectors are cells of JSON text.

Null: an unquoted cell that equals the null key. In VarChar and dynamic columns a quoted cell is text even if it
equals the null key, so that ``""`` can mean the empty string; elsewhere quoting makes no difference. In a VarChar
field that has neither null nor default the null key is a text like any other. A null cell of a dynamic column leaves
the key out; other dynamic cells stay strings.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, cast

import orjson
import pyarrow as pa
import pyarrow.csv

from penstock.domain.schema import META_FIELD
from penstock.errors import DataError, ImportRefused
from penstock.readers.base import ReadRequest, RowBatch, SplitPlan
from penstock.readers.blocks import BLOCK_BYTES, BOM, blocks
from penstock.readers.csv_cells import CellColumn, cell_column, decode_text, mark_nulls
from penstock.readers.csv_quotes import QuoteCheckingStream, data_row_at
from penstock.readers.json_text import MAX_RECORD_BYTES, is_valid_text
from penstock.readers.row_builder import (
    DroppedColumns,
    MetaBuilder,
    batch_schema,
    file_fields,
    fixed_row_bytes,
    generated_key_error,
    least_text_bytes,
    missing_error,
)
from penstock.sources.base import Source

__all__ = ["CSV_READER", "CsvReader", "check_separator"]

_HEADER_BYTES = 1 << 20
_VECTOR_ITEM_TEXT = 24
_MAX_SLICE_ROWS = 65_536
_INVALID_ROW = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+): (.*)", re.DOTALL)


def check_separator(text: str) -> str:
    """The separator that the ``sep`` option means: its first character, a comma when empty.

    Raises:
        ImportRefused: the character can't separate cells, or is not ASCII.
    """
    separator = text[:1] or ","
    if separator in '\0\n\r"' or not separator.isascii():
        raise ImportRefused(f"unsupported csv separator: {separator!r}", option="sep", separator=separator)
    return separator


@dataclass(frozen=True, slots=True)
class CsvReader:
    """Reads ``.csv``. A file is one split, ``{"start", "end"}`` with the bytes after the byte order mark."""

    block_bytes: int = BLOCK_BYTES

    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[SplitPlan]:
        source = request.sources[0]
        header = _Header.read(request)
        spec = {"start": header.start, "end": source.size}
        least = sum(map(least_text_bytes, file_fields(request.schema))) + len(header.names)
        return [SplitPlan(spec=spec, size=source.size, max_rows=source.size // least + 1)]

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        header = _Header.read(request)
        table = _Table(request, header)
        row = 0
        for cells, position in _cell_batches(request, header, table.wanted, _block_bytes(request, self.block_bytes)):
            for start, count in _slices(cells, request):
                part = cells.slice(start, count)
                try:
                    batch = table.convert(part)
                except DataError as error:
                    raise error.at(file=request.sources[0].name, row=row + (error.row or 0)) from None
                yield RowBatch(batch=batch, first_row=row, bytes_read=position)
                row += count
        for name in table.unknown if not request.schema.dynamic else ():
            table.dropped.add(name, row)
        request.warnings.extend(table.dropped.warnings() if row else ())


@dataclass(frozen=True, slots=True)
class _Header:
    """The first row: where it begins (after a byte order mark), the column names, and whether anything follows."""

    start: int
    names: list[str]
    alone: bool

    @classmethod
    def read(cls, request: ReadRequest) -> _Header:
        source = request.sources[0]
        if source.size == 0:
            raise DataError("the file is empty", file=source.name, remedy="A CSV file begins with a header")
        try:
            return cls._parse(source, request)
        except DataError as error:
            raise error.at(file=source.name) from None

    @classmethod
    def _parse(cls, source: Source, request: ReadRequest) -> _Header:
        with source.open_stream(0, min(source.size, _HEADER_BYTES)) as stream:
            head = stream.read()
        start = len(BOM) if head.startswith(BOM) else 0
        cut = len(head) < source.size
        # Bytes that are not UTF-8 may also stand in the rows behind the header; those are told row by row.
        decoded = head[start:].decode(errors="surrogateescape")
        text = io.StringIO(decoded, newline="")
        rows = csv.reader(text, delimiter=request.csv.separator, strict=True)
        try:
            names = next((row for row in rows if row), None)
        except csv.Error as error:
            raise DataError(f"the header can't be read: {error}", offset=start) from None
        if names and not all(map(is_valid_text, names)):
            raise DataError("the header is not valid UTF-8", offset=start, remedy="Write the file in UTF-8")
        rest = text.read().strip("\r\n")
        if names is None or (cut and not rest):
            raise DataError(
                "the file has no header" if not cut else f"the header is longer than {_HEADER_BYTES >> 20} MiB",
                offset=start,
                remedy="A CSV file begins with a line of column names",
            )
        _check_header(names, request)
        return cls(start, names, not rest)


def _check_header(names: list[str], request: ReadRequest) -> None:
    for name in names:
        if names.count(name) > 1:
            raise DataError(
                f"the header names the column {name!r} twice", field=name, remedy="Give every column its own name"
            )
    for each in request.schema:
        if request.schema.is_generated(each):
            if each.name in names:
                raise generated_key_error(each)
        elif each.name not in names and not each.nullable and each.default is None:
            raise missing_error(each).at(
                value=request.csv.separator.join(names),
                remedy=f"The header must name it; is {request.csv.separator!r} the separator (option sep)?",
            )


def _block_bytes(request: ReadRequest, least: int) -> int:
    """A block must hold a row: room for the vectors' text as long as it may be."""
    vectors = 0
    for each in request.schema:
        if each.type.is_dense_vector:
            vectors += each.width
        else:
            vectors += (each.max_capacity or 0) * sum(part.width for part in each.fields if part.type.is_dense_vector)
    return min(MAX_RECORD_BYTES, max(least, 2 * _VECTOR_ITEM_TEXT * vectors))


def _slices(cells: pa.RecordBatch, request: ReadRequest) -> Iterator[tuple[int, int]]:
    """Row ranges whose Arrow form stays within the byte budget."""
    if not cells.num_rows:
        return
    per_row = fixed_row_bytes(request.schema) + cells.nbytes / cells.num_rows
    rows = min(_MAX_SLICE_ROWS, max(1, int(request.batch_bytes / per_row)))
    for start in range(0, cells.num_rows, rows):
        yield start, min(rows, cells.num_rows - start)


def _cell_batches(
    request: ReadRequest, header: _Header, wanted: list[str], block_bytes: int
) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Batches of binary cells of the wanted columns, with how many bytes are read by then."""
    if header.alone:
        return
    source = request.sources[0]
    stream = QuoteCheckingStream(source.open_stream(header.start), request.csv.separator, header.start)
    try:
        reader = pyarrow.csv.open_csv(
            cast("IO[bytes]", stream),
            # One thread: with more, messages don't tell rows.
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=block_bytes),
            parse_options=pyarrow.csv.ParseOptions(delimiter=request.csv.separator, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.binary() for name in wanted},
                include_columns=wanted,
                null_values=[request.csv.null_key],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                check_utf8=False,
            ),
        )
        for batch in reader:
            yield batch, stream.position
    except (DataError, pa.ArrowInvalid) as error:
        raise _reading_error(error, stream, request, header, block_bytes) from None
    finally:
        stream.close()


def _reading_error(
    error: Exception,
    stream: QuoteCheckingStream,
    request: ReadRequest,
    header: _Header,
    block_bytes: int,
) -> DataError:
    source = request.sources[0]
    if stream.error is not None and stream.error.offset is not None:
        offset = stream.error.offset
        row = data_row_at(blocks(source, header.start, offset, size=1 << 20), offset - header.start)
        return stream.error.at(file=source.name, row=row)
    if isinstance(error, DataError):
        return error
    # A handler for invalid rows would tell this more neatly, but fails on rows that are not UTF-8.
    if found := _INVALID_ROW.search(str(error)):
        number, expected, actual, text = found.groups()
        return DataError(
            f"the number of fields in the row is not equal to the header: {actual} fields, the header has {expected}",
            file=source.name,
            row=int(number) - 2,
            value=text,
            remedy="Quote cells that hold the separator or a line break",
        )
    if "straddl" in str(error):
        return DataError(
            f"a row is longer than {block_bytes} bytes, or the quote of a cell is never closed", file=source.name
        )
    return DataError(f"the CSV can't be read: {error}", file=source.name)


@dataclass(slots=True)
class _Table:
    """Which columns of the file go where."""

    request: ReadRequest
    header: _Header
    dropped: DroppedColumns = field(default_factory=DroppedColumns)
    _columns: dict[str, CellColumn] = field(init=False)
    _meta: MetaBuilder = field(default_factory=MetaBuilder)

    def __post_init__(self) -> None:
        null_key = self.request.csv.null_key
        self._columns = {each.name: cell_column(each, null_key) for each in file_fields(self.request.schema)}

    @property
    def unknown(self) -> list[str]:
        """Columns that are no field; ``$meta`` among them unless the collection is dynamic."""
        dynamic = self.request.schema.dynamic
        return [n for n in self.header.names if n not in self._columns and not (dynamic and n == META_FIELD)]

    @property
    def wanted(self) -> list[str]:
        """The columns to convert: all of a dynamic collection's file, else only fields."""
        return [name for name in self.header.names if self.request.schema.dynamic or name in self._columns]

    def convert(self, cells: pa.RecordBatch) -> pa.RecordBatch:
        """Cells into a batch of :func:`batch_schema`; raises DataError with the row in ``cells``."""
        arrays: list[pa.Array[Any]] = []
        errors: list[DataError] = []
        absent = pa.nulls(cells.num_rows, pa.binary())
        for name, convert in self._columns.items():
            try:
                arrays.append(convert(cells.column(name) if name in self.header.names else absent))
            except DataError as error:
                errors.append(error)
        if errors:
            raise min(errors, key=lambda error: error.row or 0)
        if self.request.schema.dynamic:
            arrays.append(self._meta_column(cells))
        return pa.RecordBatch.from_arrays(arrays, schema=batch_schema(self.request.schema))

    def _meta_column(self, cells: pa.RecordBatch) -> pa.Array[Any]:
        names = self.unknown
        columns = [decode_text(name, cells.column(name)).to_pylist() for name in names]
        inner: list[str | None] = [None] * cells.num_rows
        if META_FIELD in self.header.names:
            null_key = self.request.csv.null_key.encode()
            inner = decode_text(META_FIELD, mark_nulls(cells.column(META_FIELD), null_key)).to_pylist()
        rows: Iterator[tuple[str | None, ...]] = zip(*columns, strict=True) if names else iter([()] * cells.num_rows)
        for row, (values, meta) in enumerate(zip(rows, inner, strict=True)):
            extras = [
                (name, orjson.dumps(value).decode())
                for name, value in zip(names, values, strict=True)
                if value is not None
            ]
            try:
                self._meta.add(extras, meta or None)
            except DataError as error:
                raise error.at(row=row) from None
        return self._meta.take()


CSV_READER = CsvReader()

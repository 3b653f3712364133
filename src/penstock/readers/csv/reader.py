"""Read CSV files: a header, then RFC 4180 rows; vectors, arrays, JSON and sparse vectors are cells of JSON text.

Null: an unquoted cell that equals the null key. In VarChar and dynamic columns a quoted cell is text even if it
equals the null key, so that ``""`` can mean the empty string; elsewhere quoting makes no difference. In a VarChar
field that has neither null nor default the null key is an ordinary text. A null cell of a dynamic column leaves
the key out; other dynamic cells stay strings.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv

from penstock.domain.import_options import parse_separator
from penstock.domain.jobs import FileRange
from penstock.domain.schema import META_FIELD, Field
from penstock.errors import DataError, ImportRefused
from penstock.readers.base import (
    BoundaryScan,
    FormatSpec,
    Origin,
    ReadRequest,
    RejectedRow,
    RowBatch,
    Sample,
    SampleRequest,
)
from penstock.readers.byte_ranges import BLOCK_BYTES, BOM, SAMPLE_BLOCK_BYTES, check_is_text
from penstock.readers.columns.dynamic_field import DynamicFieldBuilder
from penstock.readers.columns.json_values import MAX_RECORD_BYTES, first_duplicate, is_valid_text
from penstock.readers.columns.row_builder import (
    DroppedColumnCounts,
    batch_schema,
    file_fields,
    fixed_row_bytes,
    least_text_bytes,
    note_for,
    rounding_warnings,
)
from penstock.readers.compression import CompressibleText, with_compressed
from penstock.readers.csv.boundary_scan import CsvBoundaryScan
from penstock.readers.csv.cells import CellColumn, cell_column, decode_text, mark_nulls
from penstock.readers.csv.records import check_quotes, row_start, row_widths, whole_rows
from penstock.readers.csv.row_objects import row_object
from penstock.readers.origins import text_origin
from penstock.readers.unknown_columns import (
    UnknownColumns,
    computed_field_error,
    missing_field,
    needs_column,
    unknown_column,
    unused_names,
)
from penstock.rules.bad_rows import BadRows, Rows, build_column, first_bad_row, take_rows
from penstock.rules.json_texts import DYNAMIC
from penstock.sources.base import Source

_HEADER_BYTES = 1 << 20
_MAX_COLUMNS = 65_536
"""Maximum columns of a file: beyond, the work per column would take longer than reading the cells."""
_MAX_SLICE_ROWS = 65_536
_SEPARATORS = ",;\t|"
_MAX_SHOWN = 100
"""Maximum characters of an option in a warning."""
_INVALID_ROW = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+): (.*)", re.DOTALL)


def check_separator(text: str) -> str:
    """Parse the option ``sep``: a character, its escape, or the first of several; a comma if empty.

    Raises:
        ImportRefused: the character can't separate cells, or is not ASCII.
    """
    separator = parse_separator(text)[:1] or ","
    if separator in '\0\n\r"' or not separator.isascii():
        raise ImportRefused(f"unsupported csv separator: {separator!r}", option="sep", separator=separator)
    return separator


def _check_option(text: str) -> str | None:
    check_separator(text)
    if len(parse_separator(text)) > 1:
        return f"option 'sep' is a single character: only the first one of {text[:_MAX_SHOWN]!r} is used"
    return None


def _separator(request: ReadRequest) -> str:
    return check_separator(request.options.get("sep") or "")


def _null_key(request: ReadRequest) -> str:
    return request.options.get("nullkey") or ""


@dataclass(frozen=True, slots=True)
class CsvReader:
    """Reader of ``.csv``. A range is ``{"start", "end"}``: the bytes of whole rows, the header not among them.

    ``max_row_bytes`` is the longest row that is read, at least ``block_bytes``.
    """

    block_bytes: int = BLOCK_BYTES
    max_row_bytes: int = MAX_RECORD_BYTES

    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[FileRange] | BoundaryScan:
        header = _Header.read(request)
        size = request.sources[0].size
        min_bytes = sum(map(least_text_bytes, file_fields(request.schema))) + len(header.names)
        count = max(1, round(size / split_bytes))
        scan = CsvBoundaryScan(start=header.end, size=size, count=count, min_row_bytes=min_bytes)
        return scan if count > 1 else scan.cut([])

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        name = request.sources[0].name
        header = _Header.read(request)
        table = _Table(request, header)
        row = 0
        try:
            if request.skips_bad_rows:
                for batch in self._good_rows(request, table, spec):
                    yield batch
                    row += batch.row_count
            else:
                for cells, position in self._cells(request, table, spec):
                    for start, count in _slices(cells, request):
                        converted = table.convert(cells.slice(start, count))
                        read = position - spec["start"]
                        yield RowBatch(batch=converted, first_row=row, bytes_read=read, is_checked=True)
                        row += count
        except DataError as error:
            raise error.at(file=name, row=row + (error.row or 0)) from None
        for column in table.unknown if not table.keeps_unknown else ():
            table.dropped.add(column, row)
        request.warnings.extend(table.dropped.warnings() if row else ())
        request.warnings.extend(rounding_warnings(table.roundings))

    def sample(self, request: SampleRequest) -> Sample:
        read = request.read_request()
        source = request.sources[0]
        header = _Header.read(read)
        names = header.names[: request.max_columns]
        texts: dict[str, list[str | None]] = {name: [] for name in names}
        reader = replace(self, block_bytes=min(self.block_bytes, SAMPLE_BLOCK_BYTES))
        spec = {"start": header.end, "end": source.size}
        rows, position = 0, header.end
        with closing(reader._cells(read, _Table(read, header), spec)) as batches:
            while rows < request.max_rows and position - header.end < request.max_bytes:
                try:
                    batch, position = next(batches, (None, source.size))
                    if batch is None:
                        break
                    for name in names:
                        cells = batch.column(name).slice(0, request.max_rows - rows)
                        texts[name] += decode_text(replace(DYNAMIC, name=name), cells).to_pylist()
                except DataError as error:
                    raise error.at(file=source.name, row=rows + (error.row or 0)) from None
                rows += batch.num_rows
        return Sample(
            columns=texts,
            rows=min(rows, request.max_rows),
            null_text=_null_key(read),
            is_complete=position >= source.size and rows <= request.max_rows,
            has_all_columns=len(names) == len(header.names),
        )

    def _good_rows(self, request: ReadRequest, table: _Table, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        """Yield the rows that break no rule, with the others as rejects.

        Raises:
            DataError: of the file as a whole: a quote is misplaced, for example.
        """
        row = 0
        for offset, text in self._texts(request, spec):
            block = CellBlock.parse(table, text, offset, row)
            read = offset + len(text) - spec["start"]
            rejects = block.rejects
            for start, count in _slices(block.cells, request):
                batch = block.convert(table, start, count, read)
                rejects, batch = block.with_rejects(batch, rejects)
                yield batch
            if rejects:
                yield block.empty(table, rejects, read)
            row += block.row_count

    def _texts(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[tuple[int, bytes]]:
        return whole_rows(
            request.sources[0],
            spec["start"],
            spec["end"],
            _separator(request),
            size=self.block_bytes,
            max_row=self.max_row_bytes,
        )

    def _cells(
        self, request: ReadRequest, table: _Table, spec: Mapping[str, Any]
    ) -> Generator[tuple[pa.RecordBatch, int]]:
        """Yield batches of binary cells of the selected columns, with the byte offset behind them."""
        for offset, text in self._texts(request, spec):
            data_error = None
            try:
                batches = table.parse(text)
            except pa.ArrowInvalid as error:
                data_error, before = _parsing_error(error, text)
                batches = table.parse(text[:before])
            for batch in batches:
                yield batch, offset + len(text)
            if data_error is not None:
                raise data_error


@dataclass(frozen=True, slots=True)
class _TsvReader:
    """Reader of ``.tsv``: CSV whose separator is a tab, unless the option ``sep`` names another."""

    reader: CsvReader = CsvReader()

    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[FileRange] | BoundaryScan:
        return self.reader.plan(_separated_by_tabs(request), split_bytes)

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        return self.reader.read(_separated_by_tabs(request), spec)

    def sample(self, request: SampleRequest) -> Sample:
        return self.reader.sample(_separated_by_tabs(request))


_Request = TypeVar("_Request", ReadRequest, SampleRequest)


def _separated_by_tabs(request: _Request) -> _Request:
    return replace(request, options={**request.options, "sep": request.options.get("sep") or "\t"})


@dataclass(frozen=True, slots=True)
class _Header:
    """The header row: the column names, and the offset behind it."""

    names: list[str]
    end: int

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
        separator = _separator(request)
        with source.open_stream(0, min(source.size, _HEADER_BYTES)) as stream:
            head = stream.read()
        check_is_text(head)
        start = len(BOM) if head.startswith(BOM) else 0
        cut = len(head) < source.size
        # Rows behind the header may have bytes that are not UTF-8 too; those are reported row by row.
        decoded = head[start:].decode(errors="surrogateescape")
        text = io.StringIO(decoded, newline="")
        rows = csv.reader(text, delimiter=separator, strict=True)
        try:
            names = next((row for row in rows if row), None)
        except csv.Error as error:
            raise DataError(f"the header can't be read: {error}", offset=start) from None
        if names and not all(map(is_valid_text, names)):
            raise DataError("the header is not valid UTF-8", offset=start, remedy="Write the file in UTF-8")
        end = text.tell()
        if names is None or (cut and end == len(decoded)):
            raise DataError(
                "the file has no header" if not cut else f"the header is longer than {_HEADER_BYTES >> 20} MiB",
                offset=start,
                remedy="A CSV file begins with a line of column names",
            )
        _check_header(names, request)
        header = decoded[:end].encode(errors="surrogateescape")
        check_quotes(header, start, separator)
        return cls(names, start + len(header))


def _check_header(names: list[str], request: ReadRequest) -> None:
    if len(names) > _MAX_COLUMNS:
        raise DataError(
            f"the header names {len(names)} columns, a file may have {_MAX_COLUMNS}",
            remedy="Put the values of many columns into one, as a JSON list or object",
        )
    if (name := first_duplicate(names)) is not None:
        raise DataError(
            f"the header names the column {name!r} twice", field=name, remedy="Give every column its own name"
        )
    known = {*request.schema.names, *request.excluded_columns, *([META_FIELD] if request.schema.dynamic else [])}
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None and request.unknown_columns is UnknownColumns.ERROR:
        raise unknown_column(unknown, request.schema)
    present = set(names)
    for schema_field in request.schema:
        if request.schema.is_computed(schema_field):
            if schema_field.name in present:
                raise computed_field_error(schema_field)
        elif schema_field.name not in present and needs_column(schema_field, request.required_columns):
            raise _missing_column(schema_field, names, request)


def _missing_column(field: Field, names: list[str], request: ReadRequest) -> DataError:
    separator = _separator(request)
    error = missing_field(field, names, "header's columns", unused_names(field, names, request))
    guess = next((candidate for candidate in _SEPARATORS if candidate in names[0] and candidate != separator), None)
    if len(names) > 1 or guess is None:
        return error
    return error.at(
        value=names[0],
        remedy=f"The header has one column: is {guess!r} the separator (option sep), and not {separator!r}?",
    )


def _slices(cells: pa.RecordBatch, request: ReadRequest) -> Iterator[tuple[int, int]]:
    """Yield row ranges (start, count) whose Arrow form stays within the byte budget."""
    if not cells.num_rows:
        return
    per_row = fixed_row_bytes(request.schema) + cells.nbytes / cells.num_rows
    rows = min(_MAX_SLICE_ROWS, max(1, int(request.batch_bytes / per_row)))
    for start in range(0, cells.num_rows, rows):
        yield start, min(rows, cells.num_rows - start)


def _parsing_error(error: pa.ArrowInvalid, text: bytes) -> tuple[DataError, int]:
    """Convert an error of pyarrow's parser; also return where in ``text`` the bad row begins."""
    # pyarrow's handler for invalid rows would be neater, but fails on rows that are not UTF-8.
    match = _INVALID_ROW.search(str(error))
    if match is None:
        return DataError(f"the CSV can't be read: {error}"), 0
    number, expected, actual, value_text = match.groups()
    return _width_error(int(actual), int(expected), value_text), row_start(text, int(number) - 1)


def _width_error(actual: int, expected: int, row: str) -> DataError:
    return DataError(
        f"the number of fields in the row is not equal to the header: {actual} fields, the header has {expected}",
        value=row,
        remedy="Quote cells that hold the separator or a line break",
        rule_id="row_width",
    )


@dataclass(slots=True)
class _Table:
    """Mapping of the file's columns to fields, the dynamic field, or nowhere."""

    request: ReadRequest
    header: _Header
    dropped: DroppedColumnCounts = field(default_factory=DroppedColumnCounts)
    roundings: Counter[str] = field(default_factory=Counter)
    _columns: dict[str, CellColumn] = field(init=False)

    def __post_init__(self) -> None:
        null_key = _null_key(self.request)
        self._columns = {
            field.name: cell_column(field, null_key, note_for(field.name, self.roundings))
            for field in file_fields(self.request.schema)
        }

    @property
    def keeps_unknown(self) -> bool:
        """Whether columns that are no field become dynamic values."""
        return self.request.schema.dynamic and self.request.unknown_columns is UnknownColumns.DYNAMIC

    @property
    def unknown(self) -> list[str]:
        """Columns that are no field; includes ``$meta`` unless the collection is dynamic."""
        known = {*self._columns, *self.request.excluded_columns}
        if self.request.schema.dynamic:
            known.add(META_FIELD)
        return [name for name in self.header.names if name not in known]

    @property
    def selected(self) -> list[str]:
        """Columns to convert: fields, and unknown columns if they become dynamic values."""
        skipped = (
            self.request.excluded_columns if self.keeps_unknown else {*self.request.excluded_columns, *self.unknown}
        )
        return [name for name in self.header.names if name not in skipped]

    def parse(self, text: bytes) -> list[pa.RecordBatch]:
        """Parse complete rows to a batch of binary cells of the selected columns; none if all lines are blank.

        Raises ArrowInvalid for a row with another number of cells.
        """
        if not text:
            return []
        if text.startswith(BOM):
            text = BOM + text  # pyarrow drops one BOM; here, behind the header, it belongs to a cell
        table = pyarrow.csv.read_csv(
            cast(Any, pa.BufferReader(text)),
            # One thread: with more, error messages lack the row.
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=len(text) + 1, column_names=self.header.names
            ),
            parse_options=pyarrow.csv.ParseOptions(delimiter=_separator(self.request), newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.binary() for name in self.selected},
                include_columns=self.selected,
                null_values=[_null_key(self.request)],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                check_utf8=False,
            ),
        )
        batches: list[pa.RecordBatch] = table.combine_chunks().to_batches()
        return batches

    def convert(self, cells: pa.RecordBatch, bad: BadRows | None = None) -> pa.RecordBatch:
        """Convert cells to a batch of :func:`batch_schema`; raises DataError with the row in ``cells``.

        With ``bad`` such rows are added to it instead, and hold any values.
        """
        arrays: list[pa.Array[Any]] = []
        errors: list[DataError] = []
        absent = pa.nulls(cells.num_rows, pa.binary())
        present = set(cells.schema.names)
        for name, convert in self._columns.items():
            try:
                column = cells.column(name) if name in present else absent
                arrays.append(_convert_column(convert, column, bad))
            except DataError as error:
                errors.append(error)
        if self.request.schema.dynamic:
            try:
                arrays.append(self._meta_column(cells, bad))
            except DataError as error:
                errors.append(error)
        if errors:
            raise min(errors, key=lambda error: error.row or 0)
        return pa.RecordBatch.from_arrays(arrays, schema=batch_schema(self.request.schema))

    def _meta_column(self, cells: pa.RecordBatch, bad: BadRows | None) -> pa.Array[Any]:
        builder = DynamicFieldBuilder(self.request.reserved_keys, note_for(META_FIELD, self.roundings))
        inner: list[str | None] = [None] * cells.num_rows
        if META_FIELD in self.header.names:
            null_key = _null_key(self.request).encode()
            inner = _texts_of(DYNAMIC, mark_nulls(cells.column(META_FIELD), null_key), bad).to_pylist()
        for row, (values, meta) in enumerate(zip(self._extras(cells, bad), inner, strict=True)):
            try:
                builder.add(values, meta or None)
            except DataError as error:
                if bad is None:
                    raise error.at(row=row) from None
                bad.add(row, error.at(row=row))
                builder.truncate(row)
                builder.add({}, None)
        return builder.take(bad)

    def _extras(self, cells: pa.RecordBatch, bad: BadRows | None) -> list[dict[str, str]]:
        """Collect names and texts of each row's non-null cells in unknown columns."""
        extras: list[dict[str, str]] = [{} for _ in range(cells.num_rows)]
        unknown = set(self.unknown) if self.keeps_unknown else set()
        for name, column in zip(cells.schema.names, cells.columns, strict=True):
            if name not in unknown or column.null_count == cells.num_rows:
                continue
            # Cells are decoded one by one: a cast costs more than the cells of a file with very many columns.
            try:
                for values, cell in zip(extras, column.to_pylist(), strict=True):
                    if cell is not None:
                        values[name] = cell.decode()
            except UnicodeDecodeError:
                texts = _texts_of(replace(DYNAMIC, name=name), column, bad)
                for values, text in zip(extras, texts.to_pylist(), strict=True):
                    if text is not None:
                        values[name] = text
        return extras


def _convert_column(convert: CellColumn, cells: pa.Array[Any], bad: BadRows | None) -> pa.Array[Any]:
    if bad is not None:
        return convert(cells, bad)
    return first_bad_row(lambda rows: convert(take_rows(cells, rows)), len(cells))


def _texts_of(field: Field, cells: pa.Array[Any], bad: BadRows | None) -> pa.Array[Any]:
    """Decode cells; those that are no UTF-8 are null, if they may be added to ``bad``."""
    if bad is None:
        return decode_text(field, cells)
    texts: pa.Array[Any] = build_column(lambda rows: decode_text(field, take_rows(cells, rows)), len(cells), bad)
    return texts


@dataclass(frozen=True, slots=True)
class CellBlock:
    """The cells of a block of rows, without those that have too many or too few.

    ``offset`` is that of the block's ``text`` in the file, ``first_row`` the number of its first row in the range,
    and ``rows`` the places of the cells' rows among those of the text. ``rejects`` are the other rows.
    """

    cells: pa.RecordBatch
    text: bytes
    offset: int
    first_row: int
    rows: Rows
    rejects: Sequence[RejectedRow]
    names: Sequence[str]
    separator: str
    fields: Mapping[str, Field]
    null_key: str
    starts: list[Rows] = field(default_factory=list)

    @classmethod
    def parse(cls, table: _Table, text: bytes, offset: int, first_row: int) -> CellBlock:
        """Parse a text of complete rows."""
        separator, null_key = _separator(table.request), _null_key(table.request)
        names, fields = table.header.names, {field.name: field for field in table.request.schema}
        try:
            (cells,) = table.parse(text) or [_no_cells(table)]
            rows = np.arange(cells.num_rows)
            return cls(cells, text, offset, first_row, rows, (), names, separator, fields, null_key)
        except pa.ArrowInvalid as error:
            parse_error = error
        starts, widths = row_widths(text, separator)
        wrong = np.flatnonzero(widths != len(names))
        try:
            (cells,) = table.parse(_without_rows(text, starts, wrong)) or [_no_cells(table)]
        except pa.ArrowInvalid:
            raise _parsing_error(parse_error, text)[0] from None
        rows = np.delete(np.arange(len(widths)), wrong)
        if cells.num_rows != len(rows):
            raise _parsing_error(parse_error, text)[0]
        block = cls(cells, text, offset, first_row, rows, [], names, separator, fields, null_key, [starts])
        for place in wrong.tolist():
            line = block._line(place)
            width_error = _width_error(int(widths[place]), len(names), line)
            row = first_row + place
            at = offset + int(starts[place])
            file_error = width_error.at(file=table.request.sources[0].name, row=row, offset=at)
            cast("list[RejectedRow]", block.rejects).append(RejectedRow(row, [file_error], text_origin(line, at)))
        return block

    @property
    def row_count(self) -> int:
        return len(self.rows) + len(self.rejects)

    def convert(self, table: _Table, start: int, count: int, bytes_read: int) -> RowBatch:
        """Convert some of the cells' rows."""
        bad = BadRows()
        name = table.request.sources[0].name
        batch = table.convert(self.cells.slice(start, count), bad)
        numbers = self.first_row + self.rows[start : start + count]
        rejects = [
            RejectedRow(
                int(numbers[place]),
                [error.at(file=name, row=int(numbers[place])) for error in bad.errors(place)],
                self.origin(int(numbers[place])),
            )
            for place in bad.rows.tolist()
        ]
        if rejects:
            kept = bad.kept(count)
            batch, numbers = take_rows(batch, kept), numbers[kept]
        return RowBatch(
            batch=batch,
            first_row=int(numbers[0]) if len(numbers) else self.first_row,
            bytes_read=bytes_read,
            is_checked=True,
            rows=numbers,
            rejects=rejects,
            origin=self.origin,
        )

    def with_rejects(self, batch: RowBatch, rejects: Sequence[RejectedRow]) -> tuple[Sequence[RejectedRow], RowBatch]:
        """Add the block's own rejects to its first batch; return those that are left, which are none then."""
        if not rejects:
            return (), batch
        merged = sorted([*rejects, *batch.rejects], key=lambda reject: reject.row)
        return (), replace(batch, rejects=merged)

    def empty(self, table: _Table, rejects: Sequence[RejectedRow], bytes_read: int) -> RowBatch:
        """A batch of rejected rows only."""
        batch = pa.RecordBatch.from_pylist([], schema=batch_schema(table.request.schema))
        return RowBatch(
            batch=batch, first_row=self.first_row, bytes_read=bytes_read, is_checked=True, rejects=rejects
        )

    def origin(self, row: int) -> Origin:
        """A row as an object of the values of its cells."""
        place = row - self.first_row
        line = self._line(place)
        offset = self.offset + int(self.starts[0][place])
        try:
            cells = next(csv.reader(io.StringIO(line, newline=""), delimiter=self.separator, strict=True))
        except (csv.Error, StopIteration):
            return text_origin(line, offset)
        return text_origin(row_object(self.names, cells, self.fields, self.null_key), offset)

    def _line(self, place: int) -> str:
        if not self.starts:
            self.starts.append(row_widths(self.text, self.separator)[0])
        starts = self.starts[0]
        end = int(starts[place + 1]) if place + 1 < len(starts) else len(self.text)
        return self.text[int(starts[place]) : end].decode("utf-8", errors="replace").strip("\r\n")


def _no_cells(table: _Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=pa.schema([(name, pa.binary()) for name in table.selected]))


def _without_rows(text: bytes, starts: Rows, wrong: Rows) -> bytes:
    """The text without some of its rows."""
    ends = np.append(starts[1:], len(text))
    pieces, at = [], 0
    for place in wrong.tolist():
        pieces.append(text[at : int(starts[place])])
        at = int(ends[place])
    return b"".join([*pieces, text[at:]])


CSV = FormatSpec(
    name="CSV",
    extensions=with_compressed("csv"),
    reader=CompressibleText(CsvReader()),
    options={"sep": _check_option, "nullkey": lambda _: None},
)

TSV = FormatSpec(
    name="TSV",
    extensions=with_compressed("tsv"),
    reader=CompressibleText(_TsvReader()),
)

"""The columns of a CSV file: its options and header, and the conversion of cells to batches."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pyarrow as pa
import pyarrow.csv

from penstock.domain.import_options import parse_separator
from penstock.domain.schema import META_FIELD, Field
from penstock.errors import DataError, ImportRefused
from penstock.readers.base import (
    ReadRequest,
)
from penstock.readers.byte_ranges import BOM, check_is_text
from penstock.readers.columns.dynamic_field import DynamicFieldBuilder
from penstock.readers.columns.json_values import first_duplicate, is_valid_text
from penstock.readers.columns.row_builder import (
    DroppedColumnCounts,
    batch_schema,
    file_fields,
    note_for,
)
from penstock.readers.csv.cells import CellColumn, cell_column, decode_text, mark_nulls
from penstock.readers.csv.records import check_quotes, row_start
from penstock.readers.unknown_columns import (
    UnknownColumns,
    computed_field_error,
    missing_field,
    needs_column,
    unknown_column,
    unused_names,
)
from penstock.rules.bad_rows import BadRows, build_column, first_bad_row, take_rows
from penstock.rules.json_texts import DYNAMIC
from penstock.sources.base import Source

_HEADER_BYTES = 1 << 20
_MAX_COLUMNS = 65_536
"""Maximum columns of a file: beyond, the work per column would take longer than reading the cells."""
_SEPARATORS = ",;\t|"
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


def separator_of(request: ReadRequest) -> str:
    return check_separator(request.options.get("sep") or "")


def null_key_of(request: ReadRequest) -> str:
    return request.options.get("nullkey") or ""


@dataclass(frozen=True, slots=True)
class Header:
    """The header row: the column names, and the offset behind it."""

    names: list[str]
    end: int

    @classmethod
    def read(cls, request: ReadRequest) -> Header:
        source = request.sources[0]
        if source.size == 0:
            raise DataError("the file is empty", file=source.name, remedy="A CSV file begins with a header")
        try:
            return cls._parse(source, request)
        except DataError as error:
            raise error.at(file=source.name) from None

    @classmethod
    def _parse(cls, source: Source, request: ReadRequest) -> Header:
        separator = separator_of(request)
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
    separator = separator_of(request)
    error = missing_field(field, names, "header's columns", unused_names(field, names, request))
    guess = next((candidate for candidate in _SEPARATORS if candidate in names[0] and candidate != separator), None)
    if len(names) > 1 or guess is None:
        return error
    return error.at(
        value=names[0],
        remedy=f"The header has one column: is {guess!r} the separator (option sep), and not {separator!r}?",
    )


def parsing_error(error: pa.ArrowInvalid, text: bytes) -> tuple[DataError, int]:
    """Convert an error of pyarrow's parser; also return where in ``text`` the bad row begins."""
    # pyarrow's handler for invalid rows would be neater, but fails on rows that are not UTF-8.
    match = _INVALID_ROW.search(str(error))
    if match is None:
        return DataError(f"the CSV can't be read: {error}"), 0
    number, expected, actual, value_text = match.groups()
    return width_error(int(actual), int(expected), value_text), row_start(text, int(number) - 1)


def width_error(actual: int, expected: int, row: str) -> DataError:
    return DataError(
        f"the number of fields in the row is not equal to the header: {actual} fields, the header has {expected}",
        value=row,
        remedy="Quote cells that hold the separator or a line break",
        rule_id="row_width",
    )


@dataclass(slots=True)
class Table:
    """Mapping of the file's columns to fields, the dynamic field, or nowhere."""

    request: ReadRequest
    header: Header
    dropped: DroppedColumnCounts = field(default_factory=DroppedColumnCounts)
    roundings: Counter[str] = field(default_factory=Counter)
    _columns: dict[str, CellColumn] = field(init=False)

    def __post_init__(self) -> None:
        null_key = null_key_of(self.request)
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
            parse_options=pyarrow.csv.ParseOptions(delimiter=separator_of(self.request), newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.binary() for name in self.selected},
                include_columns=self.selected,
                null_values=[null_key_of(self.request)],
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
            null_key = null_key_of(self.request).encode()
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

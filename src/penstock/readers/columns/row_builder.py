"""Build record batches from JSON objects under a byte budget.

The keys of rows repeat, so the handling of each key is computed once per distinct list of keys (a layout).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from penstock.domain.arrow_schema import canonical_type
from penstock.domain.jobs import JobWarning
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.errors import DataError, shorten
from penstock.readers.base import ReadRequest, RowBatch
from penstock.readers.columns.dynamic_field import DynamicFieldBuilder
from penstock.readers.columns.json_values import (
    WRAPPED_REMEDY,
    JsonParser,
    first_duplicate,
    holds,
    is_json_array,
    is_json_object,
    json_type,
    text_of,
)
from penstock.readers.columns.pending_rows import PendingRows, slices
from penstock.readers.columns.scalars import ArrayColumn, Column, JsonColumn, ScalarColumn
from penstock.readers.columns.structs import StructColumn
from penstock.readers.columns.vectors import DenseColumn, SparseColumn, check_flat
from penstock.readers.unknown_columns import (
    UnknownColumns,
    computed_field_error,
    missing_field,
    unknown_column,
    unused_names,
)
from penstock.rules.bad_rows import BadRows
from penstock.rules.json_texts import DYNAMIC
from penstock.rules.rule import WarningSink
from penstock.rules.table import DYNAMIC_KEYS

_MAX_BATCH_ROWS = 65_536
_FIRST_BATCH_ROWS = 1_024
_MAX_LAYOUTS = 256
_MAX_LAYOUT_KEYS = 1_024
"""Layouts of rows with more keys are not cached: the cache would hold the keys of the largest rows."""
_MAX_LOOKUPS = 64
"""Maximum keys of a row that are looked up one by one."""
_MAX_NAMED_WARNINGS = 100
_MAX_NAME = 200
"""Maximum characters of a key in a warning; a key may be as long as a row."""
_ITEM_BYTES = {DataType.FLOAT16_VECTOR: 2, DataType.INT8_VECTOR: 1, DataType.BINARY_VECTOR: 1}


def file_fields(schema: CollectionSchema) -> list[Field]:
    """Fields that a file may hold: all but those that the server computes."""
    return [field for field in schema if not schema.is_computed(field)]


def batch_schema(schema: CollectionSchema) -> pa.Schema:
    """Arrow schema of the row formats' batches: a file's fields in canonical types, then ``$meta`` where dynamic."""
    columns = [pa.field(field.name, canonical_type(field)) for field in file_fields(schema)]
    if schema.dynamic:
        columns.append(pa.field(META_FIELD, pa.string()))
    return pa.schema(columns)


def fixed_row_bytes(schema: CollectionSchema) -> int:
    """Fixed Arrow bytes of a row, without the content of strings, arrays and sparse vectors."""
    total = 16 if schema.dynamic else 0
    for field in file_fields(schema):
        total += field.width * _ITEM_BYTES.get(field.type, 4) if field.type.is_dense_vector else 8
    return total


def least_text_bytes(field: Field) -> int:
    """Minimum characters of a field's value; 0 where the field may be absent."""
    if field.nullable or field.default is not None:
        return 0
    if field.type.is_dense_vector:
        return 2 * field.width + 1
    return {
        DataType.BOOL: 1,
        DataType.VARCHAR: 0,
        DataType.TEXT: 0,
        DataType.ARRAY: 2,
        DataType.ARRAY_OF_STRUCT: 2,
        DataType.SPARSE_FLOAT_VECTOR: 2,
    }.get(field.type, 1)


def min_row_bytes(schema: CollectionSchema) -> int:
    """Minimum bytes of a row as a JSON object: bounds the number of rows in a file of a given size."""
    pair_sizes = [
        len(field.name.encode()) + 3 + max(1, least_text_bytes(field))
        for field in file_fields(schema)
        if least_text_bytes(field) or not (field.nullable or field.default is not None)
    ]
    return 2 + sum(pair_sizes) + max(0, len(pair_sizes) - 1)


def make_column(field: Field, rows: int, note: WarningSink) -> Column:
    """Create an empty column for ``field``.

    ``rows`` is the number expected in a batch; ``note`` is called for values that the store rounds.
    """
    if field.type.is_dense_vector:
        return DenseColumn(field, rows)
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        return SparseColumn(field)
    if field.type is DataType.ARRAY:
        return ArrayColumn(field)
    if field.type is DataType.ARRAY_OF_STRUCT:
        return StructColumn(field, [make_column(part, rows, note) for part in field.parts])
    if field.type is DataType.JSON:
        return JsonColumn(field, note)
    return ScalarColumn(field)


def note_for(name: str, counts: Counter[str]) -> WarningSink:
    """A sink that counts the rows per warning about the field ``name``."""

    def note(what: str, rows: int) -> None:
        counts[f"field '{name}': {what}"] += rows

    return note


def rounding_warnings(counts: Counter[str]) -> Iterator[JobWarning]:
    for message, rows in counts.items():
        yield JobWarning(code="column_cast", message=message, count=rows)


class DroppedColumnCounts:
    """Count the rows in which keys were dropped; only the first hundred keys are named."""

    def __init__(self) -> None:
        self._rows: Counter[str] = Counter()
        self._others = 0

    def add(self, key: str, rows: int = 1) -> None:
        key = shorten(key, _MAX_NAME)
        if key in self._rows or len(self._rows) < _MAX_NAMED_WARNINGS:
            self._rows[key] += rows
        else:
            self._others += rows

    def warnings(self) -> Iterator[JobWarning]:
        for key, rows in self._rows.items():
            text = f"column {key!r} is not in the schema and was dropped"
            yield JobWarning(code="column_dropped", message=text, count=rows)
        if self._others:
            text = f"further columns (beyond {_MAX_NAMED_WARNINGS}) are not in the schema and were dropped"
            yield JobWarning(code="column_dropped", message=text, count=self._others)


def _missing_key(field: Field, keys: Sequence[str], request: ReadRequest) -> DataError:
    error = missing_field(field, keys, "keys of the row", unused_names(field, keys, request))
    return error.at(remedy=WRAPPED_REMEDY) if list(keys) == ["rows"] else error


@dataclass(frozen=True, slots=True)
class _Layout:
    """How to add rows with one list of keys.

    ``by_lookup``: the extras are few and free of NUL. The parser's lookup is linear and ends a key at a NUL; the
    alternative converts all values at once, including vectors as lists of numbers.
    """

    known: list[tuple[str, Callable[[Any], None]]]
    absent: list[Callable[[Any], None]]
    extras: list[str]
    dropped: list[str]
    by_lookup: bool
    has_meta: bool
    dense: list[tuple[str, Field]]


class RowBuilder:
    """Build record batches from rows of JSON text.

    ``start`` is the byte offset of the file range, for :attr:`RowBatch.bytes_read`.
    """

    def __init__(self, request: ReadRequest, start: int = 0) -> None:
        self._request = request
        self._start = start
        self._parser = JsonParser()
        schema = request.schema
        self._dynamic = schema.dynamic
        self._unknown = request.unknown_columns
        self._excluded = request.excluded_columns
        self._arrow = batch_schema(schema)
        self._fixed = max(1, fixed_row_bytes(schema))
        self._max_rows = max(1, min(_MAX_BATCH_ROWS, request.batch_bytes // self._fixed))
        self._fields = {field.name: field for field in file_fields(schema)}
        self._computed = {field.name: field for field in schema if schema.is_computed(field)}
        self._roundings: Counter[str] = Counter()
        self._columns = {
            name: make_column(field, self._max_rows, note_for(field.name, self._roundings))
            for name, field in self._fields.items()
        }
        self._meta = DynamicFieldBuilder(request.reserved_keys, note_for(META_FIELD, self._roundings))
        self._layouts: dict[tuple[str, ...], _Layout] = {}
        self._last: tuple[list[str], _Layout] | None = None
        self._dropped = DroppedColumnCounts()
        self._arrays = sum(
            field.type.is_dense_vector or field.type is DataType.ARRAY for field in self._fields.values()
        )
        self._structs = [(name, column) for name, column in self._columns.items() if isinstance(column, StructColumn)]
        self._pending = PendingRows() if request.skips_bad_rows else None
        self._first_row = 0
        self._count = 0
        self._text_bytes = 0
        # Arrow bytes per byte of text, measured on the last batch; the first batch is small in order to measure it.
        self._ratio: float | None = None
        self._end = start

    def batches(self, groups: Iterable[Iterable[tuple[int, bytes]]]) -> Iterator[RowBatch]:
        """Yield batches of rows of (byte offset in the file, JSON text), a group per block.

        The warnings are added to the request at the end. Raises DataError for the first row that breaks a rule,
        unless the request skips those; an error from ``groups`` is raised after all rows before it.
        """
        pending = iter(groups)
        while True:
            try:
                group = next(pending, None)
            except DataError as error:
                raise self._first_fault(error) from None
            if group is None:
                break
            records = iter(group)
            while self._fill(records):
                yield from self._flush()
        yield from self._flush()
        self._request.warnings.extend(self._dropped.warnings())
        self._request.warnings.extend(rounding_warnings(self._roundings))

    def _fill(self, records: Iterator[tuple[int, bytes]]) -> bool:
        """Add rows until the batch is full (True) or ``records`` ends (False)."""
        # A float64 beyond float32 becomes infinity here, and an error with its position when the batch is taken.
        with np.errstate(over="ignore"):
            for offset, text in records:
                try:
                    self._add(text)
                except DataError as error:
                    error = error.at(offset=offset + (error.offset or 0))
                    if self._pending is None:
                        raise self._first_fault(error) from None
                    self._reject(self._pending, offset, text, error)
                    if self._pending.is_full:
                        return True
                    continue
                if self._pending is not None:
                    self._pending.add(offset, text)
                self._count += 1
                self._text_bytes += len(text)
                self._end = offset + len(text)
                if self._is_full():
                    return True
        return False

    def _reject(self, pending: PendingRows, offset: int, text: bytes, error: DataError) -> None:
        """Leave out a row that was refused, perhaps after some of its values were added."""
        pending.reject(offset, text, error.at(file=self._request.sources[0].name))
        for column in self._columns.values():
            column.truncate(self._count)
        self._meta.truncate(self._count)
        self._end = offset + len(text)
        self._parser = JsonParser()  # the error may have kept values of this one alive

    def _first_fault(self, error: DataError) -> DataError:
        """Return ``error``, or the error of an earlier row, which only the check of the pending columns detects."""
        name = self._request.sources[0].name
        if self._pending is not None:
            return error.at(file=name)
        try:
            self._take_columns()
        except DataError as earlier:
            if earlier.row is not None and earlier.row < self._count:
                return earlier.at(file=name, row=self._first_row + earlier.row)
        return error.at(file=name, row=self._first_row + self._count if error.row is None else error.row)

    def _add(self, text: bytes) -> None:
        row = self._parser.parse(text)
        if not is_json_object(row):
            raise DataError(f"each row should be a key-value map, but got type {json_type(row)}", value=text_of(row))
        keys = list(row)
        if self._last is not None and self._last[0] == keys:
            layout = self._last[1]
        else:
            layout = self._layout(keys)
            self._last = (keys, layout)
        for key, add in layout.known:
            add(row[key])
        for add in layout.absent:
            add(None)
        brackets = self._arrays + sum(column.brackets for _, column in self._structs)
        if self._dynamic:
            values = row if layout.by_lookup else dict(row.items())
            extras = {key: values[key] for key in layout.extras}
            brackets += self._meta.add(extras, row[META_FIELD] if layout.has_meta else None)
        for key in layout.dropped:
            self._dropped.add(key)
        # The parser flattens nested lists. If every '[' is accounted for, no vector has one; else check each vector.
        if not holds(text, b"[", brackets):
            for key, field in layout.dense:
                value = row[key]
                if is_json_array(value):
                    check_flat(field, value)
            for key, column in self._structs:
                if key in keys:
                    column.check_flat(row[key])

    def _layout(self, keys: list[str]) -> _Layout:
        if len(keys) > _MAX_LAYOUT_KEYS:
            return self._make_layout(keys)
        layout = self._layouts.get(tuple(keys))
        if layout is None:
            if len(self._layouts) == _MAX_LAYOUTS:
                self._layouts.clear()
            layout = self._layouts[tuple(keys)] = self._make_layout(keys)
        return layout

    def _make_layout(self, keys: list[str]) -> _Layout:
        if (duplicate := first_duplicate(keys)) is not None:
            raise DYNAMIC_KEYS.error(DYNAMIC, key=duplicate).at(field=duplicate)
        present = set(keys)
        for name, field in self._computed.items():
            if name in present:
                raise computed_field_error(field)
        for name, field in self._fields.items():
            if name not in present and not field.nullable and field.default is None:
                raise _missing_key(field, keys, self._request)
        meta = self._dynamic and META_FIELD in present
        known = {*self._fields, *self._excluded, *([META_FIELD] if meta else [])}
        unknown = [key for key in keys if key not in known]
        if unknown and self._unknown is UnknownColumns.ERROR:
            raise unknown_column(unknown[0], self._request.schema, "key")
        extras = unknown if self._dynamic and self._unknown is UnknownColumns.DYNAMIC else []
        return _Layout(
            known=[(key, self._columns[key].add) for key in keys if key in self._fields],
            absent=[column.add for name, column in self._columns.items() if name not in present],
            extras=extras,
            dropped=[] if extras else unknown,
            by_lookup=len(extras) <= _MAX_LOOKUPS and not any("\0" in key for key in extras),
            has_meta=meta,
            dense=[
                (key, self._fields[key])
                for key in keys
                if key in self._fields and self._fields[key].type.is_dense_vector
            ],
        )

    def _is_full(self) -> bool:
        if self._count >= self._max_rows:
            return True
        budget = self._request.batch_bytes
        if self._ratio is None:
            return self._count >= _FIRST_BATCH_ROWS or self._count * self._fixed + self._text_bytes >= budget
        return self._text_bytes * self._ratio >= budget or self._text_bytes >= 4 * budget

    def _take_columns(self, bad: BadRows | None = None) -> list[pa.Array[Any]]:
        arrays: list[pa.Array[Any]] = []
        errors: list[DataError] = []
        takers = [column.take for column in self._columns.values()]
        if self._dynamic:
            takers.append(self._meta.take)
        for take in takers:
            try:
                arrays.append(take(bad))
            except DataError as error:
                errors.append(error)
        if errors:
            raise min(errors, key=lambda error: error.row or 0)
        return arrays

    def _flush(self) -> Iterator[RowBatch]:
        """Yield the pending rows, if any."""
        if self._pending is not None:
            yield from self._flush_good_rows(self._pending)
            return
        if not self._count:
            return
        try:
            arrays = self._take_columns()
        except DataError as error:
            row = self._first_row + (error.row or 0)
            raise error.at(file=self._request.sources[0].name, row=row) from None
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._arrow)
        self._ratio = batch.nbytes / max(1, self._text_bytes)
        read = self._end - self._start
        whole = RowBatch(batch=batch, first_row=self._first_row, bytes_read=read, is_checked=True)
        yield from slices(whole, self._request.batch_bytes)
        self._first_row += self._count
        self._count = self._text_bytes = 0

    def _flush_good_rows(self, pending: PendingRows) -> Iterator[RowBatch]:
        bad = BadRows()
        arrays = self._take_columns(bad)
        if self._count:
            self._ratio = sum(array.nbytes for array in arrays) / max(1, self._text_bytes)
        self._count = self._text_bytes = 0
        batch = pending.batch(arrays, self._arrow, bad, self._end - self._start)
        if batch.row_count:
            yield from slices(batch, self._request.batch_bytes)

"""Turn batches of a file's columns into batches of the fields that the columns are mapped to.

All works on whole columns: a renamed column is not touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.domain.arrow_schema import canonical_type
from penstock.domain.jobs import JobWarning
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError
from penstock.imports.column_mapping import NO_TEXT, Cast, ColumnMapping, Constant, Gathered, Nested, Renamed
from penstock.imports.nested_values import take_from_texts, take_from_unchecked_texts, take_nested
from penstock.readers.arrow_values import plain
from penstock.readers.base import RowBatch
from penstock.readers.csv.cells import cell_column
from penstock.rules.forms import FORMS, type_error
from penstock.rules.rule import Array, WarningSink, undone_on_error
from penstock.validation import conform_column
from penstock.validation.text import is_text, utf8


class MappedBatches:
    """Convert the batches of one file range, and count the values that casts round.

    Args:
        schema: the collection's, with the values of the file's partition columns.
    """

    def __init__(self, mapping: ColumnMapping, schema: CollectionSchema) -> None:
        self._mapping = mapping
        self._schema = schema
        self._source_schema = mapping.source_schema(schema)
        self._counts: Counter[str] = Counter()
        renamed = ((name, source) for name, source in mapping.sources.items() if isinstance(source, Renamed))
        self._names = {source.column: name for name, source in renamed}
        self._consumed = frozenset(
            column
            for source in mapping.sources.values()
            if isinstance(source, Cast | Gathered | Nested)
            for column in source.columns
        )
        self._absent = [
            field
            for field in schema
            if field.name in mapping.dropped - mapping.sources.keys()
            and field.name not in mapping.columns
            and not schema.is_computed(field)
        ]

    @property
    def warnings(self) -> list[JobWarning]:
        return [JobWarning(code="column_cast", message=text, count=rows) for text, rows in self._counts.items()]

    def read(self, batches: Iterator[RowBatch]) -> RowBatch | None:
        """Return the next batch of a reader, whose errors name the column and the field then.

        Raises:
            DataError: what the reader raises.
        """
        try:
            batch = next(batches, None)
        except DataError as error:
            raise self._mapping.name_field(error) from None
        if batch is None or not batch.rejects:
            return batch
        named = [
            replace(reject, errors=[self._mapping.name_field(error) for error in reject.errors])
            for reject in batch.rejects
        ]
        return replace(batch, rejects=named)

    def undone_on_error(self) -> AbstractContextManager[None]:
        """Forget what is counted inside if that raises: the rows may be converted again."""
        return undone_on_error(self._counts)

    def convert(self, batch: RowBatch) -> RowBatch:
        """Return a reader's batch with the columns of the fields.

        Raises:
            DataError: a value that can't be cast; names the column and the field.
        """
        if not self._mapping:
            return batch
        columns: list[Array] = []
        fields: list[pa.Field[Any]] = []
        for column, array in zip(batch.batch.schema, batch.batch.columns, strict=True):
            if column.name not in self._consumed:
                columns.append(array)
                fields.append(column.with_name(self._names.get(column.name, column.name)))
        try:
            for name, array in self._computed(batch):
                columns.append(array)
                fields.append(pa.field(name, array.type))
        except DataError as error:
            if error.row is None:
                raise
            row = int(batch.row_numbers[error.row])
            raise error.at(row=row, violations=error.violations if row == error.row else None) from None
        return replace(batch, batch=pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields)))

    def _computed(self, batch: RowBatch) -> Iterator[tuple[str, Array]]:
        """Make the columns that are no columns of the file; in canonical type where the reader's are."""
        rows = batch.batch.num_rows
        for name, source in self._mapping.sources.items():
            target = self._schema[name]
            if isinstance(source, Constant):
                yield name, source.array.take(pa.array(np.zeros(rows, np.int64)))
            elif isinstance(source, Cast | Gathered | Nested):
                yield name, self._checked(target, self._combined(target, source, batch), batch)
        if batch.is_checked:
            for field in self._absent:
                yield field.name, conform_column(pa.nulls(rows), None, field, self._note_for(field.name))

    def _checked(self, target: Field, array: Array, batch: RowBatch) -> Array:
        """The column in canonical type, unless the conformer will convert it."""
        if not batch.is_checked:
            return array
        try:
            return conform_column(array, None, target, self._note_for(target.name))
        except DataError as error:
            raise self._mapping.name_column(error) from None

    def _source(self, column: str, batch: RowBatch, noted: dict[str, int]) -> Array:
        """A column in the canonical type of the source schema; ``noted`` has the most rows of each change."""
        source = self._source_schema[column]
        array = batch.batch.column(column)
        if batch.is_checked:
            return array

        def note(what: str, rows: int) -> None:
            noted[what] = max(noted.get(what, 0), rows)

        return conform_column(array, batch.batch.schema.field(column), source, note)

    def _combined(self, target: Field, source: Cast | Gathered | Nested, batch: RowBatch) -> Array:
        """The values of a field from its columns. Errors name the column first, as a reader's do."""
        try:
            if isinstance(source, Nested):
                return self._nested(replace(target, name=source.column), source, batch)
            noted: dict[str, int] = {}
            arrays = [self._source(column, batch, noted) for column in source.columns]
            for what, rows in noted.items():
                self._note_for(target.name)(what, rows)
            if isinstance(source, Gathered):
                return gather(arrays, source.columns, target)
            named = replace(target, name=source.column, nullable=True, default=None)
            return cast_column(arrays[0], source.type, named, self._note_for(target.name))
        except DataError as error:
            column = error.field or source.columns[0]
            raise self._mapping.name_field(error.at(field=column), target.name) from None

    def _nested(self, target: Field, source: Nested, batch: RowBatch) -> Array:
        array = batch.batch.column(source.column)
        steps: Sequence[str | int] = source.steps
        if not batch.is_checked:
            array, steps = take_nested(plain(array, batch.batch.schema.field(source.column)), steps)
            if not steps:
                return array
            column = self._source_schema[source.column]
            if is_text(array.type):
                texts = utf8(array, column)
                return take_from_unchecked_texts(texts, steps, target, column, self._note_for(target.name))
            array = conform_column(array, None, column, self._note_for(target.name))
        return take_from_texts(array, steps, target, self._note_for(target.name))

    def _note_for(self, name: str) -> WarningSink:
        def note(what: str, rows: int) -> None:
            self._counts[f"field '{name}': {what}"] += rows

        return note


def cast_column(array: Array, kind: DataType, target: Field, note: WarningSink) -> Array:
    """Cast a column of the canonical type of ``kind`` to a type that ``target`` takes; nulls stay.

    Text is read as a CSV cell of the field is. The conversion between kinds of numbers is the conformer's, which
    refuses what would lose digits.

    Raises:
        DataError: the first row that can't be cast.
    """
    if array.null_count == len(array):
        nulls: Array = pa.nulls(len(array))
        return nulls
    if kind in (DataType.VARCHAR, DataType.JSON):
        if target.type is DataType.VARCHAR:
            return array
        return cell_column(target, NO_TEXT, note)(array.cast(pa.binary()))
    if target.type is DataType.VARCHAR:
        return array.cast(pa.string())
    if kind is DataType.BOOL and target.type.is_number:
        return array.cast(canonical_type(target))
    if target.type is DataType.BOOL:
        return _to_bool(array, kind, target)
    return array


def _to_bool(array: Array, kind: DataType, target: Field) -> Array:
    valid: Any = pc.is_in(array, pa.array([0, 1]).cast(array.type))
    wrong = pc.index(pc.or_(valid, pc.is_null(array)), False).as_py()
    if wrong >= 0:
        value = array[wrong].as_py()
        raise type_error(
            target, kind.value, FORMS[DataType.BOOL].arrow, row=wrong, value=value, remedy="Only 0 and 1 are booleans"
        )
    return pc.not_equal(array, pa.scalar(0, array.type))


def gather(arrays: Sequence[Array], names: Sequence[str], target: Field) -> Array:
    """Make lists of the values of several columns; a row is null where all of them are.

    Raises:
        DataError: the first row in which some of the values are null and others aren't.
    """
    rows, width = len(arrays[0]), len(arrays)
    mask = None
    if any(array.null_count for array in arrays):
        nulls = np.stack([array.is_null().to_numpy(zero_copy_only=False) for array in arrays])
        partly = nulls.any(axis=0) & ~nulls.all(axis=0)
        if partly.any():
            row = int(np.argmax(partly))
            name = names[int(np.argmax(nulls[:, row]))]
            raise DataError(
                f"the value of the column {name!r} is null, but others of the {width} columns of {target.name!r} are "
                "not",
                row=row,
                field=name,
                remedy="Fill the value, or make all of the row's columns null for a null vector",
            )
        mask = pa.array(np.asarray(nulls.all(axis=0)))
    order = np.arange(rows * width).reshape(width, rows).T.ravel()
    values = pa.concat_arrays(arrays).take(pa.array(order))
    return pa.FixedSizeListArray.from_arrays(values, width, mask=mask)

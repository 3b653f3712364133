"""Conform readers' batches to the canonical form of a collection's schema, or refuse them with a reason.

Checks run on whole columns; the first bad row is looked for only when one fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.analyzers import field_analyzer
from penstock.analyzers.term_vectors import term_vectors
from penstock.domain.arrow_schema import canonical_schema, canonical_type
from penstock.domain.jobs import JobWarning
from penstock.domain.partitioning import partition_of
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.errors import DataError
from penstock.readers.arrow_values import EXTENSION_NAME, plain
from penstock.readers.base import RowBatch
from penstock.readers.unknown_columns import computed_field_error, missing_field
from penstock.rules.bad_rows import BadRows, Rows, find_bad_rows, take_rows
from penstock.rules.json_texts import DYNAMIC
from penstock.rules.rule import Array, WarningSink, undone_on_error
from penstock.rules.table import NOT_NULL
from penstock.validation.arrays import to_array, to_scalar
from penstock.validation.errors import refuse_nulls, show
from penstock.validation.geometries import GEOMETRY_EXTENSIONS
from penstock.validation.json_text import to_json, to_meta
from penstock.validation.sparse import to_sparse
from penstock.validation.structs import to_structs
from penstock.validation.vectors import absent_vectors, to_dense


@dataclass(frozen=True, slots=True)
class _SourceColumn:
    """A column of the file, with its field in the file's schema, which names extension types unknown to Arrow."""

    array: Array
    column: pa.Field[Any]


class Conformer:
    """Conform the batches of one split, and count what is cast or dropped.

    Args:
        schema: the collection's schema.
        partitions: the number of the partition of all rows, or one number per bucket of the partition key.
        auto_id_start: the first id of the split's reserved range, for a collection with generated ids. Row ``i`` of
            the split gets ``auto_id_start + i``, rejected rows counted, so that a retry of the split gives the same
            ids.
    """

    def __init__(self, schema: CollectionSchema, partitions: Sequence[int], auto_id_start: int | None = None) -> None:
        if schema.auto_id and auto_id_start is None:
            raise ValueError("a collection that makes its own ids needs auto_id_start")
        if not partitions or (len(partitions) > 1 and schema.partition_key is None):
            raise ValueError("name one partition, or several for a collection with a partition key")
        self._schema = schema
        self._arrow_schema = canonical_schema(schema)
        self._partitions = np.asarray(partitions, dtype=np.int64)
        self._auto_id_start = auto_id_start
        self._counts: Counter[tuple[str, str]] = Counter()

    @property
    def warnings(self) -> list[JobWarning]:
        """Warnings on casts (``column_cast``) and drops (``column_dropped``) so far; counts are rows."""
        return [
            JobWarning(code=code, message=message, count=count) for (code, message), count in self._counts.items()
        ]

    def conform(self, batch: RowBatch) -> pa.RecordBatch:
        """Convert a batch to exactly the columns of ``canonical_schema``.

        Raises:
            DataError: the first column that breaks a rule, with its first bad row, counted from the split's start.
        """
        rows = batch.batch.num_rows
        if not rows:
            return _empty(self._arrow_schema)
        arrays = self._canonical(batch) if batch.is_checked else self._checked(batch)
        arrays.append(pa.array(self._partition_numbers(arrays, rows)))
        return pa.RecordBatch.from_arrays(arrays, schema=self._arrow_schema)

    def undone_on_error(self) -> AbstractContextManager[None]:
        """Forget what is counted inside for :attr:`warnings` if that raises: the rows may be conformed again."""
        return undone_on_error(self._counts)

    def bad_rows(self, batch: RowBatch, names: Collection[str] | None = None) -> BadRows:
        """Find rows of a batch that :meth:`conform` refuses, with an error per field; only in fields of ``names``.

        Those of each field that break the first rule broken in it: without them others may be refused. Nothing is
        counted for :attr:`warnings`. Rows of the errors count in the batch.

        Raises:
            DataError: a column as a whole breaks a rule, or is missing.
        """
        bad = BadRows()
        rows = batch.batch.num_rows
        if batch.is_checked or not rows:
            return bad
        counts = self._counts.copy()
        try:
            columns = self._columns(batch.batch)
            for field in self._schema:
                if names is None or field.name in names:
                    find_bad_rows(partial(self._rows_of_column, field, columns, batch), rows, bad)
            if self._schema.dynamic and (names is None or META_FIELD in names):
                find_bad_rows(lambda taken: self._meta(_taken(columns, taken), len(taken)), rows, bad)
        except DataError as error:
            raise error if error.row is None else error.at(row=int(batch.row_numbers[error.row])) from None
        finally:
            self._counts = counts
        return bad

    def _rows_of_column(
        self, field: Field, columns: Mapping[str, _SourceColumn], batch: RowBatch, rows: Rows
    ) -> Array | None:
        if self._schema.is_generated(field) and field.name not in columns:
            return None
        source = {name: column for name, column in columns.items() if name == field.name}
        return self._column(field, _taken(source, rows), batch, len(rows))

    def _canonical(self, batch: RowBatch) -> list[Array]:
        """The columns of a batch that its reader has checked."""
        arrays: list[Array | None] = [
            None
            if field.function_output
            else self._generated(field, batch)
            if self._schema.is_generated(field)
            else batch.batch.column(field.name)
            for field in self._schema
        ]
        if self._schema.dynamic:
            arrays.append(batch.batch.column(META_FIELD))
        return self._with_function_outputs(arrays)

    def _checked(self, batch: RowBatch) -> list[Array]:
        columns = self._columns(batch.batch)
        try:
            arrays: list[Array | None] = [
                self._column(field, columns, batch, batch.batch.num_rows) for field in self._schema
            ]
            if self._schema.dynamic:
                arrays.append(self._meta(columns, batch.batch.num_rows))
        except DataError as error:
            raise error if error.row is None else error.at(row=int(batch.row_numbers[error.row])) from None
        return self._with_function_outputs(arrays)

    def _with_function_outputs(self, arrays: list[Array | None]) -> list[Array]:
        """Compute the columns of functions, which are None, from the others."""
        for place, field in enumerate(self._schema):
            if field.function_output:
                source = self._schema.function_input(field)
                texts = arrays[self._schema.names.index(source.name)]
                assert texts is not None, "the input of a function is no output of another"
                arrays[place] = term_vectors(texts, field_analyzer(source))
        return cast(list[Array], arrays)

    def _columns(self, batch: pa.RecordBatch) -> dict[str, _SourceColumn]:
        """Select the file's columns that are in the schema; others are dropped with a warning."""
        names = {*self._schema.names, *([META_FIELD] if self._schema.dynamic else [])}
        columns: dict[str, _SourceColumn] = {}
        for column, array in zip(batch.schema, batch.columns, strict=True):
            name = column.name
            if name not in names:
                self._counts["column_dropped", _dropped(name, self._schema)] += batch.num_rows
            elif name in columns:
                raise DataError(
                    f"there is multi field with name: {name}",
                    field=name,
                    remedy="Give each column of the file a name of its own.",
                )
            else:
                columns[name] = _SourceColumn(array, column)
        return columns

    def _column(self, field: Field, columns: Mapping[str, _SourceColumn], batch: RowBatch, rows: int) -> Array | None:
        """The column of a field, of ``rows``; None if a function computes it."""
        source = columns.get(field.name)
        if self._schema.is_computed(field) and source is not None:
            row = max(source.array.is_valid().index(True).as_py(), 0)
            raise computed_field_error(field).at(row=row, value=show(source.array, row), is_of_column=True)
        if field.function_output:
            return None
        if self._schema.is_generated(field):
            return self._generated(field, batch)
        if source is None:
            if field.default is None and not field.nullable:
                raise missing_field(field, batch.batch.schema.names)
            return _absent(field, rows)
        return conform_column(source.array, source.column, field, self._note_for(field))

    def _note_for(self, field: Field) -> WarningSink:
        def note(what: str, rows: int) -> None:
            self._counts["column_cast", f"field '{field.name}': {what}"] += rows

        return note

    def _generated(self, field: Field, batch: RowBatch) -> Array:
        assert self._auto_id_start is not None
        ids = pa.array(self._auto_id_start + batch.row_numbers.astype(np.int64))
        return ids.cast(canonical_type(field))

    def _meta(self, columns: Mapping[str, _SourceColumn], rows: int) -> Array:
        source = columns.get(META_FIELD)
        if source is None or source.array.null_count == rows:
            return pa.repeat(pa.scalar("{}"), rows)
        return to_meta(source.array, source.column, set(self._schema.names), self._note_for(DYNAMIC))

    def _partition_numbers(self, arrays: Sequence[Array], rows: int) -> npt.NDArray[np.int64]:
        if len(self._partitions) == 1:
            return np.full(rows, self._partitions[0], dtype=np.int64)
        key = self._schema.partition_key
        assert key is not None
        values = arrays[self._schema.names.index(key.name)]
        return self._partitions[partition_of(values, len(self._partitions))]


def _taken(columns: Mapping[str, _SourceColumn], rows: Rows) -> Mapping[str, _SourceColumn]:
    return {name: _SourceColumn(take_rows(source.array, rows), source.column) for name, source in columns.items()}


def conform_column(array: Array, column: pa.Field[Any] | None, field: Field, note: WarningSink) -> Array:
    """Convert a column to the canonical type of its field; ``column`` is its field in the file's Arrow schema.

    Raises:
        DataError: the first row that breaks a rule.
    """
    if array.null_count == len(array):  # of any type: the type of a column of nulls is often arbitrary
        return _without_nulls(_absent(field, len(array)), field)
    source = _SourceColumn(array, pa.field(field.name, array.type) if column is None else column)
    return _without_nulls(_convert(source, field, note), field)


def _convert(source: _SourceColumn, field: Field, note: WarningSink) -> Array:
    if field.type is DataType.JSON:
        return to_json(source.array, source.column, field, note)
    try:
        array = plain(source.array, _named(source.column, field), flat=field.type.is_dense_vector)
    except DataError as error:
        raise error.at(field=field.name) from None
    if array.null_count == len(array):
        return _absent(replace(field, default=None), len(array))
    if field.type is DataType.ARRAY:
        return to_array(array, field, note)
    if field.type is DataType.ARRAY_OF_STRUCT:
        return to_structs(array, field, note)
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        return to_sparse(array, field, note)
    if field.type.is_vector:
        return to_dense(array, field, note)
    return to_scalar(array, field, note)


def _named(column: pa.Field[Any], field: Field) -> pa.Field[Any] | None:
    """The field that names an unknown extension type; None if its storage is what the collection's field takes."""
    name = (column.metadata or {}).get(EXTENSION_NAME)
    return None if field.type is DataType.GEOMETRY and name in GEOMETRY_EXTENSIONS else column


def _without_nulls(column: Array, field: Field) -> Array:
    """Replace nulls by the field's default, also where it is nullable; without one refuse nulls unless nullable."""
    if not column.null_count:
        return column
    if field.default is not None:
        return column.fill_null(pa.scalar(field.default, column.type))
    if not field.nullable:
        refuse_nulls(column, NOT_NULL, field)
    return column


def _absent(field: Field, rows: int) -> Array:
    """Build a column of defaults, or of nulls without one."""
    kind: Any = canonical_type(field)
    if field.default is not None:
        return pa.repeat(pa.scalar(field.default, kind), rows)
    return absent_vectors(rows, field) if field.type.is_dense_vector else pa.nulls(rows, kind)


def _dropped(name: str, schema: CollectionSchema) -> str:
    hint = f"; to keep it, put it into a '{META_FIELD}' column of JSON" if schema.dynamic else ""
    return f"column '{name}' is not in the schema and was dropped{hint}"


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)

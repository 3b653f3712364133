"""Constraints of the file formats: values that a format can't hold are rejected when they are appended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from penstock.domain.arrow_schema import canonical_type
from penstock.domain.schema import META_FIELD, DataType, Field
from penstock.errors import DataError, Unsupported
from penstock.rules.rule import Array
from penstock.writers.csv import csv_cells
from penstock.writers.file_schema import TEXT_TYPES
from penstock.writers.file_type import BulkFileType

__all__ = ["Limits", "limits_of"]


_TEXT = Field(name="text", type=DataType.VARCHAR)
_NESTED_VECTORS = (DataType.ARRAY_OF_STRUCT, *(data_type for data_type in DataType if data_type.is_dense_vector))
"""Types none of whose values is meant by a null key."""


class Limits(Protocol):
    """The constraints of one format. Checks raise :class:`DataError`; its row, if any, counts from the batch's start.

    ``state`` is what a format keeps of earlier rows; ``restore`` resets it.
    """

    def check_cells(self, cells: Sequence[Any]) -> None:
        """Check one row of canonical values, in column order."""
        ...

    def check_batch(self, batch: pa.RecordBatch) -> None: ...

    def state(self) -> object: ...

    def restore(self, state: Any) -> None: ...


def limits_of(file_type: BulkFileType, columns: Sequence[Field], null_key: str) -> Limits | None:
    """Create the constraints of a format; None if it has none.

    Raises:
        Unsupported: the format can't represent a field's type.
    """
    if file_type is BulkFileType.NUMPY:
        return _NumpyLimits(columns)
    if file_type is BulkFileType.CSV:
        return _CsvLimits(columns, null_key)
    return None


class _CsvLimits:
    """CSV: a cell that equals the null key is read as null, so such a value can't be written; but in a field of text
    that is neither nullable nor has a default it is text."""

    def __init__(self, columns: Sequence[Field], null_key: str) -> None:
        self._null_key = null_key
        self._cells: Array = pa.array([null_key, *csv_cells(pa.array([null_key]), _TEXT).to_pylist()])
        self._texts = [
            (at, column)
            for at, column in enumerate(columns)
            if column.type in TEXT_TYPES and (column.nullable or column.default is not None or _is_json(column))
        ]
        self._values = [
            (at, column)
            for at, column in enumerate(columns)
            if _is_json_text(null_key) and column.type not in (*TEXT_TYPES, *_NESTED_VECTORS)
        ]

    def check_cells(self, cells: Sequence[Any]) -> None:
        for at, field in self._texts:
            if cells[at] == self._null_key:
                raise self._error(field)
        for at, field in self._values:
            if self._first_null(pa.array([cells[at]], canonical_type(field)), field) == 0:
                raise self._error(field)

    def check_batch(self, batch: pa.RecordBatch) -> None:
        for at, field in self._texts:
            row = batch.column(at).index(self._null_key).as_py()
            if row >= 0:
                raise self._error(field).at(row=row)
        for at, field in self._values:
            row = self._first_null(batch.column(at), field)
            if row >= 0:
                raise self._error(field).at(row=row)

    def _first_null(self, column: Array, field: Field) -> int:
        """The first row whose cell is the null key; -1 if there is none."""
        equal: Array = pc.is_in(csv_cells(column, field), self._cells)
        row: int = equal.index(True).as_py()
        return row

    def state(self) -> object:
        return None

    def restore(self, state: Any) -> None:
        """There is no state."""

    def _error(self, field: Field) -> DataError:
        key = repr(self._null_key)
        return DataError(
            f"the {'text' if field.type in TEXT_TYPES else 'value'} {key} would be read back as null from a CSV file",
            field=field.name,
            value=self._null_key,
            remedy=f"Choose another null key (config={{'nullkey': ...}}) than {key}, or another file type.",
        )


def _is_json(field: Field) -> bool:
    """Whether a field takes JSON, where quotes make no difference to the null key; absence is ``{}`` in ``$meta``."""
    return field.type is DataType.JSON and field.name != META_FIELD


def _is_json_text(text: str) -> bool:
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True


class _NumpyLimits:
    """NumPy: files have no nulls. A nullable field without any value is allowed: its file is left out."""

    def __init__(self, columns: Sequence[Field]) -> None:
        self._columns = columns
        self._left_out: frozenset[int] | None = None
        for column in columns:
            if column.type in (DataType.ARRAY, DataType.ARRAY_OF_STRUCT, DataType.SPARSE_FLOAT_VECTOR):
                raise Unsupported(
                    f"field {column.name!r}: {column.type.value} can't be written to NumPy files. "
                    "Use PARQUET, JSON, JSONL or CSV",
                    field=column.name,
                )

    def check_cells(self, cells: Sequence[Any]) -> None:
        for at, field in enumerate(self._columns):
            if isinstance(cells[at], str) and cells[at].endswith("\0"):
                raise _trailing_nul_error(field)
        nulls = frozenset(at for at, cell in enumerate(cells) if cell is None)
        self._check_nulls(nulls, nulls)

    def check_batch(self, batch: pa.RecordBatch) -> None:
        all_null = frozenset(at for at, column in enumerate(batch.columns) if column.null_count == len(column))
        any_null = frozenset(at for at, column in enumerate(batch.columns) if column.null_count)
        partly = next(iter(sorted(any_null - all_null)), None)
        if partly is not None:
            row = int(np.argmax(batch.column(partly).is_null().to_numpy(zero_copy_only=False)))
            raise _null_error(self._columns[partly]).at(row=row)
        for at, field in enumerate(self._columns):
            if field.type in TEXT_TYPES:
                texts: Array = batch.column(at)
                ends: Array = pc.ends_with(texts, "\0")
                row = ends.index(True).as_py()
                if row >= 0:
                    raise _trailing_nul_error(field).at(row=row)
        self._check_nulls(any_null, all_null)

    def state(self) -> object:
        return self._left_out

    def restore(self, state: Any) -> None:
        self._left_out = state

    def _check_nulls(self, any_null: frozenset[int], all_null: frozenset[int]) -> None:
        """Check nulls against the left-out fields, which the first rows determine for all files."""
        if self._left_out is None:
            self._left_out = all_null
        if any_null == self._left_out:
            return
        wrong = min(any_null ^ self._left_out)
        field = self._columns[wrong]
        if wrong in any_null:
            raise _null_error(field)
        raise DataError(
            "the field was null in the rows before, so NumPy files leave it out",
            field=field.name,
            remedy="NumPy files have no nulls: use PARQUET, JSON, JSONL or CSV, or a writer for these rows alone.",
        )


def _null_error(field: Field) -> DataError:
    return DataError(
        "the value is null, which a NumPy file can't hold",
        field=field.name,
        remedy="Use PARQUET, JSON, JSONL or CSV, or leave the field out of all rows.",
    )


def _trailing_nul_error(field: Field) -> DataError:
    what = "the dynamic field" if field.name == META_FIELD else "the text"
    return DataError(
        f"{what} ends with a NUL character, which NumPy's text arrays drop",
        field=field.name,
        remedy="Remove it, or use PARQUET, JSON, JSONL or CSV.",
    )

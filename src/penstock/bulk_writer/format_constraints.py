"""Values that a file format can't hold, refused when they are appended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.bulk_writer.file_type import BulkFileType
from penstock.domain.schema import META_FIELD, DataType, Field
from penstock.errors import DataError, Unsupported
from penstock.validation.errors import Array

__all__ = ["Limits", "limits_of"]


class Limits(Protocol):
    """What one format refuses. Both calls raise :class:`DataError`, whose row, if any, counts from the batch's start.

    What a format remembers of rows before is its ``state``; ``restore`` goes back to one.
    """

    def check_cells(self, cells: Sequence[Any]) -> None:
        """One row of canonical values, in the order of the columns."""
        ...

    def check_batch(self, batch: pa.RecordBatch) -> None: ...

    def state(self) -> object: ...

    def restore(self, state: Any) -> None: ...


def limits_of(file_type: BulkFileType, columns: Sequence[Field], null_key: str) -> Limits | None:
    """The limits of a format, or None for one that holds everything.

    Raises:
        Unsupported: the format has no form for a field's type.
    """
    if file_type is BulkFileType.NUMPY:
        return _NumpyLimits(columns)
    if file_type is BulkFileType.CSV:
        return _CsvLimits(columns, null_key)
    return None


class _CsvLimits:
    """A cell that equals the null key is read as null where null means something: such text can't be written."""

    def __init__(self, columns: Sequence[Field], null_key: str) -> None:
        self._null_key = null_key
        self._fields = [
            (at, column)
            for at, column in enumerate(columns)
            if column.type in (DataType.VARCHAR, DataType.JSON) and (column.nullable or column.default is not None)
        ]

    def check_cells(self, cells: Sequence[Any]) -> None:
        for at, field in self._fields:
            if cells[at] == self._null_key:
                raise self._error(field)

    def check_batch(self, batch: pa.RecordBatch) -> None:
        for at, field in self._fields:
            row = batch.column(at).index(self._null_key).as_py()
            if row >= 0:
                raise self._error(field).at(row=row)

    def state(self) -> object:
        return None

    def restore(self, state: Any) -> None:
        """Nothing is remembered."""

    def _error(self, field: Field) -> DataError:
        key = repr(self._null_key)
        return DataError(
            f"the text {key} would be read back as null from a CSV file",
            field=field.name,
            value=self._null_key,
            remedy=f"Choose another null key (config={{'nullkey': ...}}) than {key}, or another file type.",
        )


class _NumpyLimits:
    """NumPy files have no nulls. A nullable field that has no value at all is fine: its file is left out."""

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
                raise _trailing_nul(field)
        nulls = frozenset(at for at, cell in enumerate(cells) if cell is None)
        self._check_nulls(nulls, nulls)

    def check_batch(self, batch: pa.RecordBatch) -> None:
        whole = frozenset(at for at, column in enumerate(batch.columns) if column.null_count == len(column))
        some = frozenset(at for at, column in enumerate(batch.columns) if column.null_count)
        partly = next(iter(sorted(some - whole)), None)
        if partly is not None:
            row = int(np.argmax(batch.column(partly).is_null().to_numpy(zero_copy_only=False)))
            raise _null(self._columns[partly]).at(row=row)
        for at, field in enumerate(self._columns):
            if field.type in (DataType.VARCHAR, DataType.JSON):
                texts: Array = batch.column(at)
                ends: Array = pc.ends_with(texts, "\0")
                row = ends.index(True).as_py()
                if row >= 0:
                    raise _trailing_nul(field).at(row=row)
        self._check_nulls(some, whole)

    def state(self) -> object:
        return self._left_out

    def restore(self, state: Any) -> None:
        self._left_out = state

    def _check_nulls(self, some: frozenset[int], whole: frozenset[int]) -> None:
        """The first rows decide which fields are left out of all files."""
        if self._left_out is None:
            self._left_out = whole
        if some == self._left_out:
            return
        wrong = min(some ^ self._left_out)
        field = self._columns[wrong]
        if wrong in some:
            raise _null(field)
        raise DataError(
            "the field was null in the rows before, so NumPy files leave it out",
            field=field.name,
            remedy="NumPy files have no nulls: use PARQUET, JSON, JSONL or CSV, or a writer for these rows alone.",
        )


def _null(field: Field) -> DataError:
    return DataError(
        "the value is null, which a NumPy file can't hold",
        field=field.name,
        remedy="Use PARQUET, JSON, JSONL or CSV, or leave the field out of all rows.",
    )


def _trailing_nul(field: Field) -> DataError:
    what = "the dynamic field" if field.name == META_FIELD else "the text"
    return DataError(
        f"{what} ends with a NUL character, which NumPy's text arrays drop",
        field=field.name,
        remedy="Remove it, or use PARQUET, JSON, JSONL or CSV.",
    )

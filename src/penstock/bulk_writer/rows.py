"""Buffer single rows and build canonical batches from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.bulk_writer.format_constraints import Limits
from penstock.bulk_writer.json_texts import json_text
from penstock.bulk_writer.masks import is_absent
from penstock.bulk_writer.values import cell_maker
from penstock.domain.arrow_schema import canonical_type
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.errors import DataError
from penstock.rules.rule import Array
from penstock.rules.table import DYNAMIC_KEYS, DYNAMIC_OBJECT
from penstock.writers.base import META
from penstock.writers.columns import NATIVE_VALUES
from penstock.writers.file_schema import schema_of_files

__all__ = ["RowBuffer"]

_BATCH_BYTES = 8 << 20
_BATCH_ROWS = 16_384


class RowBuffer:
    """Check each row when it is appended and buffer it as columns, some megabytes at most.

    Args:
        schema: the fields of the files.
        refused: error messages by name of the fields that rows must not contain.
        limits: the constraints of the file format.
    """

    def __init__(self, schema: CollectionSchema, refused: Mapping[str, str], limits: Limits | None) -> None:
        self._fields = [(field, cell_maker(field)) for field in schema]
        self._names = frozenset(schema.names)
        self._dynamic = schema.dynamic
        self._refused = refused
        self._limits = limits
        self._schema = _arrow_schema(schema_of_files(schema))
        width = sum(field.width * 4 if field.type.is_dense_vector else 16 for field in schema)
        self._capacity = max(1, min(_BATCH_ROWS, _BATCH_BYTES // width))
        self._clear()

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        return self._count >= self._capacity or self._bytes >= _BATCH_BYTES

    def append(self, row: Mapping[str, Any]) -> int:
        """Append a row atomically; return the bytes it counts for the chunk.

        Raises:
            DataError: a value breaks a rule, is missing, or has no field.
        """
        if not isinstance(row, Mapping):
            raise DataError(f"a row is a dict of field names and values, not {type(row).__name__}", value=row)
        cells: list[Any] = []
        size = matched = 0
        for field, make in self._fields:
            value = row.get(field.name)
            if is_absent(value, field):
                cells.append(_absent(field))
                matched += field.name in row
                continue
            matched += 1
            cell, counted = make(value)
            cells.append(None if field.nullable and field.type is DataType.JSON and cell == "null" else cell)
            size += counted
        if self._dynamic:
            cells.append(self._meta(row))
        elif matched != len(row):
            self._refuse_unknown(row)
        if self._limits is not None:
            self._limits.check_cells(cells)
        for column, cell in zip(self._columns, cells, strict=True):
            column.append(cell)
        self._count += 1
        # Dynamic values count nothing for the chunk, and fill the buffer all the same.
        self._bytes += size + (len(cells[-1]) if self._dynamic else 0)
        return size

    def take(self) -> pa.RecordBatch:
        """Return all buffered rows as a canonical batch, and empty the buffer."""
        arrays = [
            column.array(kind.type) if isinstance(column, _VectorColumn) else pa.array(column, kind.type)
            for column, kind in zip(self._columns, self._schema, strict=True)
        ]
        self._clear()
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def _clear(self) -> None:
        self._columns: list[_VectorColumn | list[Any]] = [
            _VectorColumn(field, self._capacity) if field.type.is_dense_vector else [] for field, _ in self._fields
        ]
        if self._dynamic:
            self._columns.append([])
        self._count = self._bytes = 0

    def _meta(self, row: Mapping[str, Any]) -> str:
        extra = {
            key: None if is_absent(value, META) else value
            for key, value in row.items()
            if key not in self._names and key != META_FIELD
        }
        self._check_refused(extra)
        value = row.get(META_FIELD)
        if not extra and value is None:
            return "{}"
        if value is None:
            return json_text(extra, META)
        meta = json.loads(json_text(value, META))  # keeps integers of any size
        if not isinstance(meta, dict):
            raise DYNAMIC_OBJECT.error(META, value=value)
        duplicate = next((key for key in meta if key in extra or key in self._names), None)
        if duplicate is not None:
            raise DYNAMIC_KEYS.error(META, value=value, key=duplicate)
        return json_text({**meta, **extra}, META)

    def _refuse_unknown(self, row: Mapping[str, Any]) -> None:
        unknown = {key: value for key, value in row.items() if key not in self._names}
        self._check_refused(unknown)
        name, value = next(iter(unknown.items()))
        raise DataError(
            f"the field '{name}' is not defined in schema",
            field=str(name),
            value=value,
            remedy="Remove it, or use a collection with a dynamic field, which keeps such values.",
        )

    def _check_refused(self, names: Mapping[str, Any]) -> None:
        for name in names:
            if name in self._refused:
                raise DataError(self._refused[name], field=name, value=names[name], remedy="Leave it out of the row.")


def _absent(field: Field) -> Any:
    """The field's default, else null if it is nullable."""
    if field.default is not None:
        return field.shown_default
    if field.nullable:
        return None
    raise DataError(
        f"value of field '{field.name}' is missed",
        field=field.name,
        remedy="Give a value, or use a collection in which the field is nullable or has a default.",
    )


def _arrow_schema(schema: CollectionSchema) -> pa.Schema:
    fields = [*schema, META] if schema.dynamic else list(schema)
    return pa.schema([pa.field(field.name, canonical_type(field)) for field in fields])


class _VectorColumn:
    """A column of dense vectors, copied into one matrix when they are appended."""

    def __init__(self, field: Field, capacity: int) -> None:
        self._matrix = np.zeros((capacity, field.width), NATIVE_VALUES[field.type])
        self._valid: npt.NDArray[np.bool_] = np.ones(capacity, np.bool_)
        self._count = 0

    def append(self, cell: Any) -> None:
        if cell is None:
            self._valid[self._count] = False
        else:
            self._matrix[self._count] = cell
        self._count += 1

    def array(self, kind: Any) -> Array:
        valid = self._valid[: self._count]
        values = pa.array(self._matrix[: self._count].reshape(-1))
        mask = None if valid.all() else pa.array(~valid)
        return pa.FixedSizeListArray.from_arrays(values, type=kind, mask=mask)

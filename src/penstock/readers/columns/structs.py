"""Column builder for struct arrays, filled row by row from JSON values.

Each field within the structs has a column builder of its own, which takes one value per struct and checks it like a
row's; this one holds the number of structs per row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa

from penstock.domain.arrow_schema import canonical_type
from penstock.domain.schema import Field
from penstock.errors import DataError
from penstock.readers.columns.json_values import is_json_array, is_json_object
from penstock.readers.columns.scalars import Column, json_type_error
from penstock.readers.columns.vectors import check_flat
from penstock.rules.bad_rows import BadRows
from penstock.rules.structs import check_struct_keys
from penstock.rules.table import ARRAY_CAPACITY, NO_NULL_ELEMENTS, NOT_NULL


class StructColumn:
    """Build ArrayOfStruct columns. ``parts`` are the empty columns of :attr:`Field.parts`.

    ``brackets`` counts the ``[`` of the value added last: its own and its vectors'. Where its text has others, the
    caller calls :meth:`check_flat`, since the parser flattens nested lists silently.
    """

    def __init__(self, field: Field, parts: Sequence[Column]) -> None:
        assert field.max_capacity is not None
        self._field = field
        self._capacity = field.max_capacity
        self._keys = [subfield.name for subfield in field.fields]
        self._parts = parts
        self._vectors = [
            (key, part) for key, part in zip(self._keys, field.parts, strict=True) if part.type.is_dense_vector
        ]
        self._adders = [
            (key, part, part.type.is_dense_vector, column.add)
            for key, part, column in zip(self._keys, field.parts, parts, strict=True)
        ]
        self._lengths: list[int | None] = []
        self.brackets = 0

    def add(self, value: Any) -> None:
        self.brackets = 0
        if value is None:
            if not self._field.nullable:
                raise NOT_NULL.error(self._field)
            self._lengths.append(None)
            return
        if not is_json_array(value):
            raise json_type_error(self._field, value)
        count = len(value)
        if count > self._capacity:
            raise ARRAY_CAPACITY.error(self._field, count=count)
        for position, struct in enumerate(value):
            self._add_struct(position, struct)
        self.brackets = 1 + count * len(self._vectors)
        self._lengths.append(count)

    def _add_struct(self, position: int, struct: Any) -> None:
        if not is_json_object(struct):
            raise json_type_error(self._field, struct)
        keys = list(struct)
        if keys != self._keys:
            check_struct_keys(self._field, keys, position)
        for key, part, is_vector, add in self._adders:
            value = struct[key]
            if value is None:
                raise NO_NULL_ELEMENTS.error(part)
            if not is_vector and (is_json_array(value) or is_json_object(value)):
                raise json_type_error(part, value)
            add(value)

    def check_flat(self, value: Any) -> None:
        """Raise when a vector in ``value``, which was added, holds arrays."""
        for struct in value or ():
            for key, part in self._vectors:
                check_flat(part, struct[key])

    def truncate(self, rows: int) -> None:
        del self._lengths[rows:]
        structs = sum(count or 0 for count in self._lengths)
        for part in self._parts:
            part.truncate(structs)

    def take(self, bad: BadRows | None = None) -> pa.Array[Any]:
        lengths, self._lengths = self._lengths, []
        offsets = np.zeros(len(lengths) + 1, np.int32)
        np.cumsum([count or 0 for count in lengths], out=offsets[1:])
        columns: list[Any] = []
        errors: list[DataError] = []

        def row_of(struct: int) -> int:
            return int(np.searchsorted(offsets, struct, side="right")) - 1

        for part in self._parts:
            bad_structs = None if bad is None else BadRows()
            try:
                columns.append(part.take(bad_structs))
            except DataError as error:
                errors.append(error.at(row=None if error.row is None else row_of(error.row)))
            if bad is not None and bad_structs:
                self._add_bad_rows(bad, bad_structs, row_of)
        if errors:
            raise min(errors, key=lambda error: error.row or 0)
        kind = cast(Any, canonical_type(self._field))
        # A row refused half-way leaves values behind the last complete row.
        complete = [column.slice(0, int(offsets[-1])) for column in columns]
        structs = pa.StructArray.from_arrays(complete, fields=list(kind.value_type))
        mask = np.array([count is None for count in lengths], bool)
        nulls: Any = pa.array(mask) if mask.any() else None
        starts: Any = pa.array(offsets)
        lists: pa.Array[Any] = pa.ListArray.from_arrays(starts, structs, type=kind, mask=nulls)
        return lists

    def _add_bad_rows(self, bad: BadRows, bad_structs: BadRows, row_of: Callable[[int], int]) -> None:
        """Add the first bad struct of each row."""
        seen = set()
        for struct in bad_structs.rows.tolist():
            row = row_of(struct)
            if row not in seen:
                seen.add(row)
                bad.add(row, bad_structs.errors(struct)[0].at(row=row))

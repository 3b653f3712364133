"""Column builder for struct arrays, filled row by row from JSON values.

Each field within the structs has a column builder of its own, which takes one value per struct and checks it like a
row's; this one holds the number of structs per row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
import simdjson

from penstock.domain.arrow_schema import canonical_type
from penstock.domain.schema import Field
from penstock.errors import DataError
from penstock.readers.columns.json_values import is_json_array, is_json_object, json_type, text_of
from penstock.readers.columns.scalars import Column, null_error
from penstock.readers.columns.vectors import check_flat

__all__ = ["StructColumn"]


class StructColumn:
    """Build ArrayOfStruct columns. ``parts`` are the empty columns of :attr:`Field.parts`.

    ``brackets`` counts the ``[`` of the value added last: its own and its vectors'.
    """

    def __init__(self, field: Field, parts: Sequence[Column]) -> None:
        assert field.max_capacity is not None
        self._field = field
        self._capacity = field.max_capacity
        self._keys = [subfield.name for subfield in field.fields]
        self._remedy = f"Each object holds {', '.join(self._keys)}, once"
        self._parts = parts
        self._adders = [
            (key, part, column.add) for key, part, column in zip(self._keys, field.parts, parts, strict=True)
        ]
        self._lengths: list[int | None] = []
        self.brackets = 0

    def add(self, value: Any) -> None:
        self.brackets = 0
        if value is None:
            if not self._field.nullable:
                raise null_error(self._field)
            self._lengths.append(None)
            return
        if not is_json_array(value):
            raise DataError(
                f"expected an array of objects, got {json_type(value)}",
                field=self._field.name,
                value=text_of(value),
                remedy=self._remedy,
            )
        count = len(value)
        if count > self._capacity:
            raise DataError(
                f"array capacity({count}) exceeds max_capacity({self._capacity})",
                field=self._field.name,
                remedy="Shorten the array, or use a field with a larger max_capacity",
            )
        self.brackets = 1
        for position, struct in enumerate(value):
            self._add_struct(position, struct)
        self._lengths.append(count)

    def _add_struct(self, position: int, struct: Any) -> None:
        if not is_json_object(struct):
            raise DataError(
                f"expected an array of objects, got {json_type(struct)} at position {position}",
                field=self._field.name,
                value=text_of(struct),
                remedy=self._remedy,
            )
        keys = list(struct)
        if keys != self._keys:
            self._check_keys(position, keys)
        for key, part, add in self._adders:
            value = struct[key]
            if value is None:
                raise DataError(
                    "array element is not allowed to be null value",
                    field=part.name,
                    remedy="Fill it, or make the whole array null where the field is nullable",
                )
            if part.type.is_dense_vector:
                # The parser flattens nested lists silently.
                if type(value) is not simdjson.Array or text_of(value).count("[") != 1:
                    self._check_vector(part, value)
                self.brackets += 1
            elif is_json_array(value) or is_json_object(value):
                raise DataError(
                    f"expected {part.type.value}, got {json_type(value)}", field=part.name, value=text_of(value)
                )
            add(value)

    def _check_keys(self, position: int, keys: list[str]) -> None:
        seen: set[str] = set()
        for key in keys:
            if key not in self._keys or key in seen:
                raise DataError(
                    f"unexpected field in StructArray element: {key}",
                    field=self._field.name,
                    value=key,
                    remedy=self._remedy,
                )
            seen.add(key)
        missing = [key for key in self._keys if key not in seen]
        if missing:
            raise DataError(
                f"inconsistent field count in StructArray element: position={position}, "
                f"{', '.join(missing)} is missing",
                field=self._field.name,
                remedy=self._remedy,
            )

    @staticmethod
    def _check_vector(part: Field, value: Any) -> None:
        if is_json_array(value):
            check_flat(part, value)

    def take(self) -> pa.Array[Any]:
        lengths, self._lengths = self._lengths, []
        offsets = np.zeros(len(lengths) + 1, np.int32)
        np.cumsum([count or 0 for count in lengths], out=offsets[1:])
        columns: list[Any] = []
        errors: list[DataError] = []
        for part in self._parts:
            try:
                columns.append(part.take())
            except DataError as error:
                row = None if error.row is None else int(np.searchsorted(offsets, error.row, side="right")) - 1
                errors.append(error.at(row=row))
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

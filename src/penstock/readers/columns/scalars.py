"""Column builders for scalars, arrays and JSON, filled row by row from JSON values.

A scalar column only collects values; types, ranges and lengths are checked for a whole batch at once when the column
is taken, and the first bad row is looked for only when that fails. Errors carry the row in the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.domain.arrow_schema import canonical_type
from penstock.domain.schema import INTEGER_RANGES, DataType, Field
from penstock.errors import DataError
from penstock.readers.columns.json_values import (
    MAX_JSON_BYTES,
    JsonParser,
    is_json_array,
    json_type,
    plain_number,
    text_of,
)

__all__ = [
    "EXACT_IN_DOUBLE",
    "INTEGER_TYPES",
    "ArrayColumn",
    "Column",
    "JsonColumn",
    "ScalarColumn",
    "check_floats",
    "check_lengths",
    "first_bad_row",
    "not_whole_error",
    "null_error",
    "to_float32",
]


EXACT_IN_DOUBLE = 2**53
"""Below this, a double represents every whole number exactly."""


class Column(Protocol):
    """Builder of one column."""

    @property
    def add(self) -> Callable[[Any], None]:
        """Append one JSON value; None means null (or the default). Raises DataError without a row."""
        ...

    def take(self) -> pa.Array[Any]:
        """Return the rows since the last call, in canonical type. Raises DataError with the row in the batch."""
        ...


def null_error(field: Field, row: int | None = None) -> DataError:
    return DataError(
        "the field is not nullable but the value is null",
        row=row,
        field=field.name,
        remedy="Give a value, or make the field nullable or give it a default",
    )


Made = TypeVar("Made")


def first_bad_row(make: Callable[[int, int], Made], rows: int) -> Made:
    """Return ``make(0, rows)``; if that raises, raise the error of the first bad row, checked alone.

    Each rule is checked over many rows before the next, so the first error needn't be that of the first bad row.
    ``make`` takes the rows from its first argument up to its second and raises DataError with a row among these.
    """
    try:
        return make(0, rows)
    except DataError as error:
        row = error.row or 0
        if row:
            first_bad_row(make, row)
        try:
            make(row, row + 1)
        except DataError as row_error:
            raise row_error.at(row=row) from None
        raise


def check_lengths(field: Field, strings: Any, row_of: Callable[[int], int] = int) -> None:
    """Raise for the first string of an Arrow array that has more than ``max_length`` UTF-8 bytes."""
    if field.max_length is None:
        return
    lengths: Any = pc.binary_length(strings)
    longest = pc.max(lengths).as_py()
    if longest is not None and longest > field.max_length:
        position = int(np.argmax(pc.fill_null(lengths, 0).to_numpy() > field.max_length))
        raise DataError(
            f"value length({lengths[position].as_py()}) exceeds max_length({field.max_length}), in UTF-8 bytes",
            row=row_of(position),
            field=field.name,
            value=strings[position].as_py(),
        )


def check_floats(field: Field, doubles: np.ndarray[Any, Any], row_of: Callable[[int], int] = int) -> None:
    """Raise for the first value that is NaN, infinite, or infinite once narrowed to the field's type."""
    kind = field.element_type or field.type
    wrong = ~np.isfinite(doubles)
    if kind is DataType.FLOAT:
        # The usual decimal form of the largest float32, 3.4028235e+38, is larger than it as a double.
        wrong |= np.isinf(to_float32(doubles))
    if wrong.any():
        position = int(np.argmax(wrong))
        number = float(doubles[position])
        finite = np.isfinite(number)
        rule = f"out of range for {kind.value}" if finite else f"value '{number}' is not a number or infinity"
        raise DataError(rule, row=row_of(position), field=field.name, value=number if finite else None)


def to_float32(doubles: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Narrow doubles to float32; values beyond its range become infinite."""
    with np.errstate(over="ignore"):
        return doubles.astype(np.float32)


class ScalarColumn:
    """Build Bool, number and VarChar columns. ``add`` is the list's own append: the cheapest call possible."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._values: list[Any] = []
        self.add: Callable[[Any], None] = self._values.append

    def take(self) -> pa.Array[Any]:
        # Cleared in place: `add` is bound to this list.
        values = self._values.copy()
        self._values.clear()
        return first_bad_row(lambda start, stop: self._to_arrow(values[start:stop]), len(values))

    def _to_arrow(self, values: list[Any]) -> pa.Array[Any]:
        if any(value is None for value in values):
            values = _fill_nulls(self._field, values)
        return scalars_to_arrow(self._field, self._field.type, values)


def _fill_nulls(field: Field, values: list[Any]) -> list[Any]:
    if field.default is not None:
        return [field.default if value is None else value for value in values]
    if not field.nullable:
        raise null_error(field, values.index(None))
    return values


_JSON_TYPES: dict[DataType, frozenset[type]] = {
    DataType.BOOL: frozenset({bool}),
    DataType.FLOAT: frozenset({int, float}),
    DataType.DOUBLE: frozenset({int, float}),
    DataType.VARCHAR: frozenset({str}),
}
_INT_TYPES = frozenset({int})

INTEGER_TYPES: dict[DataType, pa.DataType] = {
    DataType.INT8: pa.int8(),
    DataType.INT16: pa.int16(),
    DataType.INT32: pa.int32(),
    DataType.INT64: pa.int64(),
}


def scalars_to_arrow(
    field: Field,
    kind: DataType,
    values: Sequence[Any],
    row_of: Callable[[int], int] = int,
) -> pa.Array[Any]:
    """Convert Python scalars (None for null) to Arrow of one scalar type, checking every value."""
    allowed = _JSON_TYPES.get(kind, _INT_TYPES)
    types = set(map(type, values))
    if not types <= allowed | {type(None)}:
        values = [plain_number(value) for value in values]
        if kind.is_integer:
            values = [_whole(value) if type(value) is float else value for value in values]
        _check_types(field, kind, values, allowed, row_of)
    if kind is DataType.VARCHAR:
        strings = pa.array(values, pa.string())
        check_lengths(field, strings, row_of)
        return strings
    if kind is DataType.BOOL:
        return pa.array(values, pa.bool_())
    if kind.is_integer:
        return _integers(field, kind, values, row_of)
    return _floats(field, kind, values, row_of)


def _check_types(
    field: Field, kind: DataType, values: Sequence[Any], allowed: frozenset[type], row_of: Callable[[int], int]
) -> None:
    for position, value in enumerate(values):
        if value is None or type(value) in allowed:
            continue
        if kind.is_integer and type(value) is float:
            raise not_whole_error(field, kind, value, row_of(position))
        raise DataError(
            f"expected {kind.value}, got {json_type(value)}",
            row=row_of(position),
            field=field.name,
            value=text_of(value),
        )


def _whole(number: float) -> int | float:
    """Convert ``5.0`` to 5; leave other numbers, also those so large that a double skips whole numbers."""
    return int(number) if abs(number) < EXACT_IN_DOUBLE and number.is_integer() else number


def not_whole_error(field: Field, kind: DataType, number: float, row: int | None = None) -> DataError:
    """Error for a number with a fraction or exponent that is no value of the integer type ``kind``."""
    low, high = INTEGER_RANGES[kind]
    if not math.isfinite(number):
        rule, remedy = f"value '{number}' is not a number or infinity", None
    elif not number.is_integer():
        rule, remedy = f"{number} is not a whole number", "Round it, or use a Float or Double field"
    elif not low <= number <= high:
        rule, remedy = f"out of range for {kind.value} ({low} to {high})", None
    else:
        rule = "with a fraction or exponent a number is exact below 2^53 only"
        remedy = "Write whole numbers of this size with digits only"
    return DataError(rule, row=row, field=field.name, value=str(number), remedy=remedy)


def _integers(field: Field, kind: DataType, values: Sequence[Any], row_of: Callable[[int], int]) -> pa.Array[Any]:
    try:
        return pa.array(values, INTEGER_TYPES[kind])
    except (pa.ArrowInvalid, OverflowError):
        low, high = INTEGER_RANGES[kind]
        position = next(i for i, value in enumerate(values) if value is not None and not low <= value <= high)
        raise DataError(
            f"out of range for {kind.value} ({low} to {high})",
            row=row_of(position),
            field=field.name,
            value=values[position],
        ) from None


def _floats(field: Field, kind: DataType, values: Sequence[Any], row_of: Callable[[int], int]) -> pa.Array[Any]:
    mask = np.fromiter((value is None for value in values), bool, len(values))
    try:
        doubles = np.array([0.0 if value is None else value for value in values], dtype=np.float64)
    except OverflowError:  # an integer of more than 308 digits
        doubles = np.array([_as_double(value) for value in values])
    check_floats(field, doubles, row_of)
    numbers = to_float32(doubles) if kind is DataType.FLOAT else doubles
    return pa.array(numbers, mask=mask if mask.any() else None)


def _as_double(value: int | float | None) -> float:
    try:
        return float(value or 0)
    except OverflowError:
        return float("inf")


class ArrayColumn:
    """Build array columns: a flat list of elements and the number of elements per row."""

    def __init__(self, field: Field) -> None:
        assert field.element_type is not None
        assert field.max_capacity is not None
        self._field = field
        self._capacity: int = field.max_capacity
        self._kind = field.element_type
        self._elements: list[Any] = []
        self._lengths: list[int | None] = []

    def add(self, value: Any) -> None:
        if value is None:
            if not self._field.nullable:
                raise null_error(self._field)
            self._lengths.append(None)
            return
        if not is_json_array(value):
            raise DataError(
                f"expected an array, got {json_type(value)}", field=self._field.name, value=text_of(value)
            )
        count = len(value)
        if count > self._capacity:
            raise DataError(f"array capacity({count}) exceeds max_capacity({self._capacity})", field=self._field.name)
        # Proxies must not outlive the row, so inner arrays and objects are refused here.
        elements = list(value)
        for element in elements:
            if element is None:
                raise DataError("array element is not allowed to be null value", field=self._field.name)
            if json_type(element) in ("array", "object"):
                raise DataError(
                    f"expected {self._kind.value} elements, got {json_type(element)}",
                    field=self._field.name,
                    value=text_of(element),
                )
        self._elements.extend(elements)
        self._lengths.append(count)

    def take(self) -> pa.Array[Any]:
        elements, lengths = self._elements, self._lengths
        self._elements, self._lengths = [], []
        offsets = np.zeros(len(lengths) + 1, np.int32)
        np.cumsum([count or 0 for count in lengths], out=offsets[1:])

        def flat_of(start: int, stop: int) -> pa.Array[Any]:
            first, last = offsets[start], offsets[stop]
            return scalars_to_arrow(
                self._field,
                self._kind,
                elements[first:last],
                lambda i: int(np.searchsorted(offsets, i + first, side="right")) - 1 - start,
            )

        flat = first_bad_row(flat_of, len(lengths))
        mask = np.array([count is None for count in lengths], bool)
        starts: Any = pa.array(offsets)
        nulls: Any = pa.array(mask) if mask.any() else None
        array: pa.Array[Any] = pa.ListArray.from_arrays(starts, flat, type=canonical_type(self._field), mask=nulls)
        return array


class JsonColumn:
    """Build JSON columns as text, from any JSON value or a string that holds JSON text."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._texts: list[str | None] = []
        # A parser of its own: the row's values are proxies into the row's parser.
        self._inner = JsonParser()

    def add(self, value: Any) -> None:
        text: str | None
        if value is None:
            text = None
        elif type(value) is str:
            text = self._checked(value)
        else:
            text = text_of(value)
        if text is None and not self._field.nullable:
            raise null_error(self._field)
        self._texts.append(text)

    def _checked(self, text: str) -> str | None:
        if len(text) > MAX_JSON_BYTES:
            raise DataError(
                f"the JSON text has more than {MAX_JSON_BYTES} bytes, the limit",
                field=self._field.name,
                value=text,
                remedy="Store the large part elsewhere, or split it over several fields",
            )
        try:
            self._inner.parse(text.encode())
        except DataError as error:
            raise DataError(
                f"the string does not hold JSON text ({error.rule})",
                field=self._field.name,
                value=text,
                remedy="Give the JSON value itself, or a string that holds JSON",
            ) from None
        # Writers write a null of a nullable field as the text null.
        return None if self._field.nullable and text.strip() == "null" else text

    def take(self) -> pa.Array[Any]:
        texts, self._texts = self._texts, []
        return pa.array(texts, pa.string())

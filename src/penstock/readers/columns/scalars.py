"""Column builders for scalars, arrays and JSON, filled row by row from JSON values.

A scalar column only collects values; types, ranges and lengths are checked for a whole batch at once when the column
is taken, and the first bad row is looked for only when that fails. Errors carry the row in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa

from penstock.domain.arrow_schema import canonical_type
from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.readers.columns.json_values import is_json_array, is_json_object, json_type, plain_number, text_of
from penstock.rules.forms import FORMS, type_error
from penstock.rules.geometries import wkt_of_texts
from penstock.rules.json_texts import check_json_texts
from penstock.rules.numbers import (
    WHOLE_RANGES,
    first_not_finite,
    float_error,
    integer_error,
    to_float32,
    whole_number,
)
from penstock.rules.rule import WarningSink
from penstock.rules.table import ARRAY_CAPACITY, NO_NULL_ELEMENTS, NOT_NULL
from penstock.rules.texts import check_lengths
from penstock.rules.times import micros_of_texts


class Column(Protocol):
    """Builder of one column."""

    @property
    def add(self) -> Callable[[Any], None]:
        """Append one JSON value; None means null (or the default). Raises DataError without a row."""
        ...

    def take(self) -> pa.Array[Any]:
        """Return the rows since the last call, in canonical type. Raises DataError with the row in the batch."""
        ...


def json_type_error(field: Field, value: Any, noun: str = "value") -> DataError:
    """Error for a JSON value of a kind that the field doesn't take."""
    return type_error(field, json_type(value), FORMS[field.type].json, noun=noun, value=text_of(value))


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


def check_floats(field: Field, doubles: np.ndarray[Any, Any], row_of: Callable[[int], int] = int) -> Any:
    """Narrow doubles to the field's type; raises for the first that is NaN or infinite then."""
    # The usual decimal form of the largest float32, 3.4028235e+38, is larger than it as a double.
    is_float32 = (field.element_type or field.type) is DataType.FLOAT
    numbers: np.ndarray[Any, Any] = to_float32(doubles) if is_float32 else doubles
    position = first_not_finite(numbers)
    if position is not None:
        raise float_error(field, float(doubles[position]), row=row_of(position))
    return numbers


class ScalarColumn:
    """Build columns of scalars other than JSON. ``add`` is the list's own append: the cheapest call possible."""

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
        if self._field.type is DataType.TIMESTAMPTZ and self._field.default is not None:
            # The default is stored, the values are text.
            times: Any = scalars_to_arrow(self._field, values)
            filled: pa.Array[Any] = times.fill_null(self._field.default)
            return filled
        if None in values:
            values = _fill_nulls(self._field, values)
        return scalars_to_arrow(self._field, values)


def _fill_nulls(field: Field, values: list[Any]) -> list[Any]:
    if field.default is not None:
        return [field.default if value is None else value for value in values]
    if not field.nullable:
        raise NOT_NULL.error(field, row=values.index(None))
    return values


_JSON_TYPES: dict[DataType, frozenset[type]] = {
    DataType.BOOL: frozenset({bool}),
    DataType.FLOAT: frozenset({int, float}),
    DataType.DOUBLE: frozenset({int, float}),
    DataType.VARCHAR: frozenset({str}),
    DataType.TEXT: frozenset({str}),
    DataType.TIMESTAMPTZ: frozenset({str}),
    DataType.GEOMETRY: frozenset({str}),
}
_INT_TYPES = frozenset({int})

INTEGER_TYPES: dict[DataType, pa.DataType] = {
    DataType.INT8: pa.int8(),
    DataType.INT16: pa.int16(),
    DataType.INT32: pa.int32(),
    DataType.INT64: pa.int64(),
}


def scalars_to_arrow(field: Field, values: Sequence[Any], row_of: Callable[[int], int] = int) -> pa.Array[Any]:
    """Convert Python scalars (None for null) to Arrow, checking every value."""
    kind = field.type
    allowed = _JSON_TYPES.get(kind, _INT_TYPES)
    types = set(map(type, values))
    if not types <= allowed | {type(None)}:
        values = [_checked(field, value, allowed, row_of(at)) for at, value in enumerate(values)]
    if kind.is_text:
        strings = pa.array(values, pa.string())
        check_lengths(field, strings, row_of)
        return strings
    if kind is DataType.TIMESTAMPTZ:
        times: pa.Array[Any] = micros_of_texts(pa.array(values, pa.string()), field, row_of)
        return times
    if kind is DataType.GEOMETRY:
        geometries: pa.Array[Any] = wkt_of_texts(pa.array(values, pa.string()), field, row_of)
        return geometries
    if kind is DataType.BOOL:
        return pa.array(values, pa.bool_())
    if kind.is_integer:
        return _integers(field, values, row_of)
    return _floats(field, values, row_of, has_nulls=type(None) in types)


def _checked(field: Field, value: Any, allowed: frozenset[type], row: int) -> Any:
    """Convert a value whose JSON type may not be that of the field: ``5.0`` to 5, numbers beyond 64 bits."""
    value = plain_number(value)
    if value is None or type(value) in allowed:
        return value
    if field.type.is_integer and type(value) is float:
        try:
            return whole_number(field, value)
        except DataError as error:
            raise error.at(row=row) from None
    raise json_type_error(field, value).at(row=row)


def _integers(field: Field, values: Sequence[Any], row_of: Callable[[int], int]) -> pa.Array[Any]:
    try:
        return pa.array(values, INTEGER_TYPES[field.type])
    except (pa.ArrowInvalid, OverflowError):
        low, high = WHOLE_RANGES[field.type]
        position = next(i for i, value in enumerate(values) if value is not None and not low <= value <= high)
        raise integer_error(field, values[position], row=row_of(position)) from None


def _floats(field: Field, values: Sequence[Any], row_of: Callable[[int], int], *, has_nulls: bool) -> pa.Array[Any]:
    mask: Any = None
    if has_nulls:
        mask = np.array([value is None for value in values])
        values = [0.0 if value is None else value for value in values]
    try:
        doubles = np.array(values, dtype=np.float64)
    except OverflowError:  # an integer of more than 308 digits
        doubles = np.array([to_double(value) for value in values])
    numbers = check_floats(field, doubles, row_of)
    array: pa.Array[Any] = pa.array(numbers, mask=mask)
    return array


def to_double(value: int | float) -> float:
    """Convert a number of any size; beyond a double's range to infinity."""
    try:
        return float(value)
    except OverflowError:
        return float("inf")


class ArrayColumn:
    """Build array columns: a flat list of elements and the number of elements per row."""

    def __init__(self, field: Field) -> None:
        assert field.element_type is not None
        assert field.max_capacity is not None
        self._field = field
        self._capacity: int = field.max_capacity
        self._element = Field(name=field.name, type=field.element_type, max_length=field.max_length)
        self._elements: list[Any] = []
        self._lengths: list[int | None] = []

    def add(self, value: Any) -> None:
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
        # Proxies must not outlive the row, so inner arrays and objects are refused here.
        elements = list(value)
        for element in elements:
            if element is None:
                raise NO_NULL_ELEMENTS.error(self._field)
            if is_json_array(element) or is_json_object(element):
                raise json_type_error(self._element, element, "element")
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
                self._element,
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
    """Build JSON columns as text, from any JSON value or a string that holds JSON text.

    ``note`` is called for values that the store rounds.
    """

    def __init__(self, field: Field, note: WarningSink) -> None:
        self._field = field
        self._note = note
        self._texts: list[str | None] = []

    def add(self, value: Any) -> None:
        if value is None and not self._field.nullable:
            raise NOT_NULL.error(self._field)
        self._texts.append(value if value is None or type(value) is str else text_of(value))

    def take(self) -> pa.Array[Any]:
        texts, self._texts = self._texts, []
        column = pa.array(texts, pa.string())
        checked: pa.Array[Any] = first_bad_row(
            lambda start, stop: check_json_texts(column.slice(start, stop - start), self._field, self._note),
            len(texts),
        )
        return checked

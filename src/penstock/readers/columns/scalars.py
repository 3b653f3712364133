"""Column builders for scalars, arrays and JSON, filled row by row from JSON values.

A scalar column only collects values; types, ranges and lengths are checked for a whole batch at once when the column
is taken, and the first bad row is looked for only when that fails. Errors carry the row in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from penstock.domain.arrow_schema import canonical_type
from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.readers.columns.json_values import is_json_array, is_json_object, json_type, plain_number, text_of
from penstock.rules.bad_rows import BadRows, Rows, build_column, select, take_rows
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
from penstock.rules.violations import each, first_refused, refuse, violation


class Column(Protocol):
    """Builder of one column."""

    @property
    def add(self) -> Callable[[Any], None]:
        """Append one JSON value; None means null (or the default). Raises DataError without a row."""
        ...

    def truncate(self, rows: int) -> None:
        """Keep the first rows since the last :meth:`take` only: a row that was refused may be there in part."""
        ...

    def take(self, bad: BadRows | None = None) -> pa.Array[Any]:
        """Return the rows since the last call, in canonical type.

        Rows that break a rule are added to ``bad``, and hold any value in the column. Raises DataError with the row
        in the batch if ``bad`` is None.
        """
        ...


def json_type_error(field: Field, value: Any, noun: str = "value") -> DataError:
    """Error for a JSON value of a kind that the field doesn't take."""
    return type_error(field, json_type(value), FORMS[field.type].json, noun=noun, value=text_of(value))


def check_floats(
    field: Field,
    doubles: np.ndarray[Any, Any],
    error_of: Callable[[int], DataError] | None = None,
    row_of: Callable[[int], int] = int,
) -> Any:
    """Narrow doubles to the field's type; raises ``error_of`` for the first that is NaN or infinite then."""
    # The usual decimal form of the largest float32, 3.4028235e+38, is larger than it as a double.
    is_float32 = (field.element_type or field.type) is DataType.FLOAT
    numbers: np.ndarray[Any, Any] = to_float32(doubles) if is_float32 else doubles
    position = first_not_finite(numbers)
    if position is not None:
        errors_of = each(error_of or (lambda place: float_error(field, float(doubles[place]))))
        raise violation(position, errors_of, lambda: np.flatnonzero(~np.isfinite(numbers)), row_of)
    return numbers


class ScalarColumn:
    """Build columns of scalars other than JSON. ``add`` is the list's own append: the cheapest call possible."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._values: list[Any] = []
        self.add: Callable[[Any], None] = self._values.append

    def truncate(self, rows: int) -> None:
        del self._values[rows:]

    def take(self, bad: BadRows | None = None) -> pa.Array[Any]:
        # Cleared in place: `add` is bound to this list.
        values = self._values.copy()
        self._values.clear()
        column: pa.Array[Any] = build_column(lambda rows: self._to_arrow(select(values, rows)), len(values), bad)
        return column

    def _to_arrow(self, values: Sequence[Any]) -> pa.Array[Any]:
        if self._field.type is DataType.TIMESTAMPTZ and self._field.default is not None:
            # The default is stored, the values are text.
            times: Any = scalars_to_arrow(self._field, values)
            filled: pa.Array[Any] = times.fill_null(self._field.default)
            return filled
        if None in values:
            values = _fill_nulls(self._field, values)
        return scalars_to_arrow(self._field, values)


def _fill_nulls(field: Field, values: Sequence[Any]) -> Sequence[Any]:
    if field.default is not None:
        return [field.default if value is None else value for value in values]
    if not field.nullable:
        refuse(np.array([value is None for value in values]), each(lambda _: NOT_NULL.error(field)))
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
        values = _checked_values(field, values, allowed, row_of)
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


def _checked_values(
    field: Field, values: Sequence[Any], allowed: frozenset[type], row_of: Callable[[int], int]
) -> Sequence[Any]:
    checked = []
    for at, value in enumerate(values):
        try:
            checked.append(_checked(field, value, allowed))
        except DataError:
            raise first_refused(
                at, lambda place: _checked(field, values[place], allowed), lambda: range(len(values)), row_of
            ) from None
    return checked


def _checked(field: Field, value: Any, allowed: frozenset[type]) -> Any:
    """Convert a value whose JSON type may not be that of the field: ``5.0`` to 5, numbers beyond 64 bits."""
    value = plain_number(value)
    if value is None or type(value) in allowed:
        return value
    if field.type.is_integer and type(value) is float:
        return whole_number(field, value)
    raise json_type_error(field, value)


def _integers(field: Field, values: Sequence[Any], row_of: Callable[[int], int]) -> pa.Array[Any]:
    try:
        return pa.array(values, INTEGER_TYPES[field.type])
    except (pa.ArrowInvalid, OverflowError):
        low, high = WHOLE_RANGES[field.type]
        wrong = np.array([at for at, value in enumerate(values) if value is not None and not low <= value <= high])
        raise violation(
            int(wrong[0]), each(lambda place: integer_error(field, values[place])), lambda: wrong, row_of
        ) from None


def _floats(field: Field, values: Sequence[Any], row_of: Callable[[int], int], *, has_nulls: bool) -> pa.Array[Any]:
    mask: Any = None
    if has_nulls:
        mask = np.array([value is None for value in values])
        values = [0.0 if value is None else value for value in values]
    try:
        doubles = np.array(values, dtype=np.float64)
    except OverflowError:  # an integer of more than 308 digits
        doubles = np.array([to_double(value) for value in values])
    numbers = check_floats(field, doubles, row_of=row_of)
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

    def truncate(self, rows: int) -> None:
        del self._lengths[rows:]
        del self._elements[sum(count or 0 for count in self._lengths) :]

    def take(self, bad: BadRows | None = None) -> pa.Array[Any]:
        elements, lengths = self._elements, self._lengths
        self._elements, self._lengths = [], []
        offsets = _offsets_of(lengths)

        def column(rows: Rows) -> pa.Array[Any]:
            if len(rows) == len(lengths):
                return self._to_arrow(elements, lengths, offsets)
            picked = [elements[at] for row in rows.tolist() for at in range(offsets[row], offsets[row + 1])]
            counts = select(lengths, rows)
            return self._to_arrow(picked, counts, _offsets_of(counts))

        array: pa.Array[Any] = build_column(column, len(lengths), bad)
        return array

    def _to_arrow(self, elements: Sequence[Any], lengths: Sequence[int | None], offsets: Any) -> pa.Array[Any]:
        flat = scalars_to_arrow(
            self._element, elements, lambda place: int(np.searchsorted(offsets, place, side="right")) - 1
        )
        mask = np.array([count is None for count in lengths], bool)
        starts: Any = pa.array(offsets)
        nulls: Any = pa.array(mask) if mask.any() else None
        array: pa.Array[Any] = pa.ListArray.from_arrays(starts, flat, type=canonical_type(self._field), mask=nulls)
        return array


def _offsets_of(lengths: Sequence[int | None]) -> Any:
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum([count or 0 for count in lengths], out=offsets[1:])
    return offsets


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

    def truncate(self, rows: int) -> None:
        del self._texts[rows:]

    def take(self, bad: BadRows | None = None) -> pa.Array[Any]:
        texts, self._texts = self._texts, []
        column = pa.array(texts, pa.string())
        checked: pa.Array[Any] = build_column(
            lambda rows: check_json_texts(take_rows(column, rows), self._field, self._note), len(texts), bad
        )
        return checked

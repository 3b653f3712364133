"""Column builders for vectors, filled row by row from JSON values.

Dense vectors are copied from the parser's buffer straight into the batch's matrix, without Python numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import simdjson

from penstock.domain.arrow_schema import canonical_type
from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.readers.columns.json_values import is_json_array, is_json_object, json_type, plain_number, text_of
from penstock.readers.columns.scalars import json_type_error, to_double
from penstock.rules.bad_rows import BadRows, Rows, build_column, select
from penstock.rules.numbers import EXACT_IN_DOUBLE, WHOLE_RANGES, first_not_finite, float_error, integer_error
from penstock.rules.sparse import (
    check_sparse_lengths,
    indices_of_keys,
    indices_of_numbers,
    sparse_column,
    weights_of_numbers,
)
from penstock.rules.table import NO_NULL_ELEMENTS, NOT_NULL, VECTOR_BYTES, VECTOR_DIM, VECTOR_FLAT

_STORED: dict[DataType, npt.DTypeLike] = {
    DataType.FLOAT_VECTOR: np.float32,
    DataType.FLOAT16_VECTOR: np.float16,
    DataType.BFLOAT16_VECTOR: np.float32,
    DataType.INT8_VECTOR: np.int8,
    DataType.BINARY_VECTOR: np.uint8,
}


_NUMBER_TYPES = frozenset({int, float})


def check_flat(field: Field, value: Any) -> None:
    """Raise when an array holds arrays: simdjson flattens them silently."""
    if _NUMBER_TYPES.issuperset(map(type, value)):
        return
    for position, element in enumerate(value):
        if is_json_array(element) or is_json_object(element):
            raise _element_error(field, element, position)


def _element_error(field: Field, element: Any, position: int) -> DataError:
    """Error for an element that is not a number, or not one of the field's elements."""
    number = plain_number(element)
    if type(number) in _NUMBER_TYPES and field.type in WHOLE_RANGES:
        return integer_error(field, number, position=position)
    if element is None:
        return NO_NULL_ELEMENTS.error(field)
    return VECTOR_FLAT.error(field, value=text_of(element), position=position, actual=json_type(element))


def _to_floats(field: Field, value: Any) -> npt.NDArray[np.float64]:
    """Convert a JSON array of numbers one by one: for the first that is none, and for rows of the exact parser."""
    numbers = []
    for position, element in enumerate(value):
        number = plain_number(element)
        if type(number) not in _NUMBER_TYPES:
            raise _element_error(field, element, position)
        numbers.append(to_double(number))
    return np.array(numbers, np.float64)


def _to_integers(field: Field, value: Any) -> npt.NDArray[np.int64]:
    """Convert a JSON array of whole numbers; some may be written with a fraction or exponent."""
    try:
        if type(value) is simdjson.Array:
            return np.frombuffer(value.as_buffer(of_type="i"), np.int64)
    except (TypeError, ValueError, RuntimeError):
        pass
    numbers = []
    for position, element in enumerate(value):
        number = plain_number(element)
        if type(number) is float and abs(number) < EXACT_IN_DOUBLE and number.is_integer():
            number = int(number)
        if type(number) is not int or not -(2**63) <= number < 2**63:
            raise _element_error(field, element, position)
        numbers.append(number)
    return np.array(numbers, np.int64)


class DenseColumn:
    """Build dense vector columns: a matrix of ``rows`` by the field's width, doubled when it is full."""

    def __init__(self, field: Field, rows: int) -> None:
        self._field = field
        self._width = field.width
        self._capacity = rows
        self._range = WHOLE_RANGES.get(field.type)
        self._count = 0
        self._nulls: list[int] = []
        self._matrix = self._allocate(rows)

    def _allocate(self, rows: int) -> npt.NDArray[Any]:
        return np.empty((rows, self._width), _STORED[self._field.type])

    def add(self, value: Any) -> None:
        count = self._count
        if count == len(self._matrix):
            larger = self._allocate(2 * count)
            larger[:count] = self._matrix
            self._matrix = larger
        if value is None:
            self._add_null()
            return
        if type(value) is simdjson.Array and self._range is None:
            try:
                numbers = np.frombuffer(value.as_buffer(of_type="d"))
            except (TypeError, ValueError, RuntimeError):
                numbers = _to_floats(self._field, value)
        else:
            numbers = self._numbers(value)
        if len(numbers) != self._width or len(value) != self._width:
            raise self._length_error(value)
        self._matrix[count] = numbers
        self._count += 1

    def _add_null(self) -> None:
        if not self._field.nullable:
            raise NOT_NULL.error(self._field)
        self._nulls.append(self._count)
        self._matrix[self._count] = 0
        self._count += 1

    def _numbers(self, value: Any) -> npt.NDArray[Any]:
        field = self._field
        if not is_json_array(value):
            raise json_type_error(field, value)
        if self._range is None:
            return _to_floats(field, value)
        numbers = _to_integers(field, value)
        low, high = self._range
        wrong = (numbers < low) | (numbers > high)
        if wrong.any():
            position = int(np.argmax(wrong))
            raise integer_error(field, int(numbers[position]), position=position)
        return numbers

    def _length_error(self, value: Any) -> DataError:
        field = self._field
        check_flat(field, value)
        if field.type is DataType.BINARY_VECTOR:
            return VECTOR_BYTES.error(field, count=len(value), needed=field.width)
        return VECTOR_DIM.error(field, count=len(value))

    def truncate(self, rows: int) -> None:
        self._count = min(self._count, rows)
        self._nulls = [row for row in self._nulls if row < rows]

    def take(self, bad: BadRows | None = None) -> pa.Array[Any]:
        matrix = self._matrix[: self._count]
        mask = np.zeros(self._count, bool)
        mask[self._nulls] = True
        self._count, self._nulls = 0, []
        self._matrix = self._allocate(self._capacity)
        if matrix.dtype.kind == "f":
            matrix = self._rounded(matrix, bad)
        vectors: pa.Array[Any] = pa.FixedSizeListArray.from_arrays(
            pa.array(matrix.reshape(-1)),
            type=cast(Any, canonical_type(self._field)),
            mask=cast(Any, pa.array(mask)) if mask.any() else None,
        )
        return vectors

    def _rounded(self, matrix: npt.NDArray[Any], bad: BadRows | None) -> npt.NDArray[Any]:
        if self._field.type is DataType.BFLOAT16_VECTOR:
            matrix = matrix.astype(ml_dtypes.bfloat16).astype(np.float32)
        at = first_not_finite(matrix.reshape(-1))
        if at is None:
            return matrix
        if bad is None:
            row, position = divmod(at, self._width)
            raise float_error(self._field, None, row=row, position=position)
        finite = np.isfinite(matrix)
        for row in np.flatnonzero(~finite.all(axis=1)).tolist():
            position = int(np.argmin(finite[row]))
            bad.add(row, float_error(self._field, None, row=row, position=position))
            matrix[row] = 0
        return matrix


class SparseColumn:
    """Build sparse vector columns from ``{"indices": […], "values": […]}`` or ``{"7": 0.5, …}`` in any order."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._indices: list[npt.NDArray[Any]] = []
        self._values: list[npt.NDArray[Any]] = []
        self._nulls: list[int] = []

    def add(self, value: Any) -> None:
        if value is None:
            if not self._field.nullable:
                raise NOT_NULL.error(self._field)
            self._nulls.append(len(self._indices))
            indices, values = np.empty(0, np.int64), np.empty(0)
        elif not is_json_object(value):
            raise json_type_error(self._field, value)
        else:
            indices, values = self._pairs(value)
        self._indices.append(indices)
        self._values.append(values)

    def _pairs(self, value: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        field = self._field
        keys = list(value)
        if len(keys) == 2 and set(keys) == {"indices", "values"}:
            lists = value["indices"], value["values"]
            if not all(map(is_json_array, lists)):
                raise json_type_error(field, value)
            # As Python values: the parser's own buffer would flatten nested lists silently.
            indices = indices_of_numbers(field, _json_numbers(lists[0]))
            values = weights_of_numbers(field, _json_numbers(lists[1]))
            check_sparse_lengths(field, len(indices), len(values))
            return indices, values
        return indices_of_keys(field, keys), weights_of_numbers(field, _json_numbers(value.values()))

    def truncate(self, rows: int) -> None:
        del self._indices[rows:], self._values[rows:]
        self._nulls = [row for row in self._nulls if row < rows]

    def take(self, bad: BadRows | None = None) -> pa.Array[Any]:
        indices, values, nulls = self._indices, self._values, self._nulls
        self._indices, self._values, self._nulls = [], [], []
        valid = np.ones(len(indices), np.bool_)
        valid[nulls] = False

        def column(rows: Rows) -> pa.Array[Any]:
            places = select(indices, rows)
            built: pa.Array[Any] = sparse_column(
                self._field,
                np.concatenate([np.empty(0, np.int64), *places]),
                np.concatenate([np.empty(0), *select(values, rows)]),
                np.fromiter(map(len, places), np.int64),
                valid[rows] if nulls else None,
            )
            return built

        array: pa.Array[Any] = build_column(column, len(indices), bad)
        return array


def _json_numbers(elements: Iterable[Any]) -> list[Any]:
    """List JSON values: numbers beyond 64 bits as Python's, those that are none as JSON text."""
    values = list(elements)
    if set(map(type, values)) <= _NUMBER_TYPES:
        return values
    numbers = [plain_number(value) for value in values]
    return [number if type(number) in _NUMBER_TYPES else text_of(number) for number in numbers]

"""Column builders for vectors, filled row by row from JSON values.

Dense vectors are copied from the parser's buffer straight into the batch's matrix, without Python numbers.
"""

from __future__ import annotations

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
from penstock.readers.columns.scalars import first_bad_row, json_type_error, to_double
from penstock.rules.numbers import EXACT_IN_DOUBLE, WHOLE_RANGES, first_not_finite, float_error, integer_error
from penstock.rules.sparse import check_sparse_lengths, sparse_column, sparse_index
from penstock.rules.table import (
    MAX_SPARSE_INDEX,
    NO_NULL_ELEMENTS,
    NOT_NULL,
    SPARSE_INDEX,
    SPARSE_INDEX_RANGE,
    SPARSE_WEIGHT,
    VECTOR_BYTES,
    VECTOR_DIM,
    VECTOR_FLAT,
)

__all__ = ["DenseColumn", "SparseColumn", "check_flat"]

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
    for position, element in enumerate(value):
        if is_json_array(element) or is_json_object(element):
            raise _element_error(field, element, position)


def _element_error(field: Field, element: Any, position: int) -> DataError:
    """Error for an element that is no number, or not one of the field's elements."""
    number = plain_number(element)
    if type(number) in _NUMBER_TYPES and field.type in WHOLE_RANGES:
        return integer_error(field, number, position=position)
    if element is None:
        return NO_NULL_ELEMENTS.error(field)
    return VECTOR_FLAT.error(field, value=text_of(element), position=position, actual=json_type(element))


def _to_floats(field: Field, value: Any) -> npt.NDArray[np.float64]:
    """Convert a JSON array of numbers."""
    try:
        if type(value) is simdjson.Array:
            return np.frombuffer(value.as_buffer(of_type="d"))
    except (TypeError, ValueError, RuntimeError):
        pass
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
            if not self._field.nullable:
                raise NOT_NULL.error(self._field)
            self._nulls.append(count)
            self._matrix[count] = 0
            self._count += 1
            return
        numbers = self._numbers(value)
        if len(numbers) != self._width or len(value) != self._width:
            raise self._length_error(value)
        self._matrix[count] = numbers
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

    def take(self) -> pa.Array[Any]:
        matrix = self._matrix[: self._count]
        mask = np.zeros(self._count, bool)
        mask[self._nulls] = True
        self._count, self._nulls = 0, []
        self._matrix = self._allocate(self._capacity)
        if matrix.dtype.kind == "f":
            matrix = self._rounded(matrix)
        vectors: pa.Array[Any] = pa.FixedSizeListArray.from_arrays(
            pa.array(matrix.reshape(-1)),
            type=cast(Any, canonical_type(self._field)),
            mask=cast(Any, pa.array(mask)) if mask.any() else None,
        )
        return vectors

    def _rounded(self, matrix: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self._field.type is DataType.BFLOAT16_VECTOR:
            matrix = matrix.astype(ml_dtypes.bfloat16).astype(np.float32)
        at = first_not_finite(matrix.reshape(-1))
        if at is not None:
            row, position = divmod(at, self._width)
            raise float_error(self._field, None, row=row, position=position)
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
            indices, values = _indices(field, list(lists[0])), _weights(field, list(lists[1]))
            check_sparse_lengths(field, len(indices), len(values))
            return indices, values
        return _indices_of_keys(field, keys), _weights(field, list(value.values()))

    def take(self) -> pa.Array[Any]:
        indices, values, nulls = self._indices, self._values, self._nulls
        self._indices, self._values, self._nulls = [], [], []
        valid = np.ones(len(indices), np.bool_)
        valid[nulls] = False

        def column(start: int, stop: int) -> pa.Array[Any]:
            built: pa.Array[Any] = sparse_column(
                self._field,
                np.concatenate([np.empty(0, np.int64), *indices[start:stop]]),
                np.concatenate([np.empty(0), *values[start:stop]]),
                np.fromiter(map(len, indices[start:stop]), np.int64),
                valid[start:stop] if nulls else None,
            )
            return built

        return first_bad_row(column, len(indices))


def _indices_of_keys(field: Field, keys: list[str]) -> npt.NDArray[np.int64]:
    digits = "".join(keys)
    if digits.isascii() and digits.isdigit():
        try:
            return np.array(list(map(int, keys)), np.int64)
        except (ValueError, OverflowError):  # an empty key, or one with too many digits
            pass
    return np.array([sparse_index(field, key) for key in keys], np.int64)


def _indices(field: Field, elements: list[Any]) -> npt.NDArray[np.int64]:
    if not set(map(type, elements)) <= {int}:
        elements = [_index(field, element) for element in elements]
    try:
        return np.array(elements, np.int64)
    except OverflowError:
        index = next(element for element in elements if not 0 <= element <= MAX_SPARSE_INDEX)
        raise SPARSE_INDEX_RANGE.error(field, value=index, index=index) from None


def _index(field: Field, element: Any) -> int:
    number = plain_number(element)
    if type(number) is float and number.is_integer():
        return int(number)
    if type(number) is not int:
        text = text_of(element)
        raise SPARSE_INDEX.error(field, value=text, index=text)
    return number


def _weights(field: Field, elements: list[Any]) -> npt.NDArray[np.float64]:
    if not set(map(type, elements)) <= _NUMBER_TYPES:
        for element in elements:
            if type(plain_number(element)) not in _NUMBER_TYPES:
                text = text_of(element)
                raise SPARSE_WEIGHT.error(field, value=text, weight=text)
        elements = [to_double(plain_number(element)) for element in elements]
    return np.array(elements, np.float64)

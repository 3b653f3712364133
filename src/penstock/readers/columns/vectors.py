"""Column builders for vectors, filled row by row from JSON values.

Dense vectors are copied from the parser's buffer straight into the batch's matrix, without Python numbers.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import simdjson

from penstock.domain.arrow_schema import SPARSE, canonical_type
from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.readers.columns.json_values import is_json_array, is_json_object, json_type, plain_number, text_of
from penstock.readers.columns.scalars import EXACT_IN_DOUBLE, null_error

__all__ = ["DenseColumn", "SparseColumn", "check_flat"]

_MAX_SPARSE_INDEX = 2**32 - 2

_STORED: dict[DataType, npt.DTypeLike] = {
    DataType.FLOAT_VECTOR: np.float32,
    DataType.FLOAT16_VECTOR: np.float16,
    DataType.BFLOAT16_VECTOR: np.float32,
    DataType.INT8_VECTOR: np.int8,
    DataType.BINARY_VECTOR: np.uint8,
}
_RANGES = {DataType.INT8_VECTOR: (-128, 127), DataType.BINARY_VECTOR: (0, 255)}


def check_flat(field: Field, value: Any) -> None:
    """Raise when an array holds arrays: simdjson flattens them silently."""
    for element in value:
        if is_json_array(element) or is_json_object(element):
            raise DataError(f"expected numbers in the vector, got {json_type(element)}", field=field.name)


def _numbers(field: Field, value: Any, of_type: Literal["d", "i"]) -> npt.NDArray[Any]:
    """Convert a JSON array of numbers to float64 ('d') or int64 ('i')."""
    dtype = np.float64 if of_type == "d" else np.int64
    try:
        if type(value) is simdjson.Array:
            return np.frombuffer(value.as_buffer(of_type=of_type), dtype)
        numbers = [plain_number(element) for element in value]
        if all(type(number) is int or (type(number) is float and of_type == "d") for number in numbers):
            return np.array(numbers, dtype)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        pass
    if of_type == "i":
        return _whole_numbers(field, value)
    raise _element_error(field, value, of_type)


def _whole_numbers(field: Field, value: Any) -> npt.NDArray[np.int64]:
    """Convert an array to int64 where some whole numbers are written with a fraction or exponent."""
    check_flat(field, value)
    numbers = []
    for position, element in enumerate(value):
        number = plain_number(element)
        if type(number) is float and abs(number) < EXACT_IN_DOUBLE and number.is_integer():
            number = int(number)
        if type(number) is not int or not -(2**63) <= number < 2**63:
            raise _element_error(field, value, "i", position)
        numbers.append(number)
    return np.array(numbers, np.int64)


def _element_error(field: Field, value: Any, of_type: Literal["d", "i"], first: int = 0) -> DataError:
    """Error for the first element, from ``first`` on, that is no number, or no whole number of 64 bits."""
    for position, element in enumerate(value):
        if position < first:
            continue
        number = plain_number(element)
        if type(number) is int and (of_type == "d" or -(2**63) <= number < 2**63):
            continue
        if type(number) is float and of_type == "d":
            continue
        expected = "a number" if of_type == "d" else "a whole number of 64 bits"
        text = element if element is None or type(element) is str else text_of(element)
        return DataError(
            f"element {position} should be {expected}, got {json_type(element)}",
            field=field.name,
            value="null" if text is None else text,
        )
    return DataError("the array holds something that is not a number", field=field.name, value=text_of(value))


class DenseColumn:
    """Build dense vector columns: a matrix of ``rows`` by the field's width, doubled when it is full."""

    def __init__(self, field: Field, rows: int) -> None:
        self._field = field
        self._width = field.width
        self._capacity = rows
        self._range = _RANGES.get(field.type)
        self._of_type: Literal["d", "i"] = "i" if self._range else "d"
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
        if type(value) is simdjson.Array and self._range is None:
            try:
                numbers = np.frombuffer(value.as_buffer(of_type="d"))
            except (TypeError, ValueError, RuntimeError):
                raise _element_error(self._field, value, "d") from None
        elif value is None:
            if not self._field.nullable:
                raise null_error(self._field)
            self._nulls.append(count)
            self._matrix[count] = 0
            self._count += 1
            return
        else:
            numbers = self._checked_numbers(value)
        if len(numbers) != self._width or len(value) != self._width:
            raise self._length_error(value)
        self._matrix[count] = numbers
        self._count += 1

    def _checked_numbers(self, value: Any) -> npt.NDArray[Any]:
        field = self._field
        if not is_json_array(value):
            raise DataError(
                f"expected an array of numbers for {field.type.value}, got {json_type(value)}",
                field=field.name,
                value=text_of(value),
            )
        numbers = _numbers(field, value, self._of_type)
        if self._range is not None:
            low, high = self._range
            wrong = (numbers < low) | (numbers > high)
            if wrong.any():
                position = int(np.argmax(wrong))
                raise DataError(
                    f"element {position} is out of range for {field.type.value} ({low} to {high})",
                    field=field.name,
                    value=int(numbers[position]),
                )
        return numbers

    def _length_error(self, value: Any) -> DataError:
        check_flat(self._field, value)
        if self._field.type is DataType.BINARY_VECTOR:
            rule = f"the vector has {len(value)} bytes, the field has {self._width} ({self._field.dim} bits)"
        else:
            rule = f"the vector has {len(value)} dimensions, the field has {self._width}"
        return DataError(rule, field=self._field.name)

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
        finite = np.isfinite(matrix)
        if not finite.all():
            row, position = np.unravel_index(int(np.argmin(finite)), matrix.shape)
            raise DataError(
                f"element {position} is out of range for {self._field.type.value}",
                row=int(row),
                field=self._field.name,
                remedy="Vector elements must be finite numbers that fit the type",
            )
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
                raise null_error(self._field)
            self._nulls.append(len(self._indices))
            indices, values = np.empty(0, np.int64), np.empty(0)
        elif not is_json_object(value):
            raise DataError(
                f"expected an object for {self._field.type.value}, got {json_type(value)}",
                field=self._field.name,
                value=text_of(value),
                remedy='Give {"indices": [1, 7], "values": [0.5, 0.2]} or {"1": 0.5, "7": 0.2}',
            )
        else:
            indices, values = self._pairs(value)
        self._indices.append(indices)
        self._values.append(values)

    def _pairs(self, value: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        keys = list(value)
        if len(keys) == 2 and set(keys) == {"indices", "values"}:
            pair = []
            kinds: tuple[tuple[str, Literal["d", "i"]], ...] = (("indices", "i"), ("values", "d"))
            for key, of_type in kinds:
                inner = value[key]
                if not is_json_array(inner):
                    raise DataError(
                        f"sparse {key} should be an array, got {json_type(inner)}", field=self._field.name
                    )
                check_flat(self._field, inner)
                pair.append(_numbers(self._field, inner, of_type))
            indices, values = pair
            if len(indices) != len(values):
                raise DataError(
                    f"indices and values length mismatch: {len(indices)} and {len(values)}", field=self._field.name
                )
        else:
            indices = np.array([self._index(key) for key in keys], np.int64)
            values = _numbers(self._field, list(value.values()), "d")
        self._check(indices, values)
        order = np.argsort(indices, kind="stable")
        indices, values = indices[order], values[order]
        same = indices[1:] == indices[:-1]
        if same.any():
            raise DataError(
                "unsorted or same indices in sparse float vector: an index appears twice",
                field=self._field.name,
                value=int(indices[int(np.argmax(same))]),
            )
        return indices, values

    def _index(self, key: str) -> int:
        if not (key.isascii() and key.isdigit() and len(key) <= 18):
            raise DataError("a sparse index should be a whole number", field=self._field.name, value=key)
        return int(key)

    def _check(self, indices: npt.NDArray[Any], values: npt.NDArray[Any]) -> None:
        wrong = (indices < 0) | (indices > _MAX_SPARSE_INDEX)
        if wrong.any():
            raise DataError(
                f"a sparse index is out of range (0 to {_MAX_SPARSE_INDEX})",
                field=self._field.name,
                value=int(indices[int(np.argmax(wrong))]),
            )
        with np.errstate(over="ignore"):
            wrong = ~np.isfinite(values.astype(np.float32))
        if wrong.any():
            raise DataError("a sparse value is out of range for float32", field=self._field.name)
        wrong = values < 0
        if wrong.any():
            raise DataError(
                "a sparse value is negative", field=self._field.name, value=float(values[int(np.argmax(wrong))])
            )

    def take(self) -> pa.Array[Any]:
        indices, values, nulls = self._indices, self._values, self._nulls
        self._indices, self._values, self._nulls = [], [], []
        offsets = np.zeros(len(indices) + 1, np.int32)
        np.cumsum([len(index) for index in indices], out=offsets[1:])
        mask = np.zeros(len(indices), bool)
        mask[nulls] = True
        starts: Any = pa.array(offsets)
        lists: list[Any] = []
        for parts, dtype in ((indices, np.uint32), (values, np.float32)):
            joined: Any = np.concatenate([np.empty(0, dtype), *parts], dtype=dtype, casting="unsafe")
            lists.append(pa.ListArray.from_arrays(starts, pa.array(joined)))
        nulls_mask: Any = pa.array(mask) if mask.any() else None
        return pa.StructArray.from_arrays(lists, fields=list(cast("pa.StructType", SPARSE)), mask=nulls_mask)

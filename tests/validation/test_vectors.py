"""Dense vector columns."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pyarrow as pa
import pytest

from penstock.domain.schema import DataType, Field
from tests.support.conforming import conform_column, refused, warnings_for


def vector(kind: DataType, dim: int = 2) -> Field:
    return Field(name="x", type=kind, dim=dim, nullable=True)


FLOAT = vector(DataType.FLOAT_VECTOR)
FLOAT16 = vector(DataType.FLOAT16_VECTOR)
BFLOAT16 = vector(DataType.BFLOAT16_VECTOR)
INT8 = vector(DataType.INT8_VECTOR)
BINARY = vector(DataType.BINARY_VECTOR, 16)

HALVES = [[0.5, -1.0], None, [2.0, 0.0]]


def as_bytes(kind: Any) -> list[bytes | None]:
    return [None if each is None else np.array(each, kind).tobytes() for each in HALVES]


LIST_KINDS = [
    pa.list_(pa.float32()),
    pa.list_(pa.float64()),
    pa.list_(pa.float16()),
    pa.large_list(pa.float32()),
    pa.list_view(pa.float32()),
    pa.list_(pa.float32(), 2),
    pa.list_(pa.float64(), 2),
]


@pytest.mark.parametrize("field", [FLOAT, FLOAT16, BFLOAT16], ids=lambda each: each.type.value)
@pytest.mark.parametrize("kind", LIST_KINDS, ids=str)
def test_lists_of_floats(kind: Any, field: Field) -> None:
    padded = pa.array([[9.0, 9.0], *HALVES, None], kind)
    assert conform_column(padded.slice(1, 3), field).to_pylist() == HALVES


def test_whole_numbers_are_floats_too() -> None:
    assert conform_column(pa.array([[1, 2]]), FLOAT).to_pylist() == [[1.0, 2.0]]
    assert conform_column(pa.array([[1, 2]]), FLOAT16).to_pylist() == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("field", "kind"), [(FLOAT16, np.float16), (BFLOAT16, ml_dtypes.bfloat16)], ids=["float16", "bfloat16"]
)
def test_half_floats_as_little_endian_bytes(field: Field, kind: Any) -> None:
    values = as_bytes(kind)
    lists = pa.array([None if value is None else list(value) for value in values], pa.list_(pa.uint8()))
    assert conform_column(lists, field).to_pylist() == HALVES
    for binary in (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(4)):
        assert conform_column(pa.array([b"9999", *values], binary)[1:], field).to_pylist() == HALVES


def test_a_fixed_shape_tensor_is_a_vector() -> None:
    tensor: Any = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ones((3, 2), np.float32))
    assert conform_column(tensor, FLOAT).to_pylist() == [[1.0, 1.0]] * 3


@pytest.mark.parametrize("kind", [pa.list_(pa.int8()), pa.list_(pa.int64()), pa.list_(pa.float32(), 2)], ids=str)
def test_int8_vectors(kind: Any) -> None:
    column = pa.array([[-128, 127], None], kind)
    assert conform_column(column, INT8).to_pylist() == [[-128, 127], None]


def test_binary_vectors() -> None:
    expected = [[0b10101010, 1], None]
    assert conform_column(pa.array(expected, pa.list_(pa.uint8())), BINARY).to_pylist() == expected
    assert conform_column(pa.array(expected, pa.list_(pa.int64())), BINARY).to_pylist() == expected
    assert conform_column(pa.array([b"\xaa\x01", None]), BINARY).to_pylist() == expected


def test_zeros_stand_under_a_null() -> None:
    values = pa.array([float("nan"), 1.0, 2.0, 3.0], pa.float32())
    column = pa.FixedSizeListArray.from_arrays(values, 2, mask=pa.array([True, False]))
    made = conform_column(column, FLOAT)
    assert made.to_pylist() == [None, [2.0, 3.0]]
    assert made.values.to_pylist() == [0.0, 0.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("column", "field", "row", "rule"),
    [
        (pa.array([[0.5, 1.0], [0.5]]), FLOAT, 1, "the vector has 1 dimensions, the field has 2"),
        (pa.array([None, []], pa.list_(pa.float32())), FLOAT, 1, "the vector has 0 dimensions, the field has 2"),
        (pa.array([[1.0] * 3], pa.list_(pa.float32(), 3)), FLOAT, 0, "the vector has 3 dimensions, the field has 2"),
        (pa.array([[1, 2]], pa.list_(pa.uint8())), FLOAT16, 0, "the vector has 2 bytes, the field needs 4 (dim 2)"),
        (pa.array([b"1234", b"12"]), BFLOAT16, 1, "the vector has 2 bytes, the field needs 4 (dim 2)"),
        (pa.array([[1] * 3], pa.list_(pa.uint8())), BINARY, 0, "the vector has 3 bytes, the field needs 2 (dim 16)"),
        (pa.array([[1.0, 2.0], None, [1.0, None]]), FLOAT, 2, "array element is not allowed to be null value"),
        (pa.array([None, [1.0, float("nan")]]), FLOAT, 1, "value 'NaN' is not a number or infinity"),
        (pa.array([[1.0, float("inf")]]), BFLOAT16, 0, "value 'Inf' is not a number or infinity"),
        (pa.array([[1.0, 1e39]]), FLOAT, 0, "element 1 is out of range for FloatVector"),
        (pa.array([[1.0, 70000.0]]), FLOAT16, 0, "element 1 is out of range for Float16Vector"),
        (pa.array([[1.0, 3.4e38]]), BFLOAT16, 0, "element 1 is out of range for BFloat16Vector"),
        (pa.array([b"\0\0\0\0", b"\0\0\0\x7c"]), FLOAT16, 1, "value 'Inf' is not a number or infinity"),
        (pa.array([b"\0\0\0\0", b"\xc0\x7f\0\0"]), BFLOAT16, 1, "value 'NaN' is not a number or infinity"),
        (pa.array([[1, 128]]), INT8, 0, "element 1 is out of range for Int8Vector (-128 to 127)"),
        (pa.array([[1, 2], [1, 256]]), BINARY, 1, "element 1 is out of range for BinaryVector (0 to 255)"),
        (pa.array(["[1, 2]"]), FLOAT, 0, "the file's column is string, the field is FloatVector(2)"),
        (pa.array([["1", "2"]]), FLOAT, 0, "the file's column is list<item: string>, the field is FloatVector(2)"),
        (pa.array([b"12345678"]), FLOAT, 0, "the file's column is binary, the field is FloatVector(2)"),
        (pa.array([[[1.0, 2.0]]]), FLOAT, 0, "the file's column is list<item: list<item: double>>"),
    ],
)
def test_refused(column: Any, field: Field, row: int, rule: str) -> None:
    error = refused(column, field)
    assert error.row == row
    assert error.rule.startswith(rule)


@pytest.mark.parametrize(
    ("column", "field", "message"),
    [
        (pa.array([[0.1, 0.2], None]), FLOAT, "field 'x': float64 values were narrowed to float32"),
        (pa.array([[0.1, 0.2], None]), FLOAT16, "field 'x': float64 values were rounded to float16"),
        (pa.array([[0.1, 0.2], None]), BFLOAT16, "field 'x': float64 values were rounded to bfloat16"),
    ],
)
def test_rounding_warns(column: Any, field: Field, message: str) -> None:
    assert warnings_for(column, field) == [(message, 1)]


def test_values_that_half_floats_hold_do_not_warn() -> None:
    column = pa.array(HALVES, pa.list_(pa.float32()))
    assert warnings_for(column, FLOAT16) == warnings_for(column, BFLOAT16) == []

"""Bool, integer, float and VarChar columns."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from penstock.domain.schema import DataType, Field
from tests.support.conforming import conform_column, refused, warnings_for

BOOL = Field(name="x", type=DataType.BOOL, nullable=True)
INT8 = Field(name="x", type=DataType.INT8, nullable=True)
INT64 = Field(name="x", type=DataType.INT64, nullable=True)
FLOAT = Field(name="x", type=DataType.FLOAT, nullable=True)
DOUBLE = Field(name="x", type=DataType.DOUBLE, nullable=True)
TEXT = Field(name="x", type=DataType.VARCHAR, max_length=4, nullable=True)

INVALID_UTF8 = pa.Array.from_buffers(
    pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0\4\0\0\0"), pa.py_buffer(b"ok\xff\xfe")]
)


@pytest.mark.parametrize(
    ("column", "field", "values"),
    [
        (pa.array([True, None]), BOOL, [True, None]),
        (pa.array([-128, None, 127], pa.int64()), INT8, [-128, None, 127]),
        (pa.array([2**63 - 1], pa.uint64()), INT64, [2**63 - 1]),
        (pa.array([-3.0, None, 2.0**62], pa.float64()), INT64, [-3, None, 2**62]),
        (pa.array([1.0, 100.0], pa.float16()), INT8, [1, 100]),
        (pa.array([Decimal("5.00"), None]), INT64, [5, None]),
        (pa.array([1, 1, 7]).dictionary_encode(), INT8, [1, 1, 7]),
        (pa.array([1, None, 3], pa.int8()), FLOAT, [1.0, None, 3.0]),
        (pa.array([0.5], pa.float16()), FLOAT, [0.5]),
        (pa.array([0.5, None], pa.float32()), DOUBLE, [0.5, None]),
        (pa.array([Decimal("0.25")]), DOUBLE, [0.25]),
        (pa.array([2**53 + 1]), DOUBLE, [2.0**53]),
        (pa.array(["é", None, ""], pa.large_string()), TEXT, ["é", None, ""]),
        (pa.array(["a", None], pa.string_view()), TEXT, ["a", None]),
        (pa.array(["é".encode(), None], pa.binary()), TEXT, ["é", None]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), TEXT, ["a", "b", "a"]),
        (pa.RunEndEncodedArray.from_arrays(pa.array([2, 3]), pa.array(["a", None])), TEXT, ["a", "a", None]),
    ],
)
def test_taken(column: Any, field: Field, values: list[Any]) -> None:
    assert conform_column(column, field).to_pylist() == values


@pytest.mark.parametrize(
    ("column", "field", "row", "rule"),
    [
        (pa.array([0, 128]), INT8, 1, "out of range for Int8 (-128 to 127)"),
        (pa.array([0, None, 1.5]), INT64, 2, "1.5 is not a whole number"),
        (pa.array([2.0**63]), INT64, 0, "out of range for Int64"),
        (pa.array([1.0, float("nan")]), INT64, 1, "value 'NaN' is not a number or infinity"),
        (pa.array([2**63], pa.uint64()), INT64, 0, "out of range for Int64"),
        (pa.array([Decimal("1.00"), Decimal("1.50")]), INT64, 1, "1.50 is not a whole number"),
        (pa.array([Decimal("300")]), INT8, 0, "out of range for Int8"),
        (pa.array([0.5, float("nan")]), DOUBLE, 1, "value 'NaN' is not a number or infinity"),
        (pa.array([None, float("-inf")]), DOUBLE, 1, "value '-Inf' is not a number or infinity"),
        (pa.array([0.5, 1e39]), FLOAT, 1, "out of range for Float"),
        (pa.array(["abcd", "ééé"]), TEXT, 1, "value length(6) for field x exceeds max_length(4)"),
        (pa.array([b"ok", b"\xff"]), TEXT, 1, "field 'x' contains invalid UTF-8 data"),
        (INVALID_UTF8, TEXT, 1, "field 'x' contains invalid UTF-8 data"),
        (pa.array([None, "12"]), INT64, 1, "the file's column is string, the field is Int64"),
        (pa.array([1]), BOOL, 0, "the file's column is int64, the field is Bool"),
        (pa.array([True]), INT8, 0, "the file's column is bool, the field is Int8"),
        (pa.array([1.5]), TEXT, 0, "the file's column is double, the field is VarChar(4)"),
        (pa.array([datetime.date(2024, 1, 2)]), INT64, 0, "the file's column is date32[day], the field is Int64"),
        (
            pa.array([b"abcd"], pa.binary(4)),
            TEXT,
            0,
            "the file's column is fixed_size_binary[4], the field is VarChar",
        ),
        (pa.array([b"ab", b"a\0"]), TEXT, 1, "the binary value has control characters"),
        (pa.array([5], pa.duration("s")), TEXT, 0, "the file's column is duration[s], the field is VarChar(4)"),
        (pa.array([2**31 - 1], pa.int32()).view(pa.date32()), TEXT, 0, "the date32[day] value 2147483647 is outside"),
    ],
)
def test_refused(column: Any, field: Field, row: int, rule: str) -> None:
    error = refused(column, field)
    assert error.row == row
    assert error.rule.startswith(rule)
    assert error.value is not None


def test_the_remedy_fits_the_mistake() -> None:
    assert "number type instead of text" in str(refused(pa.array(["12"]), INT64))
    assert "Write the numbers as text" in str(refused(pa.array([12]), TEXT))
    assert "take dates, times and timestamps as they are" in str(refused(pa.array([5], pa.duration("s")), TEXT))
    assert "such as hex" in str(refused(pa.array([b"abcd"], pa.binary(4)), TEXT))
    assert "count UTF-8 bytes" in str(refused(pa.array(["éééé"]), TEXT))


def test_a_decimal_becomes_the_nearest_float_without_a_warning() -> None:
    """Arrow's own cast makes 2.5100000000000002 of 2.51."""
    for kind in (pa.decimal32(9, 2), pa.decimal64(15, 2), pa.decimal128(38, 2), pa.decimal256(60, 2)):
        column = pa.array([Decimal("2.51"), None, Decimal("-0.10")], kind)
        assert conform_column(column, DOUBLE).to_pylist() == [2.51, None, -0.1]
        assert warnings_for(column, DOUBLE) == []
        assert conform_column(pa.array([Decimal("2.00")], kind), INT64).to_pylist() == [2]


@pytest.mark.parametrize(
    ("column", "field", "message"),
    [
        (pa.array([0.1, None]), FLOAT, "field 'x': float64 values were narrowed to float32"),
        (pa.array([2**24 + 1]), FLOAT, "field 'x': int64 values were rounded to float32"),
        (
            pa.array([Decimal("0.10000000000000000001"), Decimal("0.5").quantize(Decimal("1e-20"))]),
            DOUBLE,
            "field 'x': decimal128(20, 20) values were rounded to float64",
        ),
        (
            pa.array([Decimal("1234567.89"), Decimal("0.25"), None]),
            FLOAT,
            "field 'x': decimal128(9, 2) values were rounded to float32",
        ),
    ],
)
def test_a_cast_that_may_round_warns_with_the_number_of_rows(column: Any, field: Field, message: str) -> None:
    assert warnings_for(column, field) == [(message, 1)]


@pytest.mark.parametrize(
    ("column", "field"),
    [
        (pa.array(["a"], pa.large_string()), TEXT),
        (pa.array([7], pa.int32()), INT64),
        (pa.array([7.0]), INT64),
        (pa.array([7]), FLOAT),
        (pa.array([0.5], pa.float16()), FLOAT),
    ],
)
def test_a_cast_that_keeps_every_value_does_not_warn(column: Any, field: Field) -> None:
    assert warnings_for(column, field) == []

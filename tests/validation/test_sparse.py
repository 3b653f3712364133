"""Sparse vector columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from penstock.domain.arrow_schema import SPARSE
from penstock.domain.schema import DataType, Field
from tests.support.conforming import conform_column, refused, warnings_for

FIELD = Field(name="x", type=DataType.SPARSE_FLOAT_VECTOR)
NULLABLE = Field(name="x", type=DataType.SPARSE_FLOAT_VECTOR, nullable=True)


def pairs(indices: list[int], values: list[float]) -> dict[str, Any]:
    return {"indices": indices, "values": values}


def structs(rows: list[Any], index: Any = None, value: Any = None) -> Any:
    """Rows with ``index`` (int64) and ``value`` (float64) elements."""
    indices, values = pa.list_(index or pa.int64()), pa.list_(value or pa.float64())
    return pa.array(rows, pa.struct([("indices", indices), ("values", values)]))


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ('{"3": 0.5}', pairs([3], [0.5])),
        ('{"17": 2, "3": 0.5}', pairs([3, 17], [0.5, 2.0])),
        ('{"indices": [17, 3], "values": [2, 0.5]}', pairs([3, 17], [0.5, 2.0])),
        ('{"4294967294": 1}', pairs([4294967294], [1.0])),
        ("{}", pairs([], [])),
        ('{"indices": [], "values": []}', pairs([], [])),
    ],
)
def test_json_text(text: str, row: dict[str, Any]) -> None:
    made = conform_column(pa.array([text, '{"1": 1}']), FIELD)
    assert made.type == SPARSE
    assert made.to_pylist() == [row, pairs([1], [1.0])]


@pytest.mark.parametrize("index", [pa.int32(), pa.uint32(), pa.int64(), pa.uint64()], ids=str)
@pytest.mark.parametrize("value", [pa.float16(), pa.float32(), pa.float64()], ids=str)
def test_structs_of_lists(index: Any, value: Any) -> None:
    rows = [pairs([9], [9.0]), pairs([17, 3], [2.0, 0.5]), None, pairs([], []), pairs([1, 2], [1.0, 0.0])]
    made = conform_column(structs(rows, index, value)[1:], NULLABLE)
    assert made.to_pylist() == [pairs([3, 17], [0.5, 2.0]), None, pairs([], []), pairs([1, 2], [1.0, 0.0])]


def test_nulls_and_the_text_null() -> None:
    made = conform_column(pa.array(["null", '{"1": 1}', None]), NULLABLE)
    assert made.to_pylist() == [None, pairs([1], [1.0]), None]
    assert refused(pa.array(['{"1": 1}', "null"]), FIELD).rule.endswith("the file contains null value")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('{"3": 1, "3": 2}', "unsorted or same indices in sparse float vector"),
        ('{"3": 1, "03": 2}', "unsorted or same indices in sparse float vector"),
        ('{"indices": [3, 3], "values": [1, 2]}', "unsorted or same indices in sparse float vector"),
        ('{"indices": [3], "values": [1, 2]}', "indices and values length mismatch: 1 and 2"),
        ('{"indices": 3, "values": 1}', "the value is object, the field is SparseFloatVector"),
        ('{"-1": 1}', "the index -1 is out of range (0 to 4294967294)"),
        ('{"4294967295": 1}', "the index 4294967295 is out of range (0 to 4294967294)"),
        ('{"a": 1}', "the index 'a' is not a whole number"),
        ('{"indices": [1.5], "values": [1]}', "the index 1.5 is not a whole number"),
        ('{"indices": [1], "indices": [2], "values": [1]}', "the index 'indices' is not a whole number"),
        ('{"indices": [1], "values": [1], "values": [2]}', "the index 'values' is not a whole number"),
        ('{"1": "a"}', "the value 'a' is not a number"),
        ('{"1": null}', "the value None is not a number"),
        ('{"1": -0.5}', "negative value in sparse float vector"),
        ('{"1": 1e39}', "out of range for Float"),
        ('{"1": NaN}', "the text is not JSON: "),
        ("[1, 2]", "the value is list, the field is SparseFloatVector"),
    ],
)
def test_text_refused(text: str, rule: str) -> None:
    error = refused(pa.array(['{"1": 1}', "{}", text]), FIELD)
    assert error.row == 2
    assert error.rule.startswith(rule)


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (pairs([3, 1, 3], [1, 1, 1]), "unsorted or same indices in sparse float vector"),
        (pairs([3], [1, 2]), "indices and values length mismatch: 1 and 2"),
        (pairs([-1], [1]), "the index -1 is out of range (0 to 4294967294)"),
        (pairs([2**32 - 1], [1]), "the index 4294967295 is out of range (0 to 4294967294)"),
        (pairs([1], [-1]), "negative value in sparse float vector"),
        (pairs([1], [float("nan")]), "value 'NaN' is not a number or infinity"),
        ({"indices": None, "values": [1]}, "array element is not allowed to be null value for field 'x'"),
        ({"indices": [1], "values": [None]}, "array element is not allowed to be null value for field 'x'"),
    ],
)
def test_structs_refused(row: Any, rule: str) -> None:
    error = refused(structs([pairs([1, 2], [1, 1]), None, row]), NULLABLE)
    assert error.row == 2
    assert error.rule.startswith(rule)


def test_other_columns_are_refused() -> None:
    column = pa.array([[0.5, 1.0]])
    assert refused(column, FIELD).rule == "the file's column is list<item: double>, the field is SparseFloatVector"
    assert refused(pa.array([{"a": 1}]), FIELD).rule.startswith("the file's column is struct<a: int64>")


def test_narrowed_values_are_counted_by_rows() -> None:
    assert warnings_for(structs([pairs([1, 2], [0.1, 0.2]), None]), NULLABLE) == [
        ("field 'x': float64 values were narrowed to float32", 1)
    ]

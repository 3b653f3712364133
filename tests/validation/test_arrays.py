"""Array columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from penstock.domain.schema import DataType, Field
from tests.support.conforming import conform_column, refused, warnings_for


def array_of(element: DataType) -> Field:
    return Field(name="x", type=DataType.ARRAY, element_type=element, max_capacity=3, max_length=4, nullable=True)


INTS = array_of(DataType.INT16)
TEXTS = array_of(DataType.VARCHAR)

LISTS = [
    pa.list_(pa.int64()),
    pa.large_list(pa.int8()),
    pa.list_view(pa.float64()),
    pa.large_list_view(pa.uint32()),
]


@pytest.mark.parametrize("kind", LISTS, ids=str)
def test_every_kind_of_list_is_taken(kind: Any) -> None:
    column = pa.array([[9], [1, 2, 3], None, [], [4]], kind)[1:]
    made = conform_column(column, INTS)
    assert made.type == pa.list_(pa.int16())
    assert made.to_pylist() == [[1, 2, 3], None, [], [4]]


def test_fixed_size_lists_are_taken() -> None:
    column = pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int16(), 2))
    assert conform_column(column, INTS).to_pylist() == [[1, 2], None, [3, 4]]


def test_empty_lists_may_have_any_element_type() -> None:
    assert conform_column(pa.array([[], None, []], pa.list_(pa.null())), INTS).to_pylist() == [[], None, []]


def test_texts_bools_and_floats_are_elements_too() -> None:
    words = pa.array([["a", "b"], []], pa.list_(pa.dictionary(pa.int8(), pa.string())))
    assert conform_column(words, TEXTS).to_pylist() == [["a", "b"], []]
    assert conform_column(pa.array([[True]]), array_of(DataType.BOOL)).to_pylist() == [[True]]
    assert conform_column(pa.array([[0.5]]), array_of(DataType.FLOAT)).to_pylist() == [[0.5]]


@pytest.mark.parametrize(
    ("column", "field", "row", "rule"),
    [
        (pa.array([[1], [1, 2, 3, 4]]), INTS, 1, "array capacity(4) for field x exceeds max_capacity(3)"),
        (pa.array([[1], None, [1, None]]), INTS, 2, "array element is not allowed to be null value for field 'x'"),
        (pa.array([[1], None, [], [2, 40000]]), INTS, 3, "out of range for Int16 (-32768 to 32767)"),
        (pa.array([["a"], ["b", "ccccc"]]), TEXTS, 1, "value length(5) for field x exceeds max_length(4)"),
        (pa.array([[0.5], [float("inf")]]), array_of(DataType.DOUBLE), 1, "value 'Inf' is not a number or infinity"),
        (pa.array([["a"]]), INTS, 0, "the file's column is string, the field is Int16"),
        (pa.array(["[1]"]), INTS, 0, "the file's column is string, the field is Array<Int16>"),
    ],
)
def test_refused(column: Any, field: Field, row: int, rule: str) -> None:
    error = refused(column, field)
    assert error.row == row
    assert error.rule.startswith(rule)


def test_narrowed_elements_are_counted_by_rows() -> None:
    assert warnings_for(pa.array([[0.1, 0.2, 0.3], None]), array_of(DataType.FLOAT)) == [
        ("field 'x': float64 values were narrowed to float32", 1)
    ]

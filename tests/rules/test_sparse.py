"""Sparse vectors of a column: order, duplicates, and the row that is named."""

from __future__ import annotations

import numpy as np
import pytest

from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.rules.sparse import indices_of_keys, sparse_column

FIELD = Field(name="v", type=DataType.SPARSE_FLOAT_VECTOR, nullable=True)


def test_each_vector_is_sorted_by_index() -> None:
    lengths = np.array([2, 0, 1])
    column = sparse_column(
        FIELD, np.array([7, 1, 3]), np.array([0.5, 0.25, 1.0]), lengths, np.array([True, False, True])
    )
    assert column.to_pylist() == [
        {"indices": [1, 7], "values": [0.25, 0.5]},
        None,
        {"indices": [3], "values": [1.0]},
    ]


@pytest.mark.parametrize(
    ("indices", "values", "rule"),
    [
        ([1, 5, 5], [1, 1, 1], "unsorted or same indices in sparse float vector"),
        ([1, 5, 2**32 - 1], [1, 1, 1], "the index 4294967295 is out of range (0 to 4294967294)"),
        ([1, 5, 6], [1, 1, -1], "negative value in sparse float vector"),
        ([1, 5, 6], [1, 1, 1e39], "out of range for Float (-3.4e38 to 3.4e38)"),
        ([1, 5, 6], [1, 1, float("nan")], "value 'NaN' is not a number or infinity"),
    ],
)
def test_the_row_of_a_bad_pair_is_named(indices: list[int], values: list[float], rule: str) -> None:
    with pytest.raises(DataError) as caught:
        sparse_column(FIELD, np.array(indices), np.array(values, np.float64), np.array([1, 0, 2]), None)
    assert (caught.value.row, caught.value.rule) == (2, rule)


@pytest.mark.parametrize("key", ["", "a", "+1", " 1", "1_0", "²", "-1", "9" * 5000])
def test_keys_are_digits(key: str) -> None:
    if key == "-1":  # refused with its column, by its range
        assert indices_of_keys(FIELD, [key]).tolist() == [-1]
        return
    with pytest.raises(DataError, match="the index"):
        indices_of_keys(FIELD, ["1", key])

"""Groups of rows in order of their scores."""

from __future__ import annotations

import numpy as np
import pytest

from penstock.collections.search_groups import Grouping, best_groups


@pytest.mark.parametrize(
    ("grouping", "expected"),
    [
        (Grouping(field_name="book"), [[0], [1], [4]]),
        (Grouping(field_name="book", size=2), [[0, 3], [1, 2], [4]]),
        (Grouping(field_name="book", size=2, strict=True), [[0, 3], [1, 2]]),
        (Grouping(field_name="book", size=3, scorer="sum"), [[1, 2, 5], [0, 3], [4]]),
        (Grouping(field_name="book", size=3, scorer="avg"), [[1, 2, 5], [0, 3], [4]]),
        (Grouping(field_name="book", size=2, scorer="avg"), [[1, 2], [0, 3], [4]]),
    ],
)
def test_the_best_groups_come_first(grouping: Grouping, expected: list[list[int]]) -> None:
    scores = np.array([10, 9, 8, 1, 0.5, 0.25], np.float32)
    assert best_groups(["a", "b", "b", "a", None, "b"], scores, grouping, descending=True) == expected


def test_of_distances_the_lowest_are_the_best() -> None:
    scores = np.array([1, 2, 3, 9], np.float32)
    grouping = Grouping(field_name="book", size=2, scorer="avg")
    assert best_groups(["a", "b", "b", "a"], scores, grouping, descending=False) == [[1, 2], [0, 3]]

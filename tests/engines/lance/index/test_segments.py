"""The policy for segments, alone: few of them, each row rewritten seldom, whatever the sizes of imports."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.engines.lance.index.segments import (
    GROWTH,
    LEVEL_FACTOR,
    MAX_APPENDED,
    appended,
    is_outgrown,
    merged_by_extension,
    merged_by_level,
)


@pytest.mark.parametrize(
    ("rows", "later"),
    [
        ([], []),
        ([100], []),
        ([100, 20, 30], [20, 30]),
        ([40, 100, 20], [20]),
        ([100, 100], [100]),
        ([30, 20, 50], [20, 50]),
    ],
)
def test_the_larger_one_of_the_first_two_is_the_trained_segment(rows: list[int], later: list[int]) -> None:
    assert list(appended(rows)) == later


@pytest.mark.parametrize(
    ("rows", "merged"),
    [
        ([], 0),
        ([10], 0),
        ([10, 10], 2),
        ([30, 10], 0),
        ([29, 10], 2),
        ([100, 29, 10], 3),
        ([200, 30, 10], 0),
        ([200, 20, 10], 2),
    ],
)
def test_a_segment_is_merged_with_newer_ones_of_its_level(rows: list[int], merged: int) -> None:
    assert merged_by_level(rows) == merged


@pytest.mark.parametrize(
    ("rows", "outgrown"),
    [
        ([], False),
        ([0], False),
        ([10], False),
        ([10, 9], False),
        ([10, 10], True),
        ([3, 2, 1], True),
        ([1, 1, 9], True),
        ([5, 6], False),
    ],
)
def test_an_index_is_trained_anew_when_it_has_doubled(rows: list[int], outgrown: bool) -> None:
    assert GROWTH == 2
    assert is_outgrown(rows) == outgrown


@given(st.lists(st.integers(1, 1_000_000), min_size=1, max_size=200), st.booleans())
def test_segments_stay_few_and_rewriting_cheap(imports: list[int], background: bool) -> None:
    """Imports into an index, with merges in the background after each of them or none."""
    rows = [imports[0]]
    written = 0
    for added in imports[1:]:
        count = len(appended(rows))
        merged = merged_by_extension(count)
        rows = [*rows[: len(rows) - merged], sum(rows[len(rows) - merged :]) + added]
        written += rows[-1]
        assert len(rows) <= 2 + MAX_APPENDED
        if not background:
            continue
        if is_outgrown(rows):
            rows = [sum(rows)]
            written += sum(rows)
        elif (merged := merged_by_level(appended(rows))) > 0:
            rows = [*rows[:-merged], sum(rows[-merged:])]
            written += rows[-1]
        later = appended(rows)
        assert all(oldest >= LEVEL_FACTOR * sum(later[place + 1 :]) for place, oldest in enumerate(later))
    total = sum(imports)
    if background:
        levels = math.log(total, 1 + 1 / LEVEL_FACTOR)
        assert written <= (2 * GROWTH + levels) * total
    assert sum(rows) == total

"""Numbers of jobs and collections."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock.domain.ids import new_id, parse_id


def test_ids_grow() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert ids == sorted(set(ids))


def test_ids_are_unique_over_threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: new_id(), range(4000)))
    assert len(set(ids)) == 4000


def test_ids_have_18_digits_and_tell_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id()
    assert len(str(made)) == 18
    assert made < 2**63
    # Ids run ahead of the clock by at most what this process drew within a millisecond.
    assert 0 <= (made >> 18) - before < 60_000


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        (str(2**63 - 1), 2**63 - 1),
        (str(2**63), None),
        ("9" * 5000, None),
        ("-7", None),
        ("٣", None),
        ("", None),
    ],
)
def test_the_text_of_an_id(text: str, number: int | None) -> None:
    assert parse_id(text) == number

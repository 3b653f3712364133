"""Values of parameters, as JSON or as text of it."""

from __future__ import annotations

import pytest

from penstock.domain.parameter_values import go_boolean, text_values, whole_number


def test_whole_numbers_come_as_numbers_or_text() -> None:
    assert [whole_number(value) for value in (10, 10.0, "10", " 10.0 ", "-3")] == [10, 10, 10, 10, -3]
    assert [whole_number(value) for value in (True, 1.5, "ten", "1e3", None, [1], "9" * 30)] == [None] * 7


def test_numbers_beyond_a_doubles_precision_are_not_guessed() -> None:
    assert whole_number(float(2**60)) is None
    assert whole_number(44870776388440916) == 44870776388440916


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), ("T", True), (1, True), ("0", False), ("yes", None), (2, None)]
)
def test_booleans_are_written_as_go_reads_them(value: object, expected: bool | None) -> None:
    assert go_boolean(value) is expected


def test_texts_stay_and_all_else_becomes_json() -> None:
    assert text_values({"a": "x", "b": 1, "c": True, "d": {"e": None}, "f": None}) == {
        "a": "x",
        "b": "1",
        "c": "true",
        "d": '{"e":null}',
    }
    assert text_values(None) == {}

"""Checks of JSON texts by the column."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.rules.json_texts import check_dynamic_texts, check_json_texts

JSON = Field(name="info", type=DataType.JSON)


def refused(*texts: str | None) -> DataError:
    with pytest.raises(DataError) as caught:
        check_json_texts(pa.array(texts, pa.string()), JSON, lambda *_: None)
    return caught.value


def test_texts_are_kept_as_written() -> None:
    texts = pa.array(['{"a": 1.50}', None, "[1,  2]", '"x\\u0022y"'], pa.string())
    checked = check_json_texts(texts, JSON, lambda *_: None)
    assert checked.to_pylist() == ['{"a": 1.50}', None, "[1,  2]", '"x\\"y"']


def test_the_last_of_two_equal_keys_counts() -> None:
    texts = pa.array(['{"a":1,"b":{"c":1,"c":2}}'])
    assert check_json_texts(texts, JSON, lambda *_: None).to_pylist() == ['{"a":1,"b":{"c":2}}']


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("{", "the text is not JSON: "),
        ("[" * 129 + "]" * 129, "the JSON is nested more than 128 deep"),
        ("[" * 2000 + "]" * 2000, "the JSON is nested more than 128 deep"),
        ('"' + "x" * 65536 + '"', "the JSON text has more than 65536 bytes"),
        ("1e400", "a number in the JSON is out of range for float64"),
    ],
)
def test_the_first_bad_text_is_named(text: str, rule: str) -> None:
    error = refused("1", None, text)
    assert (error.row, error.field) == (2, "info")
    assert error.rule.startswith(rule)


@pytest.mark.parametrize(
    ("texts", "rows"),
    [
        (["18446744073709551616", "-9223372036854775809", "18446744073709551615"], 2),
        (["0.12345678901234567890123", "[1e30]"], 0),
        (['{"n": [99999999999999999999]}'], 1),
    ],
)
def test_rows_with_rounded_numbers_are_counted(texts: list[str], rows: int) -> None:
    counts = [0]

    def note(_: str, count: int) -> None:
        counts[0] += count

    check_json_texts(pa.array(texts), JSON, note)
    assert counts == [rows]


NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.lists(st.none() | NUMBERS | st.lists(NUMBERS, max_size=3), max_size=12), st.integers(0, 4), st.integers(0, 4)
)
def test_wide_integers_are_found_in_slices_of_columns(values: list[Any], before: int, after: int) -> None:
    texts = [None if value is None else json.dumps(value) for value in values]
    column = pa.array(["99999999999999999999"] * before + texts + ["1"] * after, pa.string())
    counts = [0]

    def note(_: str, count: int) -> None:
        counts[0] += count

    check_json_texts(column.slice(before, len(texts)), JSON, note)

    def is_wide(value: object) -> bool:
        if isinstance(value, list):
            return any(map(is_wide, value))
        return isinstance(value, int) and not -(2**63) <= value < 2**64

    assert counts == [sum(map(is_wide, values))]


def test_a_deep_text_in_a_slice_is_refused_at_its_row() -> None:
    deep = '{"a":[' * 80 + "]}" * 80
    shallow = '[{"a":[]}, []]'
    column = pa.array([deep, *[shallow] * 90, deep], pa.string())
    check_json_texts(column.slice(1, 90), JSON, lambda *_: None)
    with pytest.raises(DataError, match="nested more than 128 deep") as caught:
        check_json_texts(column.slice(1), JSON, lambda *_: None)
    assert caught.value.row == 90


def test_dynamic_values_are_objects_without_fields() -> None:
    taken = frozenset({"id"})
    checked = check_dynamic_texts(pa.array(['{"a":1}', None, "null"], pa.string()), taken, lambda *_: None)
    assert checked.to_pylist() == ['{"a":1}', "{}", "{}"]
    for text, rule in (
        ("[1]", "illegal value for dynamic field"),
        ('{"id":1}', "duplicated key is not allowed, key=id"),
    ):
        with pytest.raises(DataError, match=rule):
            check_dynamic_texts(pa.array([text]), taken, lambda *_: None)

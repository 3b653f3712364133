"""The bound on a filter's work: counted in the tree, whatever its values came from."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import InvalidFilter
from penstock.filters import parse
from penstock.filters.like import like_matcher
from penstock.filters.limits import MAX_KEYS, MAX_PATTERN, MAX_VALUES
from penstock.filters.members import Members, json_equal

SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="name", type=DataType.VARCHAR, max_length=99),
        Field(
            name="prose",
            type=DataType.VARCHAR,
            max_length=99,
            params={"enable_analyzer": "true", "enable_match": "true"},
        ),
        Field(name="tags", type=DataType.ARRAY, element_type=DataType.INT64, max_capacity=9),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2),
    ),
    dynamic=True,
)


@pytest.mark.parametrize(
    ("text", "params", "problem"),
    [
        (" or ".join(["id == 1"] * 1025), {}, "1,025 conditions, more than 1,024"),
        (" or ".join(["k == 1"] * 129), {}, "129 conditions on JSON paths, more than 128"),
        (f"(k ^ {0x5555_5555_5555_5555}) == 1 or " * 2 + "id == 1", {}, "130 conditions on JSON paths"),
        ("id in {l} and k in {l}", {"l": [*range(MAX_VALUES // 2 + 1)]}, "200,002 values in lists"),
        ("array_contains_any(tags, {l})", {"l": [*range(MAX_VALUES + 1)]}, "200,001 values in lists"),
        ("k == {l}", {"l": [[*range(MAX_VALUES)]]}, "200,002 values in lists"),
        ("json_contains_any(k, {l})", {"l": [[1]] * 257}, "257 lists among the values"),
        ("k" + '["a"]' * MAX_KEYS + " == 1", {}, "129 keys in a JSON path"),
        (" or ".join(["text_match(prose, 'a')"] * 33), {}, "33 conditions on the words of texts, more than 32"),
        ("phrase_match(prose, {p})", {"p": "a " * 65}, "65 words in a phrase, more than 64"),
        ("text_match(prose, {p})", {"p": "a " * 8193}, "texts of 16,386 characters, more than 16,384"),
        ("name like {p}", {"p": "a" * (MAX_PATTERN + 1)}, "4,097 characters in a like pattern"),
        ("not (k like {p})", {"p": "_" * (MAX_PATTERN + 1)}, "4,097 characters in a like pattern"),
        ("name like {p}", {"p": "a" * MAX_PATTERN + "\\"}, "4,097 characters in a like pattern"),
        (
            "id in {l}" + " or id in {l}" * 9000,
            {"l": [0] * 100_000},
            "values in lists of its templates, more than 1,",
        ),
        (
            "name == {t}" + " or name == {t}" * 999,
            {"t": "a" * 100_000},
            "characters in texts of its templates, more than 33,",
        ),
        (
            "name in {l}" + " or name in {l}" * 199,
            {"l": ["a" * 1000] * 900},
            "characters in texts of its templates, more than 33,",
        ),
    ],
)
def test_more_than_the_bound(text: str, params: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidFilter, match=problem) as raised:
        parse(text, SCHEMA, params)
    assert raised.value.message.startswith("cannot parse expression: ")


@given(
    pattern=st.text(alphabet="ab_%", max_size=8),
    text=st.text(alphabet="ab\n", max_size=10),
)
def test_like_is_the_expression_it_stands_for(pattern: str, text: str) -> None:
    def like(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "%":
            return any(like(pattern[1:], text[start:]) for start in range(len(text) + 1))
        return bool(text) and pattern[0] in ("_", text[0]) and like(pattern[1:], text[1:])

    assert like_matcher(pattern)(text) is like(pattern, text)


def test_like_does_not_try_the_places_of_one_run_with_those_of_the_others() -> None:
    """A regular expression takes centuries for this."""
    matches = like_matcher("%a" * 2000 + "b%c")
    start = time.process_time()
    assert not matches("a" * 60_000)
    assert time.process_time() - start < 5


NUMBERS = st.sampled_from([0, 1, 0.0, -0.0, 1.0, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, 2.0**63, 2**64 - 1, 1.5])
VALUES = st.recursive(
    st.one_of(NUMBERS, st.sampled_from([True, False, None, "", "1"])), lambda inner: st.lists(inner, max_size=2)
)


@given(values=st.lists(VALUES, max_size=4), value=VALUES)
def test_members_hold_what_equals_one_of_them(values: list[Any], value: Any) -> None:
    assert Members(values).hold(value) is any(json_equal(value, one) for one in values)

"""What filters mean, row by row: three-valued, typed, exact."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.filters import parse
from tests.support.filter_oracle import evaluate

SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="a", type=DataType.INT64, nullable=True),
        Field(name="b", type=DataType.INT64, nullable=True),
        Field(name="f", type=DataType.FLOAT, nullable=True),
        Field(name="s", type=DataType.VARCHAR, max_length=64, nullable=True),
        Field(name="j", type=DataType.JSON, nullable=True),
        Field(name="tags", type=DataType.ARRAY, element_type=DataType.INT64, max_capacity=8, nullable=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=4),
    ),
    dynamic=True,
)


def answer(text: str, **row: Any) -> bool | None:
    tree = parse(text, SCHEMA)
    assert tree is not None
    return evaluate(tree, row)


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("a == 1", None),
        ("a != 1", None),
        ("not (a == 1)", None),
        ("a not in [1]", None),
        ("a in []", None),
        ("a == 1 or b == 2", True),
        ("a == 1 and b == 2", None),
        ("a == 1 and b == 3", False),
        ("a == 1 or b == 3", None),
        ("a is null", True),
        ("a is not null", False),
        ("a + 1 == 2", None),
        ("a < b", None),
        ("s like '%'", None),
        ("array_contains(tags, 1)", None),
        ("array_length(tags) == 0", None),
        ("tags[0] == 1", None),
        ("j['x'] == 1", None),
        ("exists j['x']", False),
    ],
)
def test_null_is_unknown(text: str, truth: bool | None) -> None:
    assert answer(text, a=None, b=2, s=None, tags=None, j=None) is truth


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("k == 5", True),
        ("k == 5.0", True),
        ("k != '5'", None),
        ("not (k == '5')", None),
        ("k in [4, 5]", True),
        ("k not in ['5']", None),
        ("k not in ['x', 4]", True),
        ("missing != 1", None),
        ("none == 1", None),
        ("none is null", True),
        ("empty is null", True),
        ("list == [1, 2.0]", True),
        ("list != [1, 2]", False),
        ("list == 1", None),
        ("list[1] == 2", True),
        ("list[2] == 2", None),
        ("json_contains(list, 2)", True),
        ("json_contains(list, '2')", False),
        ("json_contains(k, 5)", None),
        ("json_contains_all(list, [1, 2])", True),
        ("json_contains_any(list, [])", False),
        ("array_length(list) == 2", True),
        ("array_length(k) == 1", None),
        ("deep['x'][0]['y'] == 'z'", True),
        ("json_contains(nested, [1, [2]])", True),
        ("json_contains(nested, 1)", False),
        ("exists k", True),
        ("exists list[0]", True),
        ("k + 1 == 6", True),
        ("k / 2 == 2", True),
        ("half / 2 == 1.25", True),
        ("half % 2 == 0", None),
        ("yes == true", True),
        ("yes == 1", None),
        ("big == 9007199254740993", True),
        ("big == 9007199254740992", False),
    ],
)
def test_json(text: str, truth: bool | None) -> None:
    document = {
        "k": 5,
        "none": None,
        "empty": {},
        "list": [1, 2],
        "deep": {"x": [{"y": "z"}]},
        "nested": [[1, [2]]],
        "half": 2.5,
        "yes": True,
        "big": 2**53 + 1,
    }
    assert answer(text, **{"$meta": document}) is truth


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("a / 2 == -3", True),
        ("a % 4 == -3", True),
        ("(a & 6) == 0", True),
        ("(a | 6) == -1", True),
        ("(a ^ -1) == 6", True),
        ("~a == 6", True),
        ("-a == 7", True),
        ("a >> 1 == -4", True),
        ("a << 62 == 4611686018427387904", True),
        ("a * 0.5 == -3.5", True),
        ("b + 1 < 0", True),
        ("f == 0.1", True),
        ("f + 0.1 == 0.2", True),
        ("a < f", True),
        ("-10 < a <= -7", True),
        ("a == 1.5", False),
        ("a < 1e300", True),
    ],
)
def test_numbers(text: str, truth: bool | None) -> None:
    assert answer(text, a=-7, b=2**63 - 1, f=0.10000000149011612) is truth


@pytest.mark.parametrize(
    ("pattern", "truth"),
    [
        ("50%", True),
        (r"50\\%", False),
        (r"50\\% of_\\_it", True),
        ("%IT", False),
        ("_0%", True),
        ("%", True),
        ("", False),
    ],
)
def test_like(pattern: str, truth: bool) -> None:
    assert answer(f's like "{pattern}"', s="50% of\n_it") is truth


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("array_contains(tags, 2)", True),
        ("array_contains_all(tags, [1, 3])", False),
        ("array_contains_any(tags, [1, 3])", True),
        ("array_contains_all(tags, [])", True),
        ("array_length(tags) == 2", True),
        ("tags[1] == 2", True),
        ("tags[9] == 2", None),
        ("tags[9] != 2", None),
    ],
)
def test_arrays(text: str, truth: bool | None) -> None:
    assert answer(text, tags=[1, 2]) is truth

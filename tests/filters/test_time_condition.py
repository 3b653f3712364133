"""Conditions on points in time are exact, with intervals too."""

from __future__ import annotations

import calendar
import operator
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.domain.times import MAX_TIME, MIN_TIME, SECOND, format_time, parse_time
from penstock.errors import InvalidFilter
from penstock.filters import Filter, parse
from penstock.filters.ast import And, Compare, In, Not, Or

SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="ts", type=DataType.TIMESTAMPTZ, nullable=True),
        Field(name="other", type=DataType.TIMESTAMPTZ),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2),
    )
)
OPS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
YEAR_1200, YEAR_4000 = parse_time("1200-01-01"), parse_time("4000-01-01")


def holds(filter: Filter | None, value: int) -> bool:
    match filter:
        case Compare(op, _, bound):
            return OPS[op](value, bound)
        case In(_, values):
            return value in values
        case Not(part):
            return not holds(part, value)
        case And(parts):
            return all(holds(part, value) for part in parts)
        case Or(parts):
            return any(holds(part, value) for part in parts)
    raise AssertionError(filter)


def moved(micros: int, months: int, seconds: int) -> int:
    """As the C library moves the parts of a time, and Milvus with it."""
    second, fraction = divmod(micros, SECOND)
    parts = time.gmtime(second)
    year, month = divmod(parts.tm_year * 12 + parts.tm_mon - 1 + months, 12)
    first = calendar.timegm((year, month + 1, 1, parts.tm_hour, parts.tm_min, parts.tm_sec))
    return (first + (parts.tm_mday - 1) * 86_400 + seconds) * SECOND + fraction


moments = st.integers(YEAR_1200, YEAR_4000)
days_of_month_ends = st.builds(
    lambda month, day, rest: (
        parse_time(f"{2000 + month // 12:04}-{month % 12 + 1:02}-01") + day * 86_400 * SECOND + rest
    ),
    st.integers(0, 95),
    st.integers(26, 33),
    st.sampled_from([0, 1, 43_200 * SECOND]),
)


@given(
    st.one_of(moments, days_of_month_ends),
    st.one_of(moments, days_of_month_ends),
    st.booleans(),
    st.sampled_from("+-"),
    st.integers(0, 30),
    st.integers(0, 100_000),
    st.sampled_from(list(OPS)),
    st.booleans(),
)
@example(parse_time("2025-01-31"), parse_time("2025-03-03"), False, "+", 1, 0, "==", False)
@example(parse_time("2025-01-31"), parse_time("2025-03-01"), False, "+", 1, 0, ">", False)
def test_intervals(
    value: int, bound: int, same: bool, sign: str, months: int, seconds: int, op: str, reverse: bool
) -> None:
    factor = 1 if sign == "+" else -1
    found = moved(value, factor * months, factor * seconds)
    bound = found if same else bound
    interval = f"P{months // 12}Y{months % 12}MT{seconds}S"
    iso = f"ISO '{format_time(bound, 'Asia/Shanghai')}'"
    left = f"ts {sign} INTERVAL '{interval}'"
    text = f"{iso} {FLIPPED.get(op, op)} {left}" if reverse else f"{left} {op} {iso}"
    assert holds(parse(text, SCHEMA), value) == OPS[op](found, bound)


@given(moments, moments, st.sampled_from(list(OPS)))
def test_comparisons(value: int, bound: int, op: str) -> None:
    assert holds(parse(f'ts {op} iso "{format_time(bound)}"', SCHEMA), value) == OPS[op](value, bound)


@pytest.mark.parametrize("edge", [MIN_TIME, MAX_TIME])
@pytest.mark.parametrize(("op", "expected"), [("<", True), (">=", False), ("==", False), ("!=", True)])
def test_a_bound_beyond_all_times(edge: int, op: str, expected: bool) -> None:
    for interval in ("P9999999D", "P999999999Y"):
        late = parse(f"ts - INTERVAL '{interval}' {op} ISO '9999-12-31T00:00:00Z'", SCHEMA)
        assert holds(late, edge) == expected


def test_times_without_an_offset_are_in_the_time_zone_of_the_collection() -> None:
    filter = parse("ts == ISO '2025-01-01 08:00:00'", SCHEMA.in_timezone("Asia/Shanghai"))
    assert holds(filter, parse_time("2025-01-01"))


def test_ranges_lists_of_conditions_nulls_and_fields() -> None:
    between = parse("ISO '2025-01-01T00:00:00Z' < ts <= ISO '2025-01-02T00:00:00Z' and ts is not null", SCHEMA)
    assert isinstance(between, And)
    assert len(between.parts) == 3
    assert parse("ts > other", SCHEMA) is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "ts > '2025-01-01T00:00:00Z'",
            "comparisons between Timestamptz and VarChar are not supported; write times as",
        ),
        ("ts > 1735689600000000", "comparisons between Timestamptz and Int64 are not supported"),
        ("ts in [1]", "cannot be casted to Timestamptz"),
        ("id > ISO '2025-01-01T00:00:00Z'", "field 'id' is not a timestamptz datatype"),
        ("id + INTERVAL 'P1D' > ISO '2025-01-01T00:00:00Z'", "field 'id' is not a timestamptz datatype"),
        ("ts > ISO 'soon'", "invalid timestamp string: 'soon'"),
        ("ts > ISO '2025-01-32T00:00:00Z'", "invalid timestamp string"),
        ("ts + INTERVAL '1D' > ISO '2025-01-01T00:00:00Z'", "invalid ISO 8601 duration: 1D"),
        ("ts + INTERVAL 'P' > ISO '2025-01-01T00:00:00Z'", "invalid ISO 8601 duration: P"),
        ("ts + INTERVAL 'P1DT' > ISO '2025-01-01T00:00:00Z'", "invalid ISO 8601 duration"),
        ("ts * INTERVAL 'P1D' > ISO '2025-01-01T00:00:00Z'", "times and intervals stand in comparisons"),
        ("ts + INTERVAL 'P1D'", "predicate is not a boolean expression"),
        ("ISO '2025-01-01T00:00:00Z'", "predicate is not a boolean expression"),
        ("ts + 1 > ISO '2025-01-01T00:00:00Z'", "arithmetic operations are not supported on Timestamptz"),
        ("ts == INTERVAL 'P1D'", "times and intervals stand in comparisons"),
        ("ts in [ISO '2025-01-01T00:00:00Z']", "a list holds constants only"),
        ("not ISO '2025-01-01T00:00:00Z'", "'not' can only be applied to a condition"),
        ("-ISO '2025-01-01T00:00:00Z' < ts", "times and intervals stand in comparisons"),
        ("ts like ISO '2025-01-01T00:00:00Z'", "like compares a field with a string pattern"),
        ("text_match(ISO '2025-01-01T00:00:00Z', 'a')", "text_match takes"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidFilter, match=message.replace("[", r"\[")):
        parse(text, SCHEMA)

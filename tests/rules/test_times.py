"""Columns of times are parsed at once, with the same result as one by one."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.schema import DataType, Field
from penstock.domain.times import InvalidTime, parse_time
from penstock.errors import DataError
from penstock.rules.times import micros_of_texts

FIELD = Field(name="at", type=DataType.TIMESTAMPTZ, timezone="America/New_York")


def two(most: int) -> st.SearchStrategy[str]:
    return st.integers(0, most).map("{:02}".format)


years = st.integers(0, 9999).map("{:04}".format) | st.sampled_from(["0000", "0001", "9999", "2024", "2025"])
texts = st.builds(
    "{}-{}-{}{}{}:{}:{}{}{}".format,
    *(years, two(13), two(32), st.sampled_from("T "), two(24), two(60), two(60)),
    st.just("") | st.integers(0, 999_999).map(".{}".format) | st.just(".1234567891"),
    st.sampled_from(["Z", "", "+08"]) | st.builds("{}{}:{}".format, st.sampled_from("+-"), two(15), two(60)),
)


def parsed(text: str | None) -> int | str | None:
    """The time, or why there is none."""
    try:
        return None if text is None else parse_time(text, FIELD.timezone)
    except InvalidTime as error:
        return str(error)


@given(st.lists(st.none() | texts, max_size=3))
def test_a_column_is_what_its_texts_are(column: list[str | None]) -> None:
    expected = [parsed(text) for text in column]
    wrong = next((row for row, time in enumerate(expected) if isinstance(time, str)), None)
    if wrong is None:
        assert micros_of_texts(pa.array(column, pa.string()), FIELD).to_pylist() == expected
        return
    with pytest.raises(DataError) as caught:
        micros_of_texts(pa.array(column, pa.string()), FIELD)
    assert (caught.value.row, caught.value.rule) == (wrong, expected[wrong])

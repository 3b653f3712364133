"""Numbers that come as text."""

from __future__ import annotations

import pytest

from penstock.domain.durations import parse_duration
from penstock.domain.parse_int import number_of_digits
from penstock.errors import ImportRefused


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("-12", -12), ("+7", 7), ("9" * 100, 10**100 - 1)])
def test_digits_are_a_number(text: str, number: int) -> None:
    assert number_of_digits(text) == number


@pytest.mark.parametrize("text", ["", "-", "1.0", "1_0", " 1", "1\n", "１２", "²", "0x1", "9" * 5000])
def test_anything_else_is_none(text: str) -> None:
    assert number_of_digits(text) is None


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("1h45m", 6300), ("2562047h", 9223369200), (".5s", 0.5)])
def test_a_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["1", "-1s", "1.s.", "2562048h", "9" * 400 + "h", "9" * 5000 + "ns", "１s"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ImportRefused, match="invalid duration") as raised:
        parse_duration(text)
    assert len(str(raised.value)) < 300

"""Integers of variable length, as Protocol Buffers' documentation has them."""

from __future__ import annotations

import pytest

from penstock.domain.varints import parse_varint


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"\x01", 1), (b"\x96\x01", 150), (b"\xff" * 9 + b"\x01", 2**64 - 1)],
    ids=["1", "150", "most"],
)
def test_an_integer_and_the_position_behind_it(data: bytes, value: int) -> None:
    assert parse_varint(b"x" + data + b"x", 1) == (value, 1 + len(data))


def test_what_ends_early_or_never() -> None:
    with pytest.raises(IndexError):
        parse_varint(b"\x96", 0)
    with pytest.raises(ValueError, match="more than 64 bits"):
        parse_varint(b"\xff" * 1000, 0)

"""Integers of variable length, seven bits per byte and the lowest first (LEB128): of Protocol Buffers and Thrift."""

from __future__ import annotations

_MAX_BITS = 64


def parse_varint(data: bytes, at: int) -> tuple[int, int]:
    """Parse an unsigned integer at a position; returns it and the position behind it.

    Raises:
        IndexError: the bytes end within it.
        ValueError: it has more than 64 bits.
    """
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift >= _MAX_BITS:
            raise ValueError(f"the integer at byte {at} has more than {_MAX_BITS} bits")

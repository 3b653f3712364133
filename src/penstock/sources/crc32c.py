"""CRC-32C (Castagnoli), the checksum that object stores keep of their objects, computed with NumPy.

A block is split into stripes, whose checksums are computed at the same time, two bytes a step, and then combined
pairwise: a hundred times as fast as a loop over bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL: Final = 0x82F63B78
_STRIPES: Final = 8192
_STRIPE_BYTES: Final = 512
BLOCK_BYTES: Final = _STRIPES * _STRIPE_BYTES
_Words = NDArray[np.uint32]


class Crc32c:
    """An incremental checksum, with the methods of ``hashlib``'s objects."""

    def __init__(self) -> None:
        self._state = 0xFFFFFFFF

    def update(self, data: bytes) -> None:
        view = memoryview(data)
        for start in range(0, len(view), BLOCK_BYTES):
            block = view[start : start + BLOCK_BYTES]
            self._state = int(_shifted(np.array([self._state], np.uint32), len(block))[0]) ^ _remainder(block)

    def hexdigest(self) -> str:
        return f"{self._state ^ 0xFFFFFFFF:08x}"


def _remainder(block: memoryview) -> int:
    """The remainder of a block, begun with zero; zeros before it don't change that."""
    padded = np.zeros(BLOCK_BYTES, np.uint8)
    padded[BLOCK_BYTES - len(block) :] = np.frombuffer(block, np.uint8)
    steps = np.ascontiguousarray(padded.view("<u2").reshape(_STRIPES, _STRIPE_BYTES // 2).T)
    table = _table()
    stripes = np.zeros(_STRIPES, np.uint32)
    for step in steps:
        low = stripes.astype(np.uint16)
        low ^= step
        stripes >>= 16
        stripes ^= table.take(low)
    length = _STRIPE_BYTES
    while len(stripes) > 1:
        stripes = _shifted(stripes[0::2], length) ^ stripes[1::2]
        length *= 2
    return int(stripes[0])


def _shifted(values: _Words, length: int) -> _Words:
    """The remainders after ``length`` zero bytes more."""
    power = 0
    while length >> power:
        if length >> power & 1:
            values = _apply(_operator(power), values)
        power += 1
    return values


def _apply(operator: _Words, values: _Words) -> _Words:
    first = operator[0][values & 0xFF] ^ operator[1][values >> 8 & 0xFF]
    second = operator[2][values >> 16 & 0xFF] ^ operator[3][values >> 24]
    return np.asarray(first ^ second, np.uint32)


@lru_cache(maxsize=64)
def _operator(power: int) -> _Words:
    """What 2**power zero bytes make of each value of each byte of a remainder; it is linear."""
    if power == 0:
        one = np.arange(256, dtype=np.uint32)[None, :] << np.array([[0], [8], [16], [24]], np.uint32)
        return np.asarray(_byte_table()[one & 0xFF] ^ (one >> 8), np.uint32)
    half = _operator(power - 1)
    return _apply(half, half)


@lru_cache(maxsize=1)
def _table() -> _Words:
    """The remainder of each value of two bytes."""
    values = np.arange(65536, dtype=np.uint32)
    for _ in range(2):
        values = _byte_table()[values & 0xFF] ^ (values >> 8)
    return values


@lru_cache(maxsize=1)
def _byte_table() -> _Words:
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = np.where(values & 1, (values >> 1) ^ np.uint32(_POLYNOMIAL), values >> 1)
    return values.astype(np.uint32)

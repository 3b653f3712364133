"""The bound on what the bytes of a file may decode to."""

from __future__ import annotations

from penstock.errors import DataError

MAX_DECODE_RATIO = 1000
"""Decoded bytes per byte of a file. Vectors hardly compress; texts reach a ratio of a hundred."""
BOMB_CHECK_MIN_BYTES = 1 << 30
"""Bytes that any file range may decode to."""


def max_decoded_bytes(size: int) -> int:
    """The most bytes that ``size`` bytes of a file may decode to."""
    return max(BOMB_CHECK_MIN_BYTES, MAX_DECODE_RATIO * size)


def check_decompression_bomb(decoded: int, size: int) -> None:
    """Raises DataError where a file or file range decodes to so many more bytes that it must be a bomb."""
    if decoded > max_decoded_bytes(size):
        raise DataError(
            f"its {size:,} bytes decode to more than {MAX_DECODE_RATIO:,} times as many, "
            f"{decoded >> 20:,} MiB and more",
            remedy="A few bytes that stand for gigabytes would fill the disk. If they are meant, write the file "
            "without dictionaries and compression",
        )

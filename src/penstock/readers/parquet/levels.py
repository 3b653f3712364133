"""Check repetition and definition levels of Parquet pages without unpacking them one by one.

Levels are runs, of one value repeated or of bit-packed values in groups of eight. Vectors of one dimension make the
same runs row after row: the runs of a row are compared with those of the row before, as bytes.
"""

from __future__ import annotations

import numpy as np

from penstock.domain.varints import parse_varint
from penstock.readers.parquet.thrift_compact import Malformed

__all__ = ["are_all", "are_lists_of"]

_MIN_RUNS, _LEVELS_PER_RUN = 4096, 64
"""Runs that are looked at one by one: beyond these, pyarrow is faster."""


def are_lists_of(dim: int, levels: bytes, count: int, first: int) -> bool:
    """Whether these are repetition levels (0 begins a row, 1 continues it) of rows of ``dim`` values.

    ``count`` is the number of levels, ``first`` the position of the first that begins a row.

    Raises:
        Malformed
    """
    at = position = 0
    marks: dict[int, tuple[int, int]] = {}
    try:
        for _ in range(_MIN_RUNS + count // _LEVELS_PER_RUN):
            if position >= count:
                break
            phase = (position - first) % dim
            if phase in marks and position - marks[phase][1] == dim:
                repeats = _repeats(levels, marks[phase][0], at, (count - position) // dim)
                if repeats:
                    at += repeats * (at - marks[phase][0])
                    position += repeats * dim
                    marks.clear()
                    continue
            marks[phase] = at, position
            header, at = parse_varint(levels, at)
            size = header >> 1
            if header & 1:
                packed = np.frombuffer(levels, np.uint8, size, at)
                starts = np.flatnonzero(np.unpackbits(packed, bitorder="little")[: count - position] == 0)
                at += size
                size = min(8 * size, count - position)
                if not np.array_equal(starts, np.arange(-phase % dim, size, dim)):
                    return False
            else:
                value, at = levels[at], at + 1
                if value not in (0, 1) or (size != 1 or phase if value == 0 else -phase % dim < size):
                    return False
            if not size:
                return False
            position += size
    except (IndexError, ValueError) as error:
        raise Malformed("the levels of a page end too early") from error
    return position == count


def _repeats(levels: bytes, start: int, stop: int, most: int) -> int:
    """How often, at most ``most`` times, the bytes from ``start`` to ``stop`` come again after these."""
    size = stop - start
    most = min(most, (len(levels) - stop) // size)
    later = np.frombuffer(levels, np.uint8, most * size, stop).reshape(most, size)
    equal = (later == np.frombuffer(levels, np.uint8, size, start)).all(axis=1)
    return most if equal.all() else int(equal.argmin())


def are_all(value: int, levels: bytes, count: int) -> bool:
    """Whether all of the ``count`` definition levels are ``value``, the highest one: there are no nulls.

    Raises:
        Malformed
    """
    width = value.bit_length()
    group = sum(value << width * number for number in range(8)).to_bytes(width, "little")
    at = position = 0
    try:
        while position < count:
            header, at = parse_varint(levels, at)
            size = header >> 1
            if header & 1:
                whole, rest = divmod(min(8 * size, count - position), 8)
                if levels[at : at + whole * width] != group * whole:
                    return False
                tail = int.from_bytes(levels[at + whole * width : at + (whole + 1) * width], "little")
                mask = (1 << rest * width) - 1
                if rest and tail & mask != int.from_bytes(group, "little") & mask:
                    return False
                at += size * width
                size *= 8
            else:
                if levels[at] != value:
                    return False
                at += 1
            if not size:
                return False
            position += size
    except (IndexError, ValueError) as error:
        raise Malformed("the levels of a page end too early") from error
    return True

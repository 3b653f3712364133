"""Brackets and quotes of a JSON text: all that is looked at to tell where rows begin and end.

NumPy goes over a block in pieces that fit the processor's cache (4.6 GB/s in pieces of 128 KiB, 1.4 GB/s over whole
blocks of 8 MiB, of rows with 768 numbers); what follows works on the few bytes that were found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["CLOSE", "OPEN", "StructuralIndex", "StructuralIndexer"]

OPEN, CLOSE = 0x7B, 0x7D
_QUOTE, _BACKSLASH = 0x22, 0x5C
_LOWER = 0x20
"""Bit that turns ``[`` and ``]`` into ``{`` and ``}``."""
_ANY_BRACKET, _ALL_ONES = 0x26, 0x7F
"""Or'ed with the first, brackets give the second; so do ``Y``, ``_``, ``y`` and DEL, which are sorted out later."""
_PIECE = 128 << 10


@dataclass(frozen=True, slots=True)
class StructuralIndex:
    """The brackets of a block, in and out of strings: arrays of one length.

    ``odd`` tells whether the number of quotes (that no backslash escapes) before the bracket in the block is odd;
    ``quotes`` is their number in the whole block.
    """

    positions: npt.NDArray[np.int64]
    opens: npt.NDArray[np.bool_]
    odd: npt.NDArray[np.bool_]
    quotes: int


class StructuralIndexer:
    """Feed it blocks in order. ``escaping`` tells whether the text so far ends in an odd run of backslashes."""

    def __init__(self) -> None:
        self.escaping = False

    def feed(self, block: bytes) -> StructuralIndex:
        data = np.frombuffer(block, np.uint8)
        found = _candidates(data)
        kinds = data[found]
        is_quote = kinds == _QUOTE
        lowered = kinds | _LOWER
        opens = lowered == OPEN
        wanted = is_quote | opens | (lowered == CLOSE)
        if self.escaping or b"\\" in block:
            wanted[np.flatnonzero(is_quote)[self._escaped(data, found[is_quote])]] = False
            self.escaping = self._ends_escaping(block)
        found, is_quote, opens = found[wanted], is_quote[wanted], opens[wanted]
        quotes = np.cumsum(is_quote)
        brackets = ~is_quote
        return StructuralIndex(
            positions=found[brackets],
            opens=opens[brackets],
            odd=(quotes[brackets] & 1).astype(bool),
            quotes=int(quotes[-1]) if len(quotes) else 0,
        )

    def _escaped(self, data: npt.NDArray[np.uint8], quotes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of the quotes follow an odd run of backslashes."""
        escaped = np.zeros(len(quotes), bool)
        before = np.where(quotes > 0, data[quotes - 1], _BACKSLASH if self.escaping else 0)
        suspects = np.flatnonzero(before == _BACKSLASH)
        if not len(suspects):
            return escaped
        slashes = np.flatnonzero(data == _BACKSLASH)
        starts = np.append(True, np.diff(slashes) > 1)[: len(slashes)]
        run_start = slashes[np.flatnonzero(starts)[np.cumsum(starts) - 1]] if len(slashes) else slashes
        ends = quotes[suspects]
        lengths = np.full(len(ends), int(self.escaping))
        within = ends > 0
        if within.any():
            run = run_start[np.searchsorted(slashes, ends[within] - 1)]
            lengths[within] = ends[within] - run + np.where(run == 0, int(self.escaping), 0)
        escaped[suspects] = lengths % 2 == 1
        return escaped

    def _ends_escaping(self, block: bytes) -> bool:
        run = len(block) - len(block.rstrip(b"\\"))
        return (run + (self.escaping and run == len(block))) % 2 == 1


def _candidates(data: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """Positions of quotes, of brackets, and of some letters."""
    found = []
    for start in range(0, len(data), _PIECE):
        piece = data[start : start + _PIECE]
        marked = (piece | _ANY_BRACKET) == _ALL_ONES
        marked |= piece == _QUOTE
        found.append(np.flatnonzero(marked) + start)
    return found[0] if len(found) == 1 else np.concatenate([np.empty(0, np.int64), *found])

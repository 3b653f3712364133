"""Strict quotes for CSV: RFC 4180 where the CSV parser underneath is lenient.

pyarrow takes a quote inside an unquoted cell as text, drops what follows a closing quote and lets a quote that is
never closed swallow the rest of the file. The stream here watches the quotes of what it hands on and refuses these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from penstock.errors import DataError

__all__ = ["QuoteCheckingStream", "data_row_at"]

_QUOTE, _LF, _CR = 0x22, 0x0A, 0x0D


class QuoteCheckingStream:
    """A readable file over ``stream`` that raises DataError (with a byte offset) at the first misplaced quote.

    ``stream`` begins with a cell, at byte ``start`` of the file. ``position`` is the offset of the next byte to be
    read; ``error`` keeps what was raised, since the CSV parser may read in a thread of its own.
    """

    def __init__(self, stream: BinaryIO, separator: str, start: int = 0) -> None:
        self._stream = stream
        self._is_end = np.zeros(256, bool)
        self._is_end[[ord(separator), _LF, _CR, _QUOTE]] = True
        self._quoted = False
        self._opened = start
        self._previous = _LF
        self._closed_last = False
        self.position = start
        self.error: DataError | None = None
        self.closed = False

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True
        self._stream.close()

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(size)
        if block:
            self._check(np.frombuffer(block, np.uint8))
            self.position += len(block)
        elif self._quoted:
            self._refuse("the quoted cell that begins here is never closed", self._opened)
        return block

    def _check(self, data: npt.NDArray[np.uint8]) -> None:
        last = len(data) - 1
        if self._closed_last and not self._is_end[data[0]]:
            self._refuse("text follows the closing quote of a cell", self.position - 1)
        found = np.flatnonzero(data == _QUOTE)
        # Quotes open and close in turn; a doubled quote closes and opens again.
        opening, closing = found[int(self._quoted) :: 2], found[int(not self._quoted) :: 2]
        before = np.where(opening > 0, data[opening - 1], self._previous)
        after = np.where(closing < last, data[np.minimum(closing + 1, last)], _LF)
        misplaced = opening[~self._is_end[before]]
        followed = closing[~self._is_end[after]]
        if len(misplaced) and not (len(followed) and followed[0] < misplaced[0]):
            self._refuse("a quote stands inside a cell that is not quoted", self.position + int(misplaced[0]))
        if len(followed):
            self._refuse("text follows the closing quote of a cell", self.position + int(followed[0]))
        if len(opening):
            self._opened = self.position + int(opening[-1])
        self._quoted ^= bool(len(found) % 2)
        self._closed_last = bool(len(found)) and int(found[-1]) == last and not self._quoted
        self._previous = int(data[-1])

    def _refuse(self, rule: str, offset: int) -> None:
        self.error = DataError(
            rule, offset=offset, remedy='Put the cell between quotes and write a quote inside of it as ""'
        )
        raise self.error


def data_row_at(blocks: Iterator[bytes], offset: int) -> int:
    """Which data row (the header not counted, blank lines neither) holds the byte at ``offset``."""
    position, ended, quotes, begun = 0, 0, 0, False
    for block in blocks:
        part = block[: offset - position]
        data = np.frombuffer(part, np.uint8)
        is_quote = data == _QUOTE
        outside = (quotes + np.cumsum(is_quote)) % 2 == 0
        ends = outside & ((data == _LF) | (data == _CR))
        before = np.concatenate([[not begun], ends[:-1]]) if len(ends) else ends
        ended += int(np.count_nonzero(ends & ~before))
        if len(ends):
            begun = not bool(ends[-1])
        quotes += int(np.count_nonzero(is_quote))
        position += len(part)
        if position >= offset:
            break
    return max(0, ended - 1)

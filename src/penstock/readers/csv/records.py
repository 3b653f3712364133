"""Whole rows of CSV text, with strict quotes: RFC 4180 where the CSV parser underneath is lenient.

pyarrow takes a quote inside an unquoted cell as text, drops what follows a closing quote and lets a quote that is
never closed swallow the rest of the file. All three are refused here, after the rows before have been given out.

A row ends with a line feed, or a carriage return, that stands outside of quotes: an even number of them comes before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from penstock.errors import DataError
from penstock.readers.byte_ranges import blocks
from penstock.sources.base import Source

__all__ = ["check_quotes", "row_ends", "row_start", "whole_rows"]

_QUOTE, _LF, _CR = 0x22, 0x0A, 0x0D
_PIECE = 128 << 10
"""Bytes that NumPy goes over at a time: they fit the processor's cache."""


def whole_rows(
    source: Source, start: int, end: int, separator: str, *, size: int, max_row: int
) -> Iterator[tuple[int, bytes]]:
    """The rows in ``[start, end)``, some in a text, with the byte offset of each text.

    A row begins at ``start``; blocks of ``size``, which is at most ``max_row``, are read.

    Raises:
        DataError: with a byte offset: a quote stands in the wrong place or is never closed, or a row is longer than
            ``max_row``.
    """
    pending: list[bytes] = []
    held, at, quoted = 0, start, False
    for block in blocks(source, start, end, size=size):
        quotes = _quotes(block)
        if held + len(block) > max_row:
            first, _ = row_ends(block, quoted)
            if held + (len(block) if first is None else first) > max_row:
                raise _too_long(b"".join([*pending, block])[:max_row], at, separator)
        stop = _last_row_end(block, quotes, quoted)
        quoted ^= len(quotes) % 2 == 1
        if stop:
            rows = b"".join([*pending, block[:stop]])
            yield from _checked(rows, at, separator)
            at += len(rows)
            pending, held = [], 0
        pending.append(block[stop:])
        held += len(block) - stop
    rest = b"".join(pending)
    if rest:
        yield from _checked(rest, at, separator, last=True)


def check_quotes(rows: bytes, at: int, separator: str) -> None:
    """Raise DataError for the first quote in the wrong place; ``rows`` begin at byte ``at``."""
    fault = _find_fault(rows, separator, last=True)
    if fault is not None:
        raise _refused(fault, at)


def row_ends(text: bytes, quoted: bool) -> tuple[int | None, int | None]:
    """The position behind the first row's end in ``text``, and behind the first one if it begins in the other case.

    ``quoted`` tells whether ``text`` begins inside of quotes. A carriage return at the end of ``text`` doesn't count:
    a line feed may follow.
    """
    ends = _line_ends(text)
    odd = np.searchsorted(_quotes(text), ends) % 2 == 1
    here, other = ends[odd == quoted], ends[odd != quoted]
    return (int(here[0]) + 1 if len(here) else None), (int(other[0]) + 1 if len(other) else None)


def row_start(text: bytes, number: int) -> int:
    """Where the row of that number begins in whole rows, blank lines not counted."""
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero((data == _LF) | (data == _CR))
    ends = ends[np.searchsorted(_quotes(text), ends) % 2 == 0]
    starts = np.concatenate([[0], ends + 1])
    rows = starts[starts != np.append(ends, len(text))]
    return int(rows[number])


def _quotes(text: bytes) -> npt.NDArray[np.int64]:
    data = np.frombuffer(text, np.uint8)
    pieces = range(0, len(data), _PIECE)
    found = [np.flatnonzero(data[start : start + _PIECE] == _QUOTE) + start for start in pieces]
    return found[0] if len(found) == 1 else np.concatenate([np.empty(0, np.int64), *found])


def _line_ends(text: bytes) -> npt.NDArray[np.int64]:
    """Line feeds, and carriage returns that another byte than a line feed follows."""
    data = np.frombuffer(text, np.uint8)
    ends = data == _LF
    if b"\r" in text:
        ends[:-1] |= (data[:-1] == _CR) & ~ends[1:]
    return np.flatnonzero(ends)


def _last_row_end(text: bytes, quotes: npt.NDArray[np.int64], quoted: bool) -> int:
    """The position behind the last row's end, 0 if there is none."""
    found = max(text.rfind(b"\n"), text.rfind(b"\r", 0, len(text) - 1))
    if found < 0 or (int(np.searchsorted(quotes, found)) + quoted) % 2 == 0:
        return found + 1
    # The last line end stands in a cell, as all may: looked at one by one, they would be looked for over and over.
    ends = _line_ends(text)
    ends = ends[(np.searchsorted(quotes, ends) + quoted) % 2 == 0]
    return int(ends[-1]) + 1 if len(ends) else 0


class _Fault(NamedTuple):
    """What is wrong with a quote, and where in the text."""

    rule: str
    position: int


def _checked(rows: bytes, at: int, separator: str, *, last: bool = False) -> Iterator[tuple[int, bytes]]:
    fault = _find_fault(rows, separator, last=last)
    if fault is None:
        yield at, rows
        return
    # With the quote itself, before which a carriage return ends a row.
    stop = _last_row_end(rows[: fault.position + 1], _quotes(rows[: fault.position]), False)
    if stop:
        yield at, rows[:stop]
    raise _refused(fault, at)


def _too_long(row: bytes, at: int, separator: str) -> DataError:
    """For a row that begins with ``row``: a quote in the wrong place tells better why it has no end."""
    fault = _find_fault(row, separator, last=False)
    if fault is not None:
        return _refused(fault, at)
    return DataError(f"a row is longer than {len(row)} bytes, or the quote of a cell is never closed", offset=at)


def _refused(fault: _Fault, at: int) -> DataError:
    remedy = 'Put the cell between quotes and write a quote inside of it as ""'
    return DataError(fault.rule, offset=at + fault.position, remedy=remedy)


def _find_fault(rows: bytes, separator: str, *, last: bool) -> _Fault | None:
    """The first quote that stands where none may stand. ``last``: one that is never closed is wrong too."""
    found = _quotes(rows)
    if not len(found):
        return None
    data = np.frombuffer(rows, np.uint8)
    is_edge = np.zeros(256, bool)
    is_edge[[ord(separator), _LF, _CR, _QUOTE]] = True
    # Quotes open and close in turn; a doubled quote closes and opens again.
    opening, closing = found[::2], found[1::2]
    before = np.where(opening > 0, data[opening - 1], _LF)
    after = np.where(closing < len(data) - 1, data[np.minimum(closing + 1, len(data) - 1)], _LF)
    misplaced, followed = opening[~is_edge[before]], closing[~is_edge[after]]
    if len(misplaced) and not (len(followed) and followed[0] < misplaced[0]):
        return _Fault("a quote stands inside a cell that is not quoted", int(misplaced[0]))
    if len(followed):
        return _Fault("text follows the closing quote of a cell", int(followed[0]))
    if last and len(found) % 2:
        return _Fault("the quoted cell that begins here is never closed", int(opening[-1]))
    return None

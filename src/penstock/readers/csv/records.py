"""Read complete rows of CSV text with strict RFC 4180 quotes, where the CSV parser underneath is lenient.

pyarrow takes a quote inside an unquoted cell as text, drops text after a closing quote and lets an unclosed quote
swallow the rest of the file. All three are refused here, after the rows before them are yielded.

A row ends with a line feed, or a carriage return, outside of quotes: an even number of quotes precedes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from penstock.errors import DataError
from penstock.readers.byte_ranges import blocks
from penstock.sources.base import Source

_QUOTE, _LF, _CR = 0x22, 0x0A, 0x0D
_CHUNK = 128 << 10
"""Bytes per NumPy operation: they fit the CPU cache."""


def whole_rows(
    source: Source, start: int, end: int, separator: str, *, size: int, max_row: int
) -> Iterator[tuple[int, bytes]]:
    """Read the rows in ``[start, end)``, several per text, with the byte offset of each text.

    A row begins at ``start``; reads are of ``size`` bytes, which is at most ``max_row``.

    Raises:
        DataError: with a byte offset: a quote is misplaced or never closed, or a row is longer than
            ``max_row``.
    """
    pending: list[bytes] = []
    pending_bytes, at, quoted = 0, start, False
    for block in blocks(source, start, end, size=size):
        quotes = _quotes(block)
        if pending_bytes + len(block) > max_row:
            first, _ = row_ends(block, quoted)
            if pending_bytes + (len(block) if first is None else first) > max_row:
                raise _length_error(b"".join([*pending, block])[:max_row], at, separator)
        stop = _last_row_end(block, quotes, quoted)
        quoted ^= len(quotes) % 2 == 1
        if stop:
            rows = b"".join([*pending, block[:stop]])
            yield from _rows_before_fault(rows, at, separator)
            at += len(rows)
            pending, pending_bytes = [], 0
        pending.append(block[stop:])
        pending_bytes += len(block) - stop
    rest = b"".join(pending)
    if rest:
        yield from _rows_before_fault(rest, at, separator, last=True)


def check_quotes(rows: bytes, at: int, separator: str) -> None:
    """Raise DataError for the first misplaced quote; ``rows`` begin at byte ``at``."""
    fault = _find_fault(rows, separator, last=True)
    if fault is not None:
        raise _quote_error(fault, at)


def row_ends(text: bytes, quoted: bool) -> tuple[int | None, int | None]:
    """Find the position behind the first row's end in ``text``, and the same for the opposite of ``quoted``.

    ``quoted``: ``text`` begins inside quotes. A carriage return at the end of ``text`` doesn't count: a line feed may
    follow.
    """
    ends = _line_ends(text)
    odd = np.searchsorted(_quotes(text), ends) % 2 == 1
    same, opposite = ends[odd == quoted], ends[odd != quoted]
    return (int(same[0]) + 1 if len(same) else None), (int(opposite[0]) + 1 if len(opposite) else None)


def row_start(text: bytes, number: int) -> int:
    """Find the position of row ``number`` in a text of complete rows, blank lines not counted."""
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero((data == _LF) | (data == _CR))
    ends = ends[np.searchsorted(_quotes(text), ends) % 2 == 0]
    starts = np.concatenate([[0], ends + 1])
    rows = starts[starts != np.append(ends, len(text))]
    return int(rows[number])


def row_widths(text: bytes, separator: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find where the rows in a text of complete rows begin, blank lines not counted, and how many cells each has."""
    data = np.frombuffer(text, np.uint8)
    quotes = _quotes(text)
    ends = np.flatnonzero((data == _LF) | (data == _CR))
    ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
    separators = np.flatnonzero(data == ord(separator))
    if len(quotes):
        separators = separators[np.searchsorted(quotes, separators) % 2 == 0]
    starts = np.concatenate([[0], ends + 1])
    stops = np.append(ends, len(text))
    is_row = starts != stops
    starts, stops = starts[is_row], stops[is_row]
    return starts, np.searchsorted(separators, stops) - np.searchsorted(separators, starts) + 1


def _quotes(text: bytes) -> npt.NDArray[np.int64]:
    data = np.frombuffer(text, np.uint8)
    starts = range(0, len(data), _CHUNK)
    positions = [np.flatnonzero(data[start : start + _CHUNK] == _QUOTE) + start for start in starts]
    return positions[0] if len(positions) == 1 else np.concatenate([np.empty(0, np.int64), *positions])


def _line_ends(text: bytes) -> npt.NDArray[np.int64]:
    """Find line feeds, and carriage returns followed by another byte than a line feed."""
    data = np.frombuffer(text, np.uint8)
    ends = data == _LF
    if b"\r" in text:
        ends[:-1] |= (data[:-1] == _CR) & ~ends[1:]
    return np.flatnonzero(ends)


def _last_row_end(text: bytes, quotes: npt.NDArray[np.int64], quoted: bool) -> int:
    """Find the position behind the last row's end, 0 if there is none."""
    last = max(text.rfind(b"\n"), text.rfind(b"\r", 0, len(text) - 1))
    if last < 0 or (int(np.searchsorted(quotes, last)) + quoted) % 2 == 0:
        return last + 1
    # The last line end is in a cell, as all may be: testing them one by one would repeat the search for each.
    ends = _line_ends(text)
    ends = ends[(np.searchsorted(quotes, ends) + quoted) % 2 == 0]
    return int(ends[-1]) + 1 if len(ends) else 0


class _Fault(NamedTuple):
    """The rule that a quote breaks, and its position in the text."""

    rule: str
    position: int


def _rows_before_fault(rows: bytes, at: int, separator: str, *, last: bool = False) -> Iterator[tuple[int, bytes]]:
    fault = _find_fault(rows, separator, last=last)
    if fault is None:
        yield at, rows
        return
    # Up to and including the quote, before which a carriage return ends a row.
    stop = _last_row_end(rows[: fault.position + 1], _quotes(rows[: fault.position]), False)
    if stop:
        yield at, rows[:stop]
    raise _quote_error(fault, at)


def _length_error(row: bytes, at: int, separator: str) -> DataError:
    """Error for a long row that begins with ``row``: a misplaced quote, if any, is the better explanation."""
    fault = _find_fault(row, separator, last=False)
    if fault is not None:
        return _quote_error(fault, at)
    return DataError(f"a row is longer than {len(row)} bytes, or the quote of a cell is never closed", offset=at)


def _quote_error(fault: _Fault, at: int) -> DataError:
    remedy = 'Put the cell between quotes and write a quote inside of it as ""'
    return DataError(fault.rule, offset=at + fault.position, remedy=remedy)


def _find_fault(rows: bytes, separator: str, *, last: bool) -> _Fault | None:
    """Find the first misplaced quote. ``last``: one that is never closed is a fault too."""
    quotes = _quotes(rows)
    if not len(quotes):
        return None
    data = np.frombuffer(rows, np.uint8)
    is_edge = np.zeros(256, bool)
    is_edge[[ord(separator), _LF, _CR, _QUOTE]] = True
    # Quotes alternately open and close; a doubled quote closes and reopens.
    opening, closing = quotes[::2], quotes[1::2]
    before = np.where(opening > 0, data[opening - 1], _LF)
    after = np.where(closing < len(data) - 1, data[np.minimum(closing + 1, len(data) - 1)], _LF)
    misplaced, followed = opening[~is_edge[before]], closing[~is_edge[after]]
    if len(misplaced) and not (len(followed) and followed[0] < misplaced[0]):
        return _Fault("a quote stands inside a cell that is not quoted", int(misplaced[0]))
    if len(followed):
        return _Fault("text follows the closing quote of a cell", int(followed[0]))
    if last and len(quotes) % 2:
        return _Fault("the quoted cell that begins here is never closed", int(opening[-1]))
    return None

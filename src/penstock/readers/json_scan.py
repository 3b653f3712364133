"""Finds the rows in a stream of JSON: the objects of a list, or objects one after the other.

Only brackets and quotes are looked at, with NumPy over whole blocks; whether a row is valid JSON is for its parser to
say. Memory is bounded by a block and the largest row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.errors import DataError
from penstock.readers.json_text import MAX_RECORD_BYTES, find_syntax_fault

__all__ = ["RecordScanner"]

_QUOTE, _BACKSLASH, _OPEN, _CLOSE = 0x22, 0x5C, 0x7B, 0x7D
_LOWER = 0x20
"""Bit that turns ``[`` and ``]`` into ``{`` and ``}``."""
_PREFIX_BYTES = 1 << 20
_GAP_BYTES = 64


class RecordScanner:
    """Feed it blocks in order; it gives back the rows that end in each, with their byte offsets.

    Args:
        offset: where in the file the first block begins.
        listed: the rows stand in a list, with a comma between, and the list's ``]`` ends them; else newlines,
            commas or nothing may stand between, and the end of the file ends them.

    ``done`` is true once the list has ended; ``rest`` is then what followed in the last block.
    """

    def __init__(self, offset: int, *, listed: bool) -> None:
        self._base = offset
        self._listed = listed
        self._depth = 0
        self._in_string = False
        self._backslashes = 0
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._start = offset
        self._gap = b""
        self._rows = 0
        self.done = False
        self.rest = b""

    @property
    def offset(self) -> int:
        """Where in the file the next block begins."""
        return self._base

    def feed(self, block: bytes) -> list[tuple[int, bytes]]:
        """The rows that end in ``block``: (byte offset in the file, text).

        Raises:
            DataError: something other than an object stands where a row should, or a row is too long.
        """
        records: list[tuple[int, bytes]] = []
        positions, deltas = self._brackets(block)
        depths = self._depth + np.cumsum(deltas)
        marks = np.flatnonzero(((depths == 1) & (deltas == 1)) | ((depths <= 0) & (deltas == -1)))
        begin = 0
        for mark in marks.tolist():
            position = int(positions[mark])
            if deltas[mark] == 1:
                self._check_gap(block[begin:position], position, opened=block[position])
                self._start, begin = self._base + position, position
                self._depth = 1
            elif depths[mark] == 0:
                text = b"".join([*self._pending, block[begin : position + 1]])
                self._pending, self._pending_bytes, self._gap = [], 0, b""
                records.append((self._start, text))
                self._rows += 1
                self._depth, begin = 0, position + 1
            else:
                self._end_list(block, begin, position)
                return records
        self._depth = int(depths[-1]) if len(depths) else self._depth
        self._keep(block, begin)
        self._base += len(block)
        return records

    def finish(self) -> None:
        """Raise unless the file may end here."""
        if self._depth > 0:
            raise self._unfinished("the file ends inside a row: it is truncated, or a bracket or quote is missing")
        if self._listed:
            raise DataError(
                "the file ends before the list of rows does: rows list should end with ']'",
                row=self._rows,
                offset=self._base,
                remedy="The file is truncated; write or upload it again",
            )
        self._refuse_gap(self._gap, self._base, allow_comma=True)

    def _brackets(self, block: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int8]]:
        """Positions of brackets outside strings, and +1 for an opening and -1 for a closing one."""
        data = np.frombuffer(block, np.uint8)
        lowered = data | _LOWER
        special = (lowered == _OPEN) | (lowered == _CLOSE) | (data == _QUOTE)
        found = np.flatnonzero(special)
        is_quote = data[found] == _QUOTE
        quotes = self._unescaped(data, found[is_quote])
        brackets = found[~is_quote]
        inside = (np.searchsorted(quotes, brackets) + self._in_string) % 2 == 1
        self._in_string ^= bool(len(quotes) % 2)
        outside = brackets[~inside]
        return outside, np.where(lowered[outside] == _OPEN, 1, -1).astype(np.int8)

    def _unescaped(self, data: npt.NDArray[np.uint8], quotes: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The quotes that no odd run of backslashes precedes."""
        carried, self._backslashes = self._backslashes, self._trailing_backslashes(data)
        before = np.where(quotes > 0, data[quotes - 1], _BACKSLASH if carried else 0)
        suspects = before == _BACKSLASH
        if not suspects.any():
            return quotes
        slashes = np.flatnonzero(data == _BACKSLASH)
        starts = np.append(True, np.diff(slashes) > 1)[: len(slashes)]
        run_start = slashes[np.flatnonzero(starts)[np.cumsum(starts) - 1]] if len(slashes) else slashes
        ends = quotes[suspects]
        lengths = np.zeros(len(ends), np.int64)
        within = ends > 0
        if within.any():
            run = run_start[np.searchsorted(slashes, ends[within] - 1)]
            lengths[within] = ends[within] - run + np.where(run == 0, carried, 0)
        lengths[~within] = carried
        keep = np.ones(len(quotes), bool)
        keep[np.flatnonzero(suspects)[lengths % 2 == 1]] = False
        return quotes[keep]

    def _trailing_backslashes(self, data: npt.NDArray[np.uint8]) -> int:
        """How many backslashes end the text read so far, as 0 or 1 for even or odd."""
        count = 0
        while count < len(data) and data[-1 - count] == _BACKSLASH:
            count += 1
        return (count + (self._backslashes if count == len(data) else 0)) % 2

    def _keep(self, block: bytes, begin: int) -> None:
        if self._depth > 0:
            self._pending.append(block[begin:])
            self._pending_bytes += len(block) - begin
            if self._pending_bytes > MAX_RECORD_BYTES:
                raise self._unfinished(
                    f"a row is longer than {MAX_RECORD_BYTES >> 20} MiB, or a bracket or quote is missing"
                )
            return
        self._gap = (self._gap + block[begin:]).strip()
        if len(self._gap) > _GAP_BYTES:
            self._refuse_gap(self._gap, self._base + begin, allow_comma=True)

    def _check_gap(self, part: bytes, position: int, opened: int) -> None:
        gap = (self._gap + part).strip()
        self._gap = b""
        if self._listed:
            if gap != (b"," if self._rows else b""):
                self._refuse_gap(gap, self._base + position, allow_comma=False)
        elif gap not in (b"", b","):
            self._refuse_gap(gap, self._base + position, allow_comma=True)
        if opened != _OPEN:
            raise DataError(
                "each row should be a key-value map, but got type array",
                row=self._rows,
                offset=self._base + position,
                remedy=None
                if self._listed
                else "A file that holds one list of rows is named .json; .jsonl and .ndjson hold one object per line",
            )

    def _refuse_gap(self, gap: bytes, offset: int, *, allow_comma: bool) -> None:
        """Raise for what stands between two rows, or before the first, unless it is nothing (or a comma)."""
        if gap == b"" and (allow_comma or not self._rows):
            return
        if gap == b"," and allow_comma and self._rows:
            return
        text = gap.decode(errors="replace")
        if gap.startswith(b",") and self._rows:
            gap = gap[1:].strip()
        kind = _scalar_type(gap)
        if not gap:
            rule = "invalid JSON: a comma is missing between two rows"
        elif kind:
            rule = f"each row should be a key-value map, but got type {kind}"
        else:
            rule = "invalid JSON: expected a row or the end of the rows"
        raise DataError(rule, row=self._rows, offset=offset, value=text or None)

    def _end_list(self, block: bytes, begin: int, position: int) -> None:
        if not self._listed or block[position] != 0x5D:
            raise DataError(
                f"invalid JSON: unexpected {chr(block[position])!r}", row=self._rows, offset=self._base + position
            )
        gap = (self._gap + block[begin:position]).strip()
        if gap == b",":
            raise DataError(
                "invalid JSON: a comma stands before the closing ']'", row=self._rows, offset=self._base + position
            )
        if gap:
            self._refuse_gap(gap, self._base + position, allow_comma=False)
        self.done = True
        self.rest = block[position + 1 :]

    def _unfinished(self, rule: str) -> DataError:
        """An error for the row that has begun; says where its JSON breaks, if that can be told."""
        start = b"".join(self._pending)[:_PREFIX_BYTES]
        fault = find_syntax_fault(start)
        if fault is not None and not fault.at_end:
            return DataError(f"invalid JSON: {fault.rule}", row=self._rows, offset=self._start + fault.offset)
        return DataError(
            rule, row=self._rows, offset=self._start, remedy="Look at the row that begins there; write the file again"
        )


def _scalar_type(gap: bytes) -> str | None:
    """The JSON type that a text between rows begins with, if any."""
    first = gap[:1]
    if first == b'"':
        return "string"
    if first in b"-0123456789" and first:
        return "number"
    word = gap.split(b",")[0].strip()
    return {b"true": "bool", b"false": "bool", b"null": "null"}.get(word)

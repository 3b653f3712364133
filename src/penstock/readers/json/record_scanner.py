"""Find the rows in a stream of JSON: the objects of a list, or concatenated objects.

Only brackets and quotes are examined, with NumPy over whole blocks; the row's parser validates the JSON. Memory is
bounded by a block and the largest row.
"""

from __future__ import annotations

import re

import numpy as np

from penstock.errors import DataError
from penstock.readers.columns.json_values import MAX_RECORD_BYTES, WRAPPED_REMEDY, find_syntax_fault
from penstock.readers.json.structural_index import OPEN, StructuralIndexer

_PREFIX_BYTES = 1 << 20
_GAP_BYTES = 64
_COMMAS = frozenset({b",", b",\n", b", ", b",\r\n"})
_NEWLINES = frozenset({b"", b"\n", b"\r\n"})
"""What stands between most rows: in a list, and elsewhere. Anything else is looked at in detail."""
_WRAPPED = re.compile(rb'\{\s*"rows"\s*:\s*\[')


class RecordScanner:
    """Incremental scanner: takes blocks in order and returns the rows that end in each, with their byte offsets.

    Args:
        offset: where in the file the first block begins.
        listed: the rows are in a list, separated by commas and ended by its ``]``; else they are separated by
            newlines, commas or nothing, and ended by the end of the file.
        first: the first block holds the file's first row, or nothing; else it begins behind a row's bracket.

    ``done`` is true once the list has ended; ``rest`` is then the remainder of the last block, and ``rest_offset``
    its position in the file.
    """

    def __init__(self, offset: int, *, listed: bool, first: bool = True) -> None:
        self._base = offset
        self._listed = listed
        self._follows = not first
        self._indexer = StructuralIndexer()
        self._depth = 0
        self._in_string = False
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._start = offset
        self._gap = b""
        self._gap_start = offset
        self._rows = 0
        self._fault: DataError | None = None
        self.done = False
        self.rest = b""
        self.rest_offset = offset

    @property
    def offset(self) -> int:
        """Offset of the next block in the file."""
        return self._base

    def feed(self, block: bytes) -> list[tuple[int, bytes]]:
        """Return the rows that end in ``block``: (byte offset in the file, text). Those before a fault are returned
        first; then :meth:`check` raises."""
        records: list[tuple[int, bytes]] = []
        try:
            self._scan(block, records)
        except DataError as error:
            self._fault = error
        return records

    def check(self) -> None:
        """Raise the fault behind the rows of the last block, if any.

        Raises:
            DataError: something other than an object is in place of a row, or a row is too long.
        """
        if self._fault is not None:
            raise self._fault

    def finish(self) -> None:
        """Raise unless the file may end here."""
        self.check()
        if self._depth > 0:
            raise self._unfinished("the file ends inside a row: it is truncated, or a bracket or quote is missing")
        if self._listed:
            raise DataError(
                "the file ends before the list of rows does: rows list should end with ']'",
                row=self._rows,
                offset=self._base,
                remedy="The file is truncated; write or upload it again",
            )
        self._refuse_gap(self._gap, allow_comma=True)

    def _scan(self, block: bytes, records: list[tuple[int, bytes]]) -> None:
        marks = self._indexer.feed(block)
        outside = marks.odd == self._in_string
        self._in_string ^= bool(marks.quotes % 2)
        positions, opens = marks.positions[outside], marks.opens[outside]
        depths = self._depth + np.cumsum(np.where(opens, 1, -1))
        edges = np.flatnonzero(((depths == 1) & opens) | ((depths <= 0) & ~opens))
        begin = 0
        separators = _COMMAS if self._listed else _NEWLINES
        for position, is_opening, depth in zip(
            positions[edges].tolist(), opens[edges].tolist(), depths[edges].tolist(), strict=True
        ):
            if is_opening:
                if (
                    self._gap
                    or not self._follows
                    or block[position] != OPEN
                    or block[begin:position] not in separators
                ):
                    self._add_gap(block, begin, position)
                    self._end_gap(position, opened=block[position])
                self._start, begin = self._base + position, position
                self._depth = 1
            elif depth == 0:
                text = block[begin : position + 1]
                if self._pending:
                    self._pending.append(text)
                    text = b"".join(self._pending)
                    self._check_length(len(text))
                    self._pending, self._pending_bytes = [], 0
                self._gap = b""
                records.append((self._start, text))
                self._rows += 1
                self._follows = True
                self._depth, begin = 0, position + 1
            else:
                self._add_gap(block, begin, position)
                self._end_list(block, position)
                return
        self._depth = int(depths[-1]) if len(depths) else self._depth
        if self._depth > 0:
            self._pending.append(block[begin:])
            self._pending_bytes += len(block) - begin
            self._check_length(self._pending_bytes)
        else:
            self._add_gap(block, begin, len(block))
        self._base += len(block)

    def _check_length(self, length: int) -> None:
        if length > MAX_RECORD_BYTES:
            raise self._unfinished(
                f"a row is longer than {MAX_RECORD_BYTES >> 20} MiB, or a bracket or quote is missing"
            )

    def _add_gap(self, block: bytes, begin: int, end: int) -> None:
        """Buffer the text between two rows, with whitespace collapsed."""
        gap = block[begin:end]
        if not self._gap:
            gap = gap.lstrip()
            self._gap_start = self._base + end - len(gap)
        self._gap += gap
        if len(self._gap) > _GAP_BYTES:
            ends = [b""] if self._gap[-1:].isspace() else []
            self._gap = b" ".join([*self._gap.split(), *ends])
            if len(self._gap) > _GAP_BYTES:
                self._refuse_gap(self._gap, allow_comma=True)

    def _end_gap(self, position: int, opened: int) -> None:
        gap, self._gap = self._gap.strip(), b""
        if self._listed:
            if gap != (b"," if self._follows else b""):
                self._refuse_gap(gap, allow_comma=False)
        elif gap not in (b"", b","):
            self._refuse_gap(gap, allow_comma=True)
        if opened != OPEN:
            raise DataError(
                "each row should be a key-value map, but got type array",
                row=self._rows,
                offset=self._base + position,
                remedy=None
                if self._listed
                else "A file that holds one list of rows is named .json; .jsonl and .ndjson hold one object per line",
            )

    def _refuse_gap(self, gap: bytes, *, allow_comma: bool) -> None:
        """Raise for text between two rows, or before the first, unless it is empty (or a comma)."""
        gap = b" ".join(gap.split())
        if gap == b"" and (allow_comma or not self._follows):
            return
        if gap == b"," and allow_comma and self._follows:
            return
        text = gap[:_GAP_BYTES].decode(errors="replace")
        if gap.startswith(b",") and self._follows:
            gap = gap[1:].strip()
        kind = _scalar_type(gap)
        if not gap:
            rule = "invalid JSON: a comma is missing between two rows"
        elif kind:
            rule = f"each row should be a key-value map, but got type {kind}"
        else:
            rule = "invalid JSON: expected a row or the end of the rows"
        raise DataError(rule, row=self._rows, offset=self._gap_start, value=text or None)

    def _end_list(self, block: bytes, position: int) -> None:
        if not self._listed or block[position] != 0x5D:
            raise DataError(
                f"invalid JSON: unexpected {chr(block[position])!r}", row=self._rows, offset=self._base + position
            )
        gap = self._gap.strip()
        if gap == b",":
            raise DataError(
                "invalid JSON: a comma stands before the closing ']'", row=self._rows, offset=self._gap_start
            )
        if gap:
            self._refuse_gap(gap, allow_comma=False)
        self.done = True
        self.rest = block[position + 1 :]
        self.rest_offset = self._base + position + 1

    def _unfinished(self, rule: str) -> DataError:
        """Error for the unfinished row, at its first syntax error if one can be found."""
        start = b"".join(self._pending)[:_PREFIX_BYTES]
        fault = find_syntax_fault(start)
        if fault is not None and not fault.at_end:
            return DataError(f"invalid JSON: {fault.rule}", row=self._rows, offset=self._start + fault.offset)
        remedy = "Look at the row that begins there; write the file again"
        if not self._listed and _WRAPPED.match(start):
            remedy = WRAPPED_REMEDY
        return DataError(rule, row=self._rows, offset=self._start, remedy=remedy)


def _scalar_type(gap: bytes) -> str | None:
    """Name the JSON type that a text between rows begins with, if any."""
    first = gap[:1]
    if first == b'"':
        return "string"
    if first in b"-0123456789" and first:
        return "number"
    word = gap.split(b",")[0].strip()
    return {b"true": "bool", b"false": "bool", b"null": "null"}.get(word)

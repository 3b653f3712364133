"""Blocks and lines of a source's byte range, for the formats made of text."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from penstock.errors import DataError
from penstock.readers.json_text import MAX_RECORD_BYTES
from penstock.sources.base import Source

__all__ = ["BLOCK_BYTES", "BOM", "blocks", "even_spans", "lines"]

BLOCK_BYTES = 8 << 20
"""Bytes read at a time: large enough that object stores stream, small against a worker's memory budget."""

BOM = b"\xef\xbb\xbf"
_TAIL_BYTES = 256 << 10


def blocks(source: Source, start: int = 0, end: int | None = None, *, size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """The bytes from ``start`` up to ``end`` in blocks of at most ``size``; none is empty."""
    with source.open_stream(start, end) as stream:
        while block := stream.read(size):
            yield block


def even_spans(start: int, end: int, parts: int) -> list[tuple[int, int]]:
    """``[start, end)`` in so many parts that differ by a byte at most."""
    bounds = [start + (end - start) * part // parts for part in range(parts + 1)]
    return list(pairwise(bounds))


def lines(source: Source, start: int, end: int, *, size: int = BLOCK_BYTES) -> Iterator[list[tuple[int, bytes]]]:
    """The lines that start in ``[start, end)``, whole, with their byte offsets; a list per block.

    A line belongs to the range that holds its first byte, so neighbouring ranges give every line exactly once.
    Blank lines are left out.
    """
    # Only the byte before tells whether a line begins at `start`; the line that holds it belongs to another range.
    offset = max(start - 1, 0)
    carry: list[bytes] = []
    held = 0
    for block in _range_and_tail(source, offset, end, size):
        *whole, rest = block.split(b"\n")
        batch: list[tuple[int, bytes]] = []
        for line in whole:
            if carry:
                line = b"".join([*carry, line])
                carry, held = [], 0
            if offset >= end:
                break
            if offset >= start and line and not line.isspace():
                batch.append((offset, line))
            offset += len(line) + 1
        if batch:
            yield batch
        if offset >= end:
            return
        carry.append(rest)
        held += len(rest)
        if held > MAX_RECORD_BYTES:
            raise DataError(
                f"the line is longer than {MAX_RECORD_BYTES >> 20} MiB, the most that one row may have",
                file=source.name,
                offset=offset,
            )
    last = b"".join(carry)
    if start <= offset < end and last and not last.isspace():
        yield [(offset, last)]


def _range_and_tail(source: Source, start: int, end: int, size: int) -> Iterator[bytes]:
    """The range's blocks, then, should the last line need it, what follows in small ones."""
    yield from blocks(source, start, end, size=size)
    if end < source.size:
        yield from blocks(source, end, size=min(size, _TAIL_BYTES))

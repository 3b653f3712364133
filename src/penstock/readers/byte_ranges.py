"""Read blocks and lines of a source's byte range, for the text formats."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from penstock.errors import DataError
from penstock.readers.columns.json_values import MAX_RECORD_BYTES
from penstock.sources.base import Source

BLOCK_BYTES = 1 << 20
"""Bytes per read: their rows stay in the cache of the processor until they are parsed. Rows of 768 numbers take
6.5 us each to cut out, and 11.6 us of blocks of 8 MiB. Reads from object stores are larger, and ahead of these."""

SAMPLE_BLOCK_BYTES = 256 << 10
"""Bytes per read for the first rows of a file."""

BOM = b"\xef\xbb\xbf"
_TAIL_BYTES = 256 << 10
_LONG_LINE = 256
"""Bytes from which on it is faster to search for the end of each line than to split at all ends at once, as ``find``
compares 32 bytes in a step, and ``split`` one: 27 MB of lines of 9 KB in 6 and 14 ms of processor time."""
_SHORT_LINE = 8
"""Average line length, in bytes, below which most lines are blank: no row is that short."""
_NOT_BLANK = re.compile(rb"(?m)^[^\S\n]*+\S[^\n]*+")
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
}
_COMPRESSED_SUFFIXES = {"gzip": ".gz", "Zstandard": ".zst", "bzip2": ".bz2"}
"""Suffixes of the compressions that are read."""
_OTHER_FORMATS = {
    b"PAR1": "Parquet",
    b"\x93NUMPY": "NumPy",
    b"ARROW1": "Arrow IPC",
    b"Obj\x01": "Avro",
    b"ORC": "ORC",
}
_SIGNATURE_BYTES = 8
_UTF_16 = re.compile(rb"\xff\xfe|\xfe\xff|[^\0]\0[^\0]\0|\0[^\0]\0[^\0]|\0\0\xfe\xff", re.DOTALL)


def check_is_text(head: bytes) -> None:
    """Raise DataError where a text file begins with the signature of another format or encoding."""
    for signature, name in _COMPRESSED.items():
        if head.startswith(signature):
            suffix = _COMPRESSED_SUFFIXES.get(name)
            remedy = f"Add {suffix} to the file's name" if suffix else "Decompress the file first"
            raise DataError(f"the content is compressed ({name}), not text", offset=0, remedy=remedy)
    for signature, name in _OTHER_FORMATS.items():
        if head.startswith(signature):
            raise DataError(
                f"the content is {name}, not text", offset=0, remedy="Give the file the suffix of its format"
            )
    if _UTF_16.match(head):
        raise DataError("the text is UTF-16 or UTF-32, not UTF-8", offset=0, remedy="Write the file in UTF-8")


def checked_blocks(source: Source, size: int) -> Iterator[bytes]:
    """Read a whole text file in blocks, checking the first for other formats (:func:`check_is_text`)."""
    for number, block in enumerate(blocks(source, size=max(size, _SIGNATURE_BYTES))):
        if not number:
            try:
                check_is_text(block)
            except DataError as error:
                raise error.at(file=source.name) from None
        yield block


def blocks(source: Source, start: int = 0, end: int | None = None, *, size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Read the bytes from ``start`` up to ``end`` in non-empty blocks of at most ``size``."""
    with source.open_stream(start, end) as stream:
        while block := stream.read(size):
            yield block


def even_spans(start: int, end: int, count: int) -> list[tuple[int, int]]:
    """Divide ``[start, end)`` into ``count`` spans whose sizes differ by at most a byte."""
    bounds = [start + (end - start) * number // count for number in range(count + 1)]
    return list(pairwise(bounds))


def lines(source: Source, start: int, end: int, *, size: int = BLOCK_BYTES) -> Iterator[list[tuple[int, bytes]]]:
    """Read the lines that start in ``[start, end)``, complete, with their byte offsets; a list per block.

    A line belongs to the range that holds its first byte, so adjacent ranges yield every line exactly once. Blank
    lines are left out.
    """
    # The byte before `start` decides whether a line begins there; that byte's own line belongs to another range.
    offset = base = max(start - 1, 0)
    carry: list[bytes] = []
    carry_bytes = 0
    for block in _range_and_tail(source, offset, end, size):
        first_end = block.find(b"\n")
        if first_end < 0:
            carry.append(block)
            carry_bytes += len(block)
        else:
            batch = [(offset, b"".join([*carry, block[:first_end]]))]
            batch += [(base + at, line) for at, line in _lines_within(block, first_end + 1)]
            batch = [(at, line) for at, line in batch if start <= at < end and line and not line.isspace()]
            if batch:
                yield batch
            last_end = block.rfind(b"\n")
            carry, carry_bytes = [block[last_end + 1 :]], len(block) - last_end - 1
            offset = base + last_end + 1
            if offset >= end:
                return
        base += len(block)
        if carry_bytes > MAX_RECORD_BYTES:
            raise DataError(
                f"the line is longer than {MAX_RECORD_BYTES >> 20} MiB, the most that one row may have",
                file=source.name,
                offset=offset,
            )
    last = b"".join(carry)
    if start <= offset < end and last and not last.isspace():
        yield [(offset, last)]


def _lines_within(block: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Complete lines of a block from ``start`` on, behind its first line's end, with their positions in it. If most
    are blank, blank ones are left out."""
    at = start
    while (end := block.find(b"\n", at)) - at >= _LONG_LINE:
        yield at, block[at:end]
        at = end + 1
    if end < 0:
        return
    most = len(block) // _SHORT_LINE
    split = block[at:].split(b"\n", most + 1)  # instead of counting the lines first, which takes as long again
    if len(split) > most + 1:
        yield from ((match.start(), match[0]) for match in _NOT_BLANK.finditer(block, at, block.rfind(b"\n") + 1))
        return
    for line in split[:-1]:
        yield at, line
        at += len(line) + 1


def _range_and_tail(source: Source, start: int, end: int, size: int) -> Iterator[bytes]:
    """Read the range in blocks, then what follows in small blocks, for a last line that crosses its end."""
    yield from blocks(source, start, end, size=size)
    if end < source.size:
        yield from blocks(source, end, size=min(size, _TAIL_BYTES))

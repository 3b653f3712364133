"""Read JSON Lines files (``.jsonl``, ``.ndjson``): one object per line.

As in Milvus, objects may also be separated by a newline, a comma or nothing, and may span lines. The first row
decides whether a file has one object per line; only then it can be cut at any byte. Otherwise a boundary scan finds
the ends of rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from penstock.domain.jobs import FileRange
from penstock.errors import DataError
from penstock.readers.base import BoundaryScan, FormatSpec, ReadRequest, RowBatch, Sample, SampleRequest
from penstock.readers.byte_ranges import (
    BLOCK_BYTES,
    BOM,
    SAMPLE_BLOCK_BYTES,
    blocks,
    checked_blocks,
    even_spans,
    lines,
)
from penstock.readers.columns.json_values import MAX_RECORD_BYTES, holds
from penstock.readers.columns.row_builder import RowBuilder, min_row_bytes
from penstock.readers.compression import CompressibleText, with_compressed
from penstock.readers.json.boundary_scan import JsonBoundaryScan
from penstock.readers.json.record_scanner import RecordScanner
from penstock.readers.json.samples import sample_records
from penstock.sources.base import Source

_PEEK_BYTES = 64 << 10
_BETWEEN_OBJECTS = re.compile(rb"\}\s*+(?:,\s*+)?\{")


@dataclass(frozen=True, slots=True)
class JsonLinesReader:
    """Reader of ``.jsonl`` and ``.ndjson``.

    A range is ``{"start", "end", "lines"}``. With ``lines`` they are arbitrary offsets, and :meth:`read` reads the
    lines that begin within; without, both are behind a row's ``}`` or at an end of the file.
    """

    block_bytes: int = BLOCK_BYTES

    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[FileRange] | BoundaryScan:
        source = request.sources[0]
        size = source.size
        min_bytes = request.least_row_bytes(min_row_bytes(request.schema))
        try:
            by_lines = size == 0 or _has_line_per_row(source, min(self.block_bytes, _PEEK_BYTES))
        except DataError as error:
            by_lines = request.skips_bad_rows and _has_object_line(source)
            if not by_lines:
                raise error.at(file=source.name) from None
        count = max(1, round(size / split_bytes))
        if count > 1 and not by_lines:
            return JsonBoundaryScan(start=0, size=size, count=count, min_row_bytes=min_bytes, spec={"lines": False})
        return [
            FileRange(
                spec={"start": start, "end": end, "lines": by_lines},
                size=end - start,
                # A line belongs to the range in which it begins, and may hold several rows.
                max_rows=(min(size, end + MAX_RECORD_BYTES) - start) // min_bytes + 1,
            )
            for start, end in even_spans(0, size, count)
        ]

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        source, start, end = request.sources[0], spec["start"], spec["end"]
        groups: Iterator[Iterable[tuple[int, bytes]]] = iter(())
        if start == end:
            pass  # an object store has no range of an empty object
        elif spec["lines"]:
            groups = map(_rows_of_lines, lines(source, start, end, size=self.block_bytes))
        else:
            groups = _objects(source, start, end, self.block_bytes)
        return RowBuilder(request, start=start).batches(groups)

    def sample(self, request: SampleRequest) -> Sample:
        source = request.sources[0]
        groups: Iterator[Iterable[tuple[int, bytes]]] = iter(())
        block_bytes = min(self.block_bytes, SAMPLE_BLOCK_BYTES)
        if source.size:
            try:
                by_lines = _has_line_per_row(source, min(block_bytes, _PEEK_BYTES))
            except DataError as error:
                raise error.at(file=source.name) from None
            if by_lines:
                groups = map(_rows_of_lines, lines(source, 0, source.size, size=block_bytes))
            else:
                groups = _objects(source, 0, source.size, block_bytes)
        return sample_records(request, groups)


def _has_line_per_row(source: Source, block_bytes: int) -> bool:
    """Whether the first row is exactly one line. A blank file counts as such."""
    scanner: RecordScanner | None = None
    after = b""
    records: list[tuple[int, bytes]] = []
    for block in checked_blocks(source, block_bytes):
        if scanner is None:
            skip = len(BOM) if block.startswith(BOM) else 0
            scanner, block = RecordScanner(skip, listed=False), block[skip:]
        if records:
            after += block
        else:
            start = scanner.offset
            records = scanner.feed(block)
            if records:
                after = block[records[0][0] + len(records[0][1]) - start :]
            else:
                scanner.check()
        if records:
            line, newline, _ = after.partition(b"\n")
            if newline or line.strip():
                return not line.strip() and b"\n" not in records[0][1]
            after = b""
    if scanner is not None and not records:
        scanner.finish()
    return not records or b"\n" not in records[0][1]


def _has_object_line(source: Source) -> bool:
    """Whether a line at the beginning of the file is an object: the first row may be a bad one."""
    with source.open_stream(0, min(source.size, _PEEK_BYTES)) as stream:
        head = stream.read()
    for line in head.split(b"\n"):
        try:
            if isinstance(orjson.loads(line), dict):
                return True
        except orjson.JSONDecodeError:
            continue
    return False


def _rows_of_lines(group: list[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Yield lines, each replaced by its objects if it doesn't look like exactly one object."""
    for offset, line in group:
        if offset == 0 and line.startswith(BOM):
            offset, line = len(BOM), line[len(BOM) :]
        text = line.strip()
        if text in (b"", b","):
            continue
        # Lines of several objects, or with a comma at the end, are rare. One closing brace rules both out cheaply.
        if text[:1] == b"{" and text[-1:] == b"}" and (holds(text, b"}", 1) or not _BETWEEN_OBJECTS.search(text)):
            yield offset, line
        else:
            yield from _objects_on(offset, line)


def _objects_on(offset: int, line: bytes) -> Iterator[tuple[int, bytes]]:
    scanner = RecordScanner(offset, listed=False)
    try:
        records = scanner.feed(line)
        scanner.finish()
    except DataError:
        # The row parser's error is more precise.
        records = []
    yield from records or [(offset, line)]


def _objects(source: Source, start: int, end: int, size: int) -> Iterator[list[tuple[int, bytes]]]:
    scanner = RecordScanner(start, listed=False, first=start == 0)
    for block in blocks(source, start, end, size=max(size, len(BOM))):
        if scanner.offset == 0 and block.startswith(BOM):
            scanner, block = RecordScanner(len(BOM), listed=False), block[len(BOM) :]
        yield scanner.feed(block)
        scanner.check()
    if end == source.size:
        scanner.finish()


JSON_LINES = FormatSpec(
    name="JSONL", extensions=with_compressed("jsonl", "ndjson"), reader=CompressibleText(JsonLinesReader())
)

"""JSON files: one list of objects, bare or as ``{"rows": […]}``.

The list is never held as a whole: rows are cut out of blocks and parsed one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from penstock.domain.jobs import JobWarning
from penstock.errors import DataError
from penstock.readers.base import ReadRequest, RowBatch, SplitPlan
from penstock.readers.blocks import BLOCK_BYTES, BOM, blocks
from penstock.readers.json_scan import RecordScanner
from penstock.readers.row_builder import RowBuilder, least_row_text

__all__ = ["JSON_READER", "JsonReader"]

_ROOT_BYTES = 1 << 20
_WHITESPACE = b" \t\r\n"
_ROOT_KEY = re.compile(rb'\{[ \t\r\n]*("(?:[^"\\]|\\.)*")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_ROOT_KEY_BEGUN = re.compile(rb'\{[ \t\r\n]*(?:"(?:[^"\\]|\\.)*(?:\\|"[ \t\r\n]*(?::[ \t\r\n]*)?)?)?\Z', re.DOTALL)


@dataclass(frozen=True, slots=True)
class JsonReader:
    """Reads ``.json``; a file is one split, since only its beginning tells where rows begin."""

    block_bytes: int = BLOCK_BYTES

    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[SplitPlan]:
        source = request.sources[0]
        _Root.read(request, blocks(source, size=min(self.block_bytes, 64 << 10)))
        most = source.size // (least_row_text(request.schema) + 1) + 1
        return [SplitPlan(spec={}, size=source.size, max_rows=most)]

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        source = request.sources[0]
        stream = blocks(source, size=self.block_bytes)
        root = _Root.read(request, stream)
        scanner = RecordScanner(root.offset, listed=True)
        builder = RowBuilder(request)
        block: bytes | None = root.rest
        while block is not None and not scanner.done:
            try:
                records = scanner.feed(block)
            except DataError as error:
                raise error.at(file=source.name) from None
            yield from builder.add_all(records)
            block = next(stream, None)
        if not scanner.done:
            try:
                scanner.finish()
            except DataError as error:
                raise error.at(file=source.name) from None
        yield from builder.finish()
        _warn_of_rest(request, scanner.rest, block, stream, wrapped=root.wrapped)


@dataclass(frozen=True, slots=True)
class _Root:
    """What stands before the rows: the first row's block from ``offset`` on, and whether an object is around them."""

    offset: int
    rest: bytes
    wrapped: bool

    @classmethod
    def read(cls, request: ReadRequest, stream: Iterator[bytes]) -> _Root:
        source = request.sources[0]
        if source.size == 0:
            raise DataError("the file is empty", file=source.name, remedy="A file without rows holds []")
        head = b""
        for block in stream:
            head += block
            try:
                found = _find_list(head)
            except DataError as error:
                raise error.at(file=source.name) from None
            if found is not None:
                position, wrapped = found
                return cls(position, head[position:], wrapped)
            if len(head) > _ROOT_BYTES:
                break
        raise DataError(
            "invalid JSON format, the content should be started with '{' or '['", file=source.name, offset=0
        )


def _find_list(head: bytes) -> tuple[int, bool] | None:
    """The position after the rows' ``[`` and whether ``{"rows":`` came before; None if ``head`` is too short."""
    if len(head) < len(BOM) and BOM.startswith(head):
        return None
    bom = len(BOM) if head.startswith(BOM) else 0
    start = len(head) - len(head[bom:].lstrip(_WHITESPACE))
    if start == len(head):
        return None
    if head[start] == 0x5B:
        return start + 1, False
    if head[start] != 0x7B:
        raise DataError(
            "invalid JSON format, the content should be started with '{' or '['",
            offset=start,
            value=head[start : start + 1].decode(errors="replace"),
        )
    match = _ROOT_KEY.match(head, start)
    if match is None:
        if _ROOT_KEY_BEGUN.match(head, start) and len(head) < _ROOT_BYTES:
            return None
        raise DataError("invalid JSON format, the root key should be 'rows'", offset=start)
    key = _decoded(match[1], start)
    if key.lower() != "rows":
        raise DataError(
            f"invalid JSON format, the root key should be 'rows', but get {key!r}",
            offset=start,
            remedy="A .json file holds a list of objects; name a file with one object per line .jsonl",
        )
    if match.end() == len(head):
        return None
    if head[match.end()] != 0x5B:
        raise DataError("invalid JSON format, the value of 'rows' should be a list", offset=match.end())
    return match.end() + 1, True


def _decoded(key: bytes, offset: int) -> str:
    try:
        return str(orjson.loads(key))
    except orjson.JSONDecodeError as error:
        raise DataError(f"invalid JSON: {error.msg}", offset=offset) from None


def _warn_of_rest(
    request: ReadRequest, rest: bytes, block: bytes | None, stream: Iterator[bytes], *, wrapped: bool
) -> None:
    """Tell the job of text after the rows; it is not read, as in Milvus."""
    if block is not None:
        stream = _chain(block, stream)
    closed = not wrapped
    text = rest.strip()
    while True:
        if text and not closed and text[:1] == b"}":
            closed, text = True, text[1:].strip()
        if text:
            message = "the text after the list of rows was not read"
            break
        following = next(stream, None)
        if following is None:
            message = "" if closed else "the '}' after the list of rows is missing"
            break
        text = following.strip()
    if message:
        request.warnings.append(JobWarning(code="text_after_rows", message=message))


def _chain(block: bytes, stream: Iterator[bytes]) -> Iterator[bytes]:
    yield block
    yield from stream


JSON_READER = JsonReader()

"""Read JSON files: one list of objects, bare, as ``{"rows": […]}``, or as services of embeddings answer.

Those answer ``{"object": "list", "data": […], "model": "…", "usage": {…}}``: the rows are the list ``data``, among
keys without lists.

The list is never in memory as a whole: rows are cut out of blocks and parsed one by one. A large file needs a
boundary scan before it is cut, since a position alone doesn't show whether it is in a string, or how deep in a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import orjson

from penstock.domain.jobs import FileRange
from penstock.errors import DataError
from penstock.readers.base import BoundaryScan, FormatSpec, ReadRequest, RowBatch, Sample, SampleRequest
from penstock.readers.byte_ranges import BLOCK_BYTES, BOM, SAMPLE_BLOCK_BYTES, blocks, checked_blocks
from penstock.readers.columns.row_builder import RowBuilder, min_row_bytes
from penstock.readers.compression import CompressibleText, with_compressed
from penstock.readers.json.boundary_scan import JsonBoundaryScan
from penstock.readers.json.record_scanner import RecordScanner
from penstock.readers.json.samples import sample_records

_ROOT_BYTES = 1 << 20
_MAX_REST_BYTES = 1 << 20
"""Maximum bytes of the keys behind the list ``data``."""
_WHITESPACE = b" \t\r\n"
_ANSWER_BYTES = 4096
"""Maximum bytes before the list ``data``."""
_BLANK = rb"[ \t\r\n]*+"
_SINGLE = (
    rb'"(?!data")[^"\\]*+"' + _BLANK + b":" + _BLANK + rb'(?:"(?:[^"\\]|\\.)*+"|[-+.\w]++)' + _BLANK + b"," + _BLANK
)
_ANSWER = re.compile(
    rb"\{" + _BLANK + b"(?:" + _SINGLE + b')*+"data"' + _BLANK + b":" + _BLANK + rb"\[",
    re.DOTALL,
)
"""Start of an answer, up to its list: single values may precede it."""
_ROOT_KEY = re.compile(rb'\{[ \t\r\n]*("(?:[^"\\]|\\.)*")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_ROOT_KEY_BEGUN = re.compile(rb'\{[ \t\r\n]*(?:"(?:[^"\\]|\\.)*(?:\\|"[ \t\r\n]*(?::[ \t\r\n]*)?)?)?\Z', re.DOTALL)


@dataclass(frozen=True, slots=True)
class JsonReader:
    """Reader of ``.json``.

    A range is ``{"start", "end", "wrapped", "keyed"}``: rows from byte ``start`` (0 or behind a row's ``}``) up to
    ``end`` (behind a row's ``}`` or the end of the file), whether the list of rows is in an object, and whether
    other keys may follow it there.
    """

    block_bytes: int = BLOCK_BYTES

    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[FileRange] | BoundaryScan:
        size = request.sources[0].size
        root = _Root.read(request, checked_blocks(request.sources[0], min(self.block_bytes, 64 << 10)))
        min_bytes = request.least_row_bytes(min_row_bytes(request.schema) + 1)
        count = round(size / split_bytes)
        if count > 1:
            spec = {"wrapped": root.wrapped, "keyed": root.keyed}
            return JsonBoundaryScan(start=root.offset, size=size, count=count, min_row_bytes=min_bytes, spec=spec)
        whole = {"start": 0, "end": size, "wrapped": root.wrapped, "keyed": root.keyed}
        return [FileRange(spec=whole, size=size, max_rows=size // min_bytes + 1)]

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        return RowBuilder(request, start=spec["start"]).batches(self._records(request, spec))

    def sample(self, request: SampleRequest) -> Sample:
        read = request.read_request()
        source = request.sources[0]
        reader = replace(self, block_bytes=min(self.block_bytes, SAMPLE_BLOCK_BYTES))
        root = _Root.read(read, checked_blocks(source, reader.block_bytes))
        spec = {"start": 0, "end": source.size, "wrapped": root.wrapped, "keyed": root.keyed}
        return sample_records(request, reader._records(read, spec))

    def _records(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[list[tuple[int, bytes]]]:
        source, start, end = request.sources[0], spec["start"], spec["end"]
        stream = blocks(source, start, end, size=self.block_bytes)
        block: bytes | None
        if start == 0:
            root = _Root.read(request, stream)
            scanner, block = RecordScanner(root.offset, listed=True), root.rest
        else:
            scanner, block = RecordScanner(start, listed=True, first=False), next(stream, None)
        while block is not None and not scanner.done:
            yield scanner.feed(block)
            scanner.check()
            block = next(stream, None)
        if scanner.done:
            unread = [] if block is None else [block]
            rest = chain([scanner.rest], unread, stream)
            if spec.get("keyed"):  # not in the plans of earlier releases
                _check_keys(rest, scanner.rest_offset)
            else:
                _check_rest(rest, scanner.rest_offset, wrapped=spec["wrapped"])
        elif end == source.size:
            scanner.finish()


@dataclass(frozen=True, slots=True)
class _Root:
    """Start of the rows: their ``offset``, the ``rest`` of its block, whether an object wraps the list, and whether
    that has other keys."""

    offset: int
    rest: bytes
    wrapped: bool
    keyed: bool

    @classmethod
    def read(cls, request: ReadRequest, stream: Iterator[bytes]) -> _Root:
        source = request.sources[0]
        if source.size == 0:
            raise DataError("the file is empty", file=source.name, remedy="A file without rows holds []")
        head = b""
        for block in stream:
            head += block
            root = cls._find(head, source.name)
            if root is not None:
                return root
            if len(head) > _ROOT_BYTES:
                break
        cls._find(head, source.name, complete=True)
        raise DataError(
            "invalid JSON format, the content should be started with '{' or '['", file=source.name, offset=0
        )

    @classmethod
    def _find(cls, head: bytes, file: str, *, complete: bool = False) -> _Root | None:
        try:
            start = _find_list(head, complete)
        except DataError as error:
            raise error.at(file=file) from None
        if start is None:
            return None
        position, wrapped, keyed = start
        return cls(position, head[position:], wrapped, keyed)


def _find_list(head: bytes, complete: bool) -> tuple[int, bool, bool] | None:
    """Find the position after the rows' ``[``, whether an object precedes, and whether that is an answer.

    None if ``head``, which is not ``complete``, is too short.
    """
    if len(head) < len(BOM) and BOM.startswith(head):
        return None
    bom = len(BOM) if head.startswith(BOM) else 0
    start = len(head) - len(head[bom:].lstrip(_WHITESPACE))
    if start == len(head):
        return None
    if head[start] == 0x5B:
        return start + 1, False, False
    if head[start] != 0x7B:
        raise DataError(
            "invalid JSON format, the content should be started with '{' or '['",
            offset=start,
            value=head[start : start + 1].decode(errors="replace"),
        )
    answer = _ANSWER.match(head, start)
    if answer is not None:
        return answer.end(), True, True
    match = _ROOT_KEY.match(head, start)
    if match is None:
        if _ROOT_KEY_BEGUN.match(head, start) and len(head) < _ROOT_BYTES:
            return None
        raise DataError("invalid JSON format, the root key should be 'rows'", offset=start)
    key = _decode_key(match[1], start)
    if key.lower() != "rows" and not complete and len(head) < _ANSWER_BYTES:
        return None
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
    return match.end() + 1, True, False


def _check_keys(blocks: Iterable[bytes], offset: int) -> None:
    """Raise unless only keys without lists, in which rows may be, follow the list ``data`` in its object."""
    text = b""
    for block in blocks:
        text += block
        if len(text) > _MAX_REST_BYTES:
            break
    try:
        others = orjson.loads(b'{"data":0' + text)
    except orjson.JSONDecodeError:
        others = None
    if others is None or len(text) > _MAX_REST_BYTES or any(isinstance(value, list) for value in others.values()):
        raise DataError(
            "text follows the list of rows",
            offset=offset,
            value=text[:1].decode(errors="replace"),
            remedy="Behind the list 'data' only keys without lists may follow, and the '}' of its object",
        )


def _decode_key(key: bytes, offset: int) -> str:
    try:
        return str(orjson.loads(key))
    except orjson.JSONDecodeError as error:
        raise DataError(f"invalid JSON: {error.msg}", offset=offset) from None


def _check_rest(blocks: Iterable[bytes], offset: int, *, wrapped: bool) -> None:
    """Raise for text after the list of rows, which begins at ``offset``: rows may be in it.

    Milvus doesn't read it, and completes with only some of the rows.
    """
    closed = not wrapped
    for block in blocks:
        text = block.lstrip(_WHITESPACE)
        if text and not closed and text.startswith(b"}"):
            closed, text = True, text[1:].lstrip(_WHITESPACE)
        if text:
            raise DataError(
                "text follows the list of rows",
                offset=offset + len(block) - len(text),
                value=text[:1].decode(errors="replace"),
                remedy="A .json file holds one list; join the lists, or write one object per line into a .jsonl file",
            )
        offset += len(block)
    if not closed:
        raise DataError(
            "the '}' after the list of rows is missing",
            offset=offset,
            remedy="The file is truncated; write or upload it again",
        )


JSON = FormatSpec(name="JSON", extensions=with_compressed("json"), reader=CompressibleText(JsonReader()))

"""Read exports whose records are JSON objects that hold a row's fields one level down.

Each record becomes a row of JSON text, which is read as one of a JSON Lines file: keys that hold objects of fields
(a payload, properties, metadata) are replaced by these fields, and an object of vectors by its vectors. A file is one
file range, as its rows are converted one by one; many files are read in parallel.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, TypeAlias

import orjson

from penstock.domain.jobs import FileRange
from penstock.errors import DataError
from penstock.readers.base import BoundaryScan, ReadRequest, RowBatch, Sample, SampleRequest
from penstock.readers.byte_ranges import BLOCK_BYTES, BOM, SAMPLE_BLOCK_BYTES, checked_blocks
from penstock.readers.columns.json_values import JsonParser, is_json_object, json_type, text_of
from penstock.readers.columns.row_builder import RowBuilder, min_row_bytes
from penstock.readers.json.record_scanner import RecordScanner
from penstock.readers.json.samples import sample_records
from penstock.sources.base import Source

Records: TypeAlias = Iterator[list[tuple[int, bytes]]]
"""Rows of JSON text with their byte offsets in the file, a list per block."""

_HEAD_BYTES = 64 << 10
"""Bytes before the list of records, at most."""
_REST_BYTES = 1 << 20
"""Bytes behind the list of records, at most."""
_BLANK = rb"[ \t\r\n]*+"
_SINGLE_VALUES = (
    rb'(?:"[^"\\]*+"'
    + _BLANK
    + b":"
    + _BLANK
    + rb'(?:"(?:[^"\\]|\\.)*+"|[-+.\w]++)'
    + _BLANK
    + b","
    + _BLANK
    + rb")*+"
)
"""Keys with single values, which may precede the list in its object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordShape:
    """The shape of a store's records.

    ``store`` is its name in messages, ``lists`` the keys that lead to the list of records in a JSON file, one of
    them; a file may also be the bare list, or have one record after another. ``renamed`` are keys with another name
    for the column, ``unpacked`` those that hold an object of fields, and ``vectors`` those that hold a vector or an
    object of them; its vector named ``default_vector`` is the column ``vector``.
    """

    store: str
    lists: Sequence[Sequence[str]]
    unpacked: frozenset[str]
    vectors: frozenset[str] = frozenset()
    renamed: Mapping[str, str] | None = None
    default_vector: str = ""
    required: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RecordsReader:
    """Reader of the records that ``records`` yields of a source, in blocks of so many bytes. A range is ``{}``.

    ``has_offsets``: the offsets of the records are places in the file. ``least_bytes`` are the fewest that a row
    takes in the file; 0: as many as a row of JSON text.
    """

    records: Callable[[Source, int], Records]
    block_bytes: int = BLOCK_BYTES
    has_offsets: bool = True
    least_bytes: int = 0

    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[FileRange] | BoundaryScan:
        source = request.sources[0]
        if source.size == 0:
            raise DataError("the file is empty", file=source.name, remedy="Export it again")
        least = request.least_row_bytes(self.least_bytes or min_row_bytes(request.schema))
        rows = source.size // least + 1
        return [FileRange(spec={}, size=source.size, max_rows=rows)]

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        source = request.sources[0]
        bytes_read = 0
        try:
            for batch in RowBuilder(request).batches(self.records(source, self.block_bytes)):
                # A row's text may be longer than its record's.
                bytes_read = min(source.size, max(bytes_read, batch.bytes_read))
                yield replace(batch, bytes_read=bytes_read)
        except DataError as error:
            raise (error if self.has_offsets else error.at(offset=None)) from None

    def sample(self, request: SampleRequest) -> Sample:
        source = request.sources[0]
        if source.size == 0:
            raise DataError("the file is empty", file=source.name, remedy="Export it again")
        return sample_records(request, self.records(source, min(self.block_bytes, SAMPLE_BLOCK_BYTES)))


def reader_of(shape: RecordShape) -> RecordsReader:
    """The reader of the JSON files of a shape."""
    return RecordsReader(lambda source, block_bytes: _unpacked(shape, source, block_bytes))


def _unpacked(shape: RecordShape, source: Source, block_bytes: int) -> Records:
    unpack = Unpacker(shape)
    row = 0
    for group in scanned(shape, source, block_bytes):
        rows = []
        for offset, text in group:
            try:
                rows.append((offset, unpack(text)))
            except DataError as error:
                if rows:
                    yield rows  # an error in one of them comes first
                raise error.at(row=row, offset=offset + (error.offset or 0)) from None
            row += 1
        yield rows


class Unpacker:
    """Converts the text of a record to that of a row. Its rows keep the texts of numbers as the parser reads them."""

    def __init__(self, shape: RecordShape) -> None:
        self._shape = shape
        self._renamed = shape.renamed or {}
        self._parser = JsonParser()

    def __call__(self, text: bytes) -> bytes:
        """Convert a record.

        Raises:
            DataError: it is not one of the store, or a field has the name of another.
        """
        shape = self._shape
        record = self._parser.parse(text)
        if not is_json_object(record):
            raise DataError(f"each record of {shape.store} is an object, not {json_type(record)}")
        keys = list(record)
        if missing := shape.required.difference(keys):
            raise DataError(
                f"the record has no key {sorted(missing)[0]!r}, which every record of {shape.store} has",
                value=text[:100].decode(errors="replace"),
                remedy="Is the file from another program? Leave from_format out, or name that program",
            )
        row: dict[str, orjson.Fragment] = {}
        for key, value in record.items():
            is_object = value is None or is_json_object(value)
            if is_object and (key in shape.unpacked or (key in shape.vectors and not _is_sparse(value))):
                self._add_all(row, value or {}, key)
            else:
                self._add(row, self._renamed.get(key, key), value, "")
        return orjson.dumps(row)

    def _add_all(self, row: dict[str, orjson.Fragment], values: Any, key: str) -> None:
        for name, value in values.items():
            is_default = key in self._shape.vectors and name == self._shape.default_vector
            self._add(row, "vector" if is_default else name, value, key)

    def _add(self, row: dict[str, orjson.Fragment], name: str, value: Any, key: str) -> None:
        if name in row:
            where = f"{key!r} holds a key that is also elsewhere in the record" if key else "it has the key twice"
            raise DataError(f"two values for one column: {where}", field=name, remedy="Rename it before the export")
        row[name] = orjson.Fragment(text_of(value))


def _is_sparse(value: Any) -> bool:
    """Whether an object is a sparse vector, and not vectors by name."""
    return value is not None and set(value) == {"indices", "values"}


def scanned(shape: RecordShape, source: Source, block_bytes: int) -> Records:
    """The texts of the records of a JSON or JSON Lines file."""
    stream = checked_blocks(source, block_bytes)
    head = b""
    for block in stream:
        head += block
        if len(head) >= _HEAD_BYTES:
            break
    bom = len(BOM) if head.startswith(BOM) else 0
    start, path = _list_start(shape, source.name, head, bom)
    listed = path is not None
    scanner = RecordScanner(bom if start is None else start, listed=listed)
    block_or_end: bytes | None = head[scanner.offset :]
    while block_or_end is not None and not scanner.done:
        yield scanner.feed(block_or_end)
        scanner.check()
        block_or_end = next(stream, None)
    if not scanner.done:
        scanner.finish()
        return
    unread = [] if block_or_end is None else [block_or_end]
    _check_rest(chain([scanner.rest], unread, stream), scanner.rest_offset, path or ())


def _list_start(shape: RecordShape, name: str, head: bytes, bom: int) -> tuple[int | None, Sequence[str] | None]:
    """The position behind the ``[`` of the list of records and the keys that lead to it.

    None where the file has one record after another.
    """
    text = head[bom:].lstrip(b" \t\r\n")
    if text.startswith(b"["):
        return len(head) - len(text) + 1, ()
    for path in shape.lists:
        match = _opening(path).match(head, bom)
        if match is not None:
            return match.end(), path
    if not text.startswith(b"{"):
        raise DataError(
            f"the file begins with {text[:1].decode(errors='replace')!r}, no export of {shape.store} does",
            file=name,
            remedy="An export is a JSON object, a list of records, or one record per line",
        )
    return None, None


def _opening(path: Sequence[str]) -> re.Pattern[bytes]:
    steps = b"".join(
        rb"\{" + _BLANK + _SINGLE_VALUES + b'"' + re.escape(key.encode()) + b'"' + _BLANK + b":" + _BLANK
        for key in path
    )
    return re.compile(_BLANK + steps + rb"\[", re.DOTALL)


def _check_rest(blocks: Iterable[bytes], offset: int, path: Sequence[str]) -> None:
    """Raise unless only keys without lists, in which records may be, follow the list in its objects."""
    text = b""
    for block in blocks:
        text += block
        if len(text) > _REST_BYTES:
            break
    opening = b"".join(b"{" + orjson.dumps(key) + b":" for key in path)
    try:
        value = orjson.loads(opening + b"0" + text)
    except orjson.JSONDecodeError:
        value = [0]
    while isinstance(value, dict) and not any(isinstance(inner, list) for inner in value.values()):
        value = next((inner for inner in value.values() if isinstance(inner, dict)), 0)
    if isinstance(value, list | dict) or len(text) > _REST_BYTES:
        raise DataError(
            "text follows the list of records",
            offset=offset,
            value=text[:1].decode(errors="replace"),
            remedy="The file is cut off, or holds several lists: export it again, one list per file",
        )

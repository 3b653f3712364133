"""Collections of Chroma: what ``collection.get`` returns, as JSON, or one record per line.

``collection.get`` returns lists of equal length: ``{"ids": […], "embeddings": […], "documents": […], "metadatas":
[…]}``. A record of a line is ``{"id": …, "embedding": […], "document": …, "metadata": {…}}``. The columns are ``id``,
``embedding``, ``document``, ``uri``, and the keys of the metadata.

The lists are read as a whole, so a file of them has at most :data:`MAX_BYTES`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from penstock.errors import DataError
from penstock.readers.base import FormatSpec
from penstock.readers.byte_ranges import BOM, checked_blocks
from penstock.readers.compression import CompressibleText, with_compressed
from penstock.readers.presets.records import Records, RecordShape, RecordsReader, reader_of
from penstock.sources.base import Source

MAX_BYTES = 128 << 20
"""Bytes of a file of lists; parsed they take some three times as many."""
_COLUMNS = {"ids": "id", "embeddings": "embedding", "documents": "document", "uris": "uri"}
_METADATA = "metadatas"
_GROUP_ROWS = 1000
_LEAST_BYTES = len(b'"",')
"""Of a row in a file of lists: its id."""
_REMEDY = "It holds what collection.get(include=['embeddings', 'documents', 'metadatas']) returns, as JSON"

_LINES = reader_of(
    RecordShape(
        store="Chroma",
        lists=(),
        unpacked=frozenset({"metadata"}),
        required=frozenset({"id", "embedding"}),
    )
)


def _records(source: Source, block_bytes: int) -> Records:
    blocks = []
    size = 0
    for block in checked_blocks(source, block_bytes):
        blocks.append(block)
        size += len(block)
        if size > MAX_BYTES:
            raise DataError(
                f"the file is larger than {MAX_BYTES >> 20} MiB, and its lists are read as a whole",
                file=source.name,
                remedy="Export it in parts: collection.get(limit=…, offset=…), each into a file of its own",
            )
    text = b"".join(blocks).removeprefix(BOM)
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise DataError(f"invalid JSON: {error.msg}", file=source.name, offset=error.pos, remedy=_REMEDY) from None
    yield from _groups(_checked(content, source.name), content)


def _checked(content: Any, name: str) -> int:
    """The number of rows. Raises DataError unless all lists have that many."""
    if not isinstance(content, dict) or not isinstance(content.get("ids"), list):
        raise DataError("the file has no list 'ids', as exports of Chroma have", file=name, remedy=_REMEDY)
    rows = len(content["ids"])
    for key in (*_COLUMNS, _METADATA):
        values = content.get(key)
        if values is None:
            continue
        if not isinstance(values, list) or len(values) != rows:
            count = f"{len(values):,} values" if isinstance(values, list) else "no list"
            raise DataError(
                f"the lists differ in length: {key!r} has {count}, 'ids' {rows:,}", file=name, remedy=_REMEDY
            )
    return rows


def _groups(rows: int, content: Mapping[str, Any]) -> Iterator[list[tuple[int, bytes]]]:
    columns = {name: content[key] for key, name in _COLUMNS.items() if content.get(key) is not None}
    metadata = content.get(_METADATA)
    done = 0
    for start in range(0, rows, _GROUP_ROWS):
        group = []
        for row in range(start, min(start + _GROUP_ROWS, rows)):
            values = {name: column[row] for name, column in columns.items()}
            text = orjson.dumps(_with_metadata(values, None if metadata is None else metadata[row], row))
            group.append((done, text))
            done += len(text)
        yield group


def _with_metadata(values: dict[str, Any], metadata: Any, row: int) -> dict[str, Any]:
    if metadata is None:
        return values
    if not isinstance(metadata, dict):
        shown = str(metadata)[:100]
        raise DataError("the metadata of the row is not an object", row=row, field=_METADATA, value=shown)
    if twice := values.keys() & metadata.keys():
        raise DataError(
            "two values for one column: the metadata holds a key that is also a column",
            row=row,
            field=sorted(twice)[0],
            remedy="Rename it before the export",
        )
    return values | metadata


CHROMA = FormatSpec(
    name="Chroma",
    extensions=with_compressed("json"),
    reader=CompressibleText(RecordsReader(_records, has_offsets=False, least_bytes=_LEAST_BYTES)),
)
CHROMA_LINES = FormatSpec(
    name="Chroma lines", extensions=with_compressed("jsonl", "ndjson"), reader=CompressibleText(_LINES)
)

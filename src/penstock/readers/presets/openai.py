"""Outputs of OpenAI's batch API for embeddings: a line per request, with the request's ``custom_id``.

A line is ``{"custom_id": …, "response": {"status_code": 200, "body": {"data": [{"index": 0, "embedding": […]}]}}}``.
Each embedding is a row, with the columns ``custom_id``, ``index`` and ``embedding``. A failed request is an error.
Answers of the embeddings API itself are files of ``.json`` that need no preset.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from penstock.errors import DataError, shorten
from penstock.readers.base import FormatSpec
from penstock.readers.columns.json_values import JsonParser, is_json_array, is_json_object, text_of
from penstock.readers.compression import CompressibleText, with_compressed
from penstock.readers.presets.records import Records, RecordShape, RecordsReader, scanned
from penstock.sources.base import Source

_SHAPE = RecordShape(store="OpenAI's batches", lists=(), unpacked=frozenset())
_LEAST_BYTES = len(b'{"embedding":[]},')
_REMEDY = "It is the output file of a batch of /v1/embeddings requests, as the API gives it"


def _records(source: Source, block_bytes: int) -> Records:
    parser = JsonParser()
    row = 0
    for group in scanned(_SHAPE, source, block_bytes):
        rows: list[tuple[int, bytes]] = []
        for offset, text in group:
            try:
                rows += [(offset, embedding) for embedding in _embeddings(parser.parse(text))]
            except DataError as error:
                if rows:
                    yield rows  # an error in one of them comes first
                raise error.at(row=row + len(rows), offset=offset + (error.offset or 0)) from None
        row += len(rows)
        yield rows


def _embeddings(line: Any) -> Iterator[bytes]:
    if not is_json_object(line) or "custom_id" not in line:
        raise DataError("the line has no key 'custom_id', which every line of a batch has", remedy=_REMEDY)
    name = text_of(line["custom_id"])
    response: Any = line.get("response")
    body: Any = response.get("body") if is_json_object(response) else None
    data: Any = body.get("data") if is_json_object(body) else None
    if not is_json_array(data):
        raise _failed(name, line, body)
    for item in data:
        embedding = item.get("embedding") if is_json_object(item) else None
        if embedding is None:
            raise DataError(f"the request {shorten(name)} has no embedding", field="embedding", remedy=_REMEDY)
        yield orjson.dumps(
            {
                "custom_id": orjson.Fragment(name),
                "index": orjson.Fragment(text_of(item.get("index"))),
                "embedding": orjson.Fragment(text_of(embedding)),
            }
        )


def _failed(name: str, line: Any, body: Any) -> DataError:
    for error in (line.get("error"), body.get("error") if is_json_object(body) else None):
        if error is not None:
            return DataError(
                f"the request {shorten(name)} of the batch failed",
                value=text_of(error),
                remedy="Repeat the request, or leave its line out",
            )
    return DataError(f"the request {shorten(name)} has no list of embeddings", remedy=_REMEDY)


OPENAI = FormatSpec(
    name="OpenAI batch",
    extensions=with_compressed("jsonl", "ndjson"),
    reader=CompressibleText(RecordsReader(_records, least_bytes=_LEAST_BYTES)),
)

"""Columns of a batch that are no field of the collection, put into its dynamic field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa

from penstock.domain.jobs import JobWarning
from penstock.domain.schema import META_FIELD, CollectionSchema
from penstock.errors import DataError
from penstock.readers.arrow_json import WarningSink, json_texts, object_bytes, object_texts
from penstock.readers.arrow_values import Array, is_binary, is_string, plain, utf8_texts

__all__ = ["DynamicColumns"]

_REMEDY = "Write the column in another form, leave it out, or import with the option unknown_columns=drop"


class DynamicColumns:
    """Puts unknown columns of batches into their ``$meta`` column, and counts what was rounded on the way.

    Args:
        limit: Arrow bytes of a batch that comes out; a single row may have more.
    """

    def __init__(self, schema: CollectionSchema, limit: int) -> None:
        self._names = frozenset(schema.names)
        self._limit = limit
        self._counts: Counter[str] = Counter()

    def warnings(self) -> Iterator[JobWarning]:
        for message, rows in self._counts.items():
            yield JobWarning(code="column_cast", message=message, count=rows)

    def batches(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """The batch, in pieces where its texts are longer than its columns were.

        Raises:
            DataError: a value can't be a dynamic value; the row is that in ``batch``.
        """
        unknown = [name for name in batch.schema.names if name not in self._names and name != META_FIELD]
        if not unknown:
            yield batch
            return
        columns = {name: (batch.column(name), batch.schema.field(name)) for name in unknown}
        step = max(1, batch.num_rows * self._limit // max(1, self._limit, _size(columns, batch.num_rows)))
        for start in range(0, batch.num_rows, step):
            try:
                yield self._folded(batch.slice(start, step), unknown)
            except DataError as error:
                raise error.at(row=start + (error.row or 0), remedy=_with_remedy(error.remedy)) from None

    def _folded(self, batch: pa.RecordBatch, unknown: list[str]) -> pa.RecordBatch:
        def note(what: str, rows: int) -> None:
            self._counts[what] += rows

        columns = {name: (batch.column(name), batch.schema.field(name)) for name in unknown}
        texts = object_texts(columns, batch.num_rows, note)
        if META_FIELD in batch.schema.names:
            texts = _merged(texts, batch.column(META_FIELD), batch.schema.field(META_FIELD), note)
        known = [name for name in batch.schema.names if name in self._names]
        fields = [batch.schema.field(name) for name in known]
        schema = pa.schema([*fields, pa.field(META_FIELD, pa.string())])
        return pa.RecordBatch.from_arrays([*(batch.column(name) for name in known), texts], schema=schema)


def _size(columns: Mapping[str, tuple[Array, pa.Field[Any]]], rows: int) -> int:
    try:
        return object_bytes(columns, 0, rows)
    except DataError as error:
        raise error.at(remedy=_with_remedy(error.remedy)) from None


def _with_remedy(remedy: str | None) -> str:
    return _REMEDY if remedy is None else f"{remedy} Or import with the option unknown_columns=drop."


def _merged(texts: Array, given: Array, column: pa.Field[Any], note: WarningSink) -> Array:
    """Objects of the unknown columns and those of the file's own ``$meta`` column, as one object per row."""
    metas = plain(given, column)
    metas = utf8_texts(metas) if is_string(metas.type) or is_binary(metas.type) else json_texts(given, column, note)
    merged = []
    for row, (text, meta) in enumerate(zip(texts.to_pylist(), metas.to_pylist(), strict=True)):
        try:
            merged.append(_joined(text, meta))
        except DataError as error:
            raise error.at(row=row, field=META_FIELD, value=meta) from None
    return pa.array(merged, pa.string())


def _joined(text: str, meta: str | None) -> str:
    try:
        value = None if meta is None else orjson.loads(meta)
    except orjson.JSONDecodeError as error:
        raise DataError(
            f"illegal value for dynamic field, not a JSON format string ({error})",
            remedy="Write each value with a JSON library",
        ) from None
    if not value and value in (None, {}):
        return text
    if not isinstance(value, dict):
        raise DataError(
            "illegal value for dynamic field, not a JSON object",
            remedy='Write an object such as {"colour": "red"}, or leave the value null',
        )
    twice = next((key for key in orjson.loads(text) if key in value), None)
    if twice is not None:
        raise DataError(
            f"duplicated key is not allowed, key={twice}", remedy="Give every key once in a row, $meta included"
        )
    assert meta is not None
    inner = meta.strip()[1:-1]  # as it was written: numbers keep their digits
    return meta if text == "{}" else f"{text[:-1]},{inner}}}"

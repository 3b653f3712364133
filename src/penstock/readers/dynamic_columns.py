"""Merge columns of a batch that are no field of the collection into its dynamic field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
import pyarrow as pa

from penstock.domain.jobs import JobWarning
from penstock.domain.schema import META_FIELD, CollectionSchema
from penstock.errors import DataError
from penstock.readers.arrow_json import json_texts, object_bytes, object_texts
from penstock.readers.arrow_values import is_binary, is_string, plain, utf8_texts
from penstock.rules.rule import Array, WarningSink

_REMEDY = "Write the column in another form, leave it out, or import with the option unknown_columns=drop"


class DynamicColumns:
    """Merge unknown columns of batches into their ``$meta`` column, counting rounded values.

    Args:
        limit: maximum Arrow bytes of an output batch; a single row may have more.
    """

    def __init__(self, schema: CollectionSchema, limit: int) -> None:
        self._names = frozenset(schema.names)
        self._limit = limit
        self._counts: Counter[str] = Counter()

    def warnings(self) -> Iterator[JobWarning]:
        for message, rows in self._counts.items():
            yield JobWarning(code="column_cast", message=message, count=rows)

    @contextmanager
    def counted_once(self) -> Iterator[Callable[[], None]]:
        """Yield a function that forgets what was counted since: for a conversion that is tried several times."""
        before = self._counts.copy()

        def reset() -> None:
            self._counts = before.copy()

        yield reset

    def batches(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Convert a batch, in slices where its texts are longer than its columns were.

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
                yield self._merge_columns(batch.slice(start, step), unknown)
            except DataError as error:
                raise error.at(row=start + (error.row or 0), remedy=_with_remedy(error.remedy)) from None

    def _merge_columns(self, batch: pa.RecordBatch, unknown: list[str]) -> pa.RecordBatch:
        def note(what: str, rows: int) -> None:
            self._counts[what] += rows

        columns = {name: (batch.column(name), batch.schema.field(name)) for name in unknown}
        texts = object_texts(columns, batch.num_rows, note)
        if META_FIELD in batch.schema.names:
            texts = _merge_metas(texts, batch.column(META_FIELD), batch.schema.field(META_FIELD), note)
        field_names = [name for name in batch.schema.names if name in self._names]
        fields = [batch.schema.field(name) for name in field_names]
        schema = pa.schema([*fields, pa.field(META_FIELD, pa.string())])
        return pa.RecordBatch.from_arrays([*(batch.column(name) for name in field_names), texts], schema=schema)


def _size(columns: Mapping[str, tuple[Array, pa.Field[Any]]], rows: int) -> int:
    try:
        return object_bytes(columns, 0, rows)
    except DataError as error:
        raise error.at(remedy=_with_remedy(error.remedy)) from None


def _with_remedy(remedy: str | None) -> str:
    return _REMEDY if remedy is None else f"{remedy} Or import with the option unknown_columns=drop."


def _merge_metas(texts: Array, array: Array, column: pa.Field[Any], note: WarningSink) -> Array:
    """Merge objects of unknown columns with those of the file's own ``$meta`` column, row by row."""
    metas = plain(array, column)
    metas = utf8_texts(metas) if is_string(metas.type) or is_binary(metas.type) else json_texts(array, column, note)
    merged = []
    for row, (text, meta) in enumerate(zip(texts.to_pylist(), metas.to_pylist(), strict=True)):
        try:
            merged.append(_merge_objects(text, meta))
        except DataError as error:
            raise error.at(row=row, field=META_FIELD, value=meta) from None
    return pa.array(merged, pa.string())


def _merge_objects(text: str, meta: str | None) -> str:
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
    duplicate = next((key for key in orjson.loads(text) if key in value), None)
    if duplicate is not None:
        raise DataError(
            f"duplicated key is not allowed, key={duplicate}", remedy="Give every key once in a row, $meta included"
        )
    assert meta is not None
    inner = meta.strip()[1:-1]  # the original text: numbers keep their digits
    return meta if text == "{}" else f"{text[:-1]},{inner}}}"

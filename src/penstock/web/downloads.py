"""The rows of a collection as JSON Lines, which an import reads back: with the values of export files."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from penstock.collections.entities import QueryResult
from penstock.domain.schema import META_FIELD, CollectionSchema
from penstock.exports.columns import file_batch
from penstock.writers.file_schema import schema_of_files
from penstock.writers.json import json_objects


def json_lines(result: QueryResult) -> Iterator[bytes]:
    """The lines of the rows of a query. Dynamic values are further keys; a field of the same name wins."""
    schema = result.collection.schema
    fields = tuple(schema[name] for name in result.fields.columns)
    written = schema_of_files(CollectionSchema(fields=fields)).fields
    for batch in result.table.combine_chunks().to_batches():
        metas = batch.column(META_FIELD).to_pylist() if result.fields.with_meta and schema.dynamic else None
        columns = file_batch(batch.select(list(result.fields.columns)), fields).columns
        for number, row in enumerate(json_objects(columns, written)):
            dynamic = orjson.loads(metas[number] or "{}") if metas is not None else {}
            row |= {key: value for key, value in dynamic.items() if key not in row}
            yield orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n"

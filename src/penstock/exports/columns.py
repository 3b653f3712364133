"""Convert canonical batches of a collection to the batches that the file writers take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.readers.arrow_values import iso_texts
from penstock.writers.base import META
from penstock.writers.file_schema import schema_of_files


def exported_schema(schema: CollectionSchema, *, with_auto_ids: bool) -> CollectionSchema:
    """The schema of an equal collection that the exported files can be imported into."""
    return replace(schema, auto_id=False) if schema.auto_id and with_auto_ids else schema


def exported_fields(schema: CollectionSchema) -> tuple[Field, ...]:
    """The fields of :func:`exported_schema` that the files have: all that the server does not compute."""
    return tuple(field for field in schema if not schema.is_computed(field))


def file_columns(schema: CollectionSchema) -> tuple[Field, ...]:
    """The columns of the files, with the types that values have there; ``$meta`` last, if the schema is dynamic."""
    written = schema_of_files(CollectionSchema(fields=exported_fields(schema), dynamic=schema.dynamic))
    return (*written.fields, META) if schema.dynamic else written.fields


def file_batch(batch: pa.RecordBatch, fields: Sequence[Field]) -> pa.RecordBatch:
    """Convert a canonical batch whose columns begin with ``fields``: times become text, the rest stays as it is."""
    columns: list[Any] = list(batch.columns)
    for position, field in enumerate(fields):
        if field.type is DataType.TIMESTAMPTZ:
            columns[position] = iso_texts(columns[position].cast(pa.timestamp("us", "UTC")))
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)

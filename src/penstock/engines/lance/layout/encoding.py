"""Encode canonical columns as they are stored in a Lance dataset, and decode them.

| field type | stored as | because |
|---|---|---|
| Int8Vector | fixed_size_list<float16> | Lance can't search int8; float16 holds every int8 exactly |
| BFloat16Vector | fixed_size_list<float32> | as in canonical batches, which widen it; Lance can't search bfloat16 |
| JSON, ``$meta`` | Arrow's JSON extension type | filters look into it. Lance parses the text and writes it again:
values stay, spaces and the order of keys may change |
| everything else | its canonical type | |

What Lance can't keep of JSON: integers beyond 64 bits become doubles, a number beyond a double's range becomes null,
an object with the same key twice is refused, which fails the whole write, and some thousand levels of nesting
overflow the stack; validation has to refuse these before.

Two hidden columns follow the fields: ``__part``, which comes with the canonical batch, and ``__job``, the id of the
job that wrote the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

import pyarrow as pa

from penstock.domain.arrow_schema import META, PARTITION_COLUMN, canonical_field, canonical_schema, canonical_type
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.engines.lance.layout.names import stored_name
from penstock.errors import StorageError

JOB_COLUMN = "__job"
"""Hidden int64 column: the job that wrote the row."""

STORAGE_VERSION: Final = "2.1"
"""Lance's file format. 2.0 keeps no nulls of structs (sparse vectors); 2.2 scans integers at half the speed."""

WRITE_BATCH_BYTES = 4 << 20
"""Lance 14 writes batches of 50 MB of vectors three times slower than the same bytes in slices of 3 to 12 MB."""

_JSON: pa.DataType = pa.json_()  # type: ignore[attr-defined,unused-ignore]


def _is_json(field: Field | None) -> bool:
    return field is None or field.type is DataType.JSON


def stored_type(field: Field | None) -> pa.DataType:
    """The Arrow type of a field's column; None is ``$meta``."""
    if _is_json(field):
        return _JSON
    assert field is not None
    if field.type is DataType.INT8_VECTOR:
        return pa.list_(pa.float16(), field.width)
    return canonical_type(field)


def stored_schema(schema: CollectionSchema) -> pa.Schema:
    """The schema of a collection's dataset: fields, ``$meta`` if dynamic, ``__part``, ``__job``."""
    columns = [pa.field(stored_name(field.name), stored_type(field), field.nullable) for field in schema]
    if schema.dynamic:
        columns.append(pa.field(stored_name(META_FIELD), _JSON, nullable=False))
    columns.append(pa.field(PARTITION_COLUMN, pa.int64(), nullable=False))
    columns.append(pa.field(JOB_COLUMN, pa.int64(), nullable=False))
    return pa.schema(columns)


def encode(batch: pa.RecordBatch, schema: CollectionSchema, job_id: int) -> pa.RecordBatch:
    """Encode a canonical batch as it is stored; columns may come in any order.

    Raises:
        StorageError: a column is missing or not of its canonical type.
    """
    arrays: list[pa.Array[Any]] = []
    for field in canonical_schema(schema):
        place = batch.schema.get_field_index(field.name)
        if place < 0 or batch.schema.field(place).type != field.type:
            problem = "is missing" if place < 0 else f"has the type {batch.schema.field(place).type}"
            raise StorageError(
                f"column {field.name!r} {problem}; the engine takes canonical batches only ({field.type})",
                column=field.name,
            )
        arrays.append(_encode_column(batch.column(place), schema.get(field.name), field.name))
    arrays.append(pa.repeat(pa.scalar(job_id, pa.int64()), len(batch)))
    return pa.RecordBatch.from_arrays(arrays, schema=stored_schema(schema))


def _encode_column(column: pa.Array[Any], field: Field | None, name: str) -> pa.Array[Any]:
    if name == PARTITION_COLUMN:
        return column
    kind = stored_type(field)
    if _is_json(field):
        return pa.ExtensionArray.from_storage(kind, column)  # type: ignore[type-var,arg-type,unused-ignore]
    return column if column.type == kind else column.cast(kind)


def in_small_batches(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Slice a batch to about :data:`WRITE_BATCH_BYTES` without a copy; at least one row each."""
    rows = max(1, len(batch) * WRITE_BATCH_BYTES // max(batch.nbytes, 1))
    for start in range(0, len(batch), rows):
        yield batch.slice(start, rows)


def decode(stored: pa.Table, schema: CollectionSchema, columns: Sequence[str]) -> pa.Table:
    """Decode fields (and ``$meta``) of a stored table to canonical types, in the order of ``columns``."""
    fields = [META if name == META_FIELD else canonical_field(schema[name]) for name in columns]
    arrays: list[pa.ChunkedArray[Any]] = []
    for field in fields:
        column = stored.column(stored_name(field.name))
        if isinstance(column.type, pa.BaseExtensionType):
            chunks = [chunk.storage for chunk in column.chunks]  # type: ignore[attr-defined]
            column = cast(Any, pa).chunked_array(chunks, column.type.storage_type)
        arrays.append(column if column.type == field.type else column.cast(field.type))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))

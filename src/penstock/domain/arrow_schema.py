"""Canonical Arrow types of validated batches, between the readers and an engine.

Every reader may deliver any lossless Arrow encoding; validation converts each column to the one form given here, and
an engine converts that to what it stores. All columns have the schema field's name.

| field type | canonical Arrow type |
|---|---|
| Bool, Int8 … Int64, Float, Double | bool, int8 … int64, float32, float64 |
| VarChar, Text | string |
| Timestamptz | int64, microseconds since 1970 in UTC |
| Geometry | string, well-known text |
| JSON, ``$meta`` | string that holds JSON text (``$meta``: an object) |
| Array | list<element> |
| ArrayOfStruct | list<struct<…>> of its fields in schema order, each in its own canonical type |
| FloatVector | fixed_size_list<float32>[dim] |
| Float16Vector | fixed_size_list<float16>[dim] |
| BFloat16Vector | fixed_size_list<float32>[dim], every value exact in bfloat16 |
| Int8Vector | fixed_size_list<int8>[dim] |
| BinaryVector | fixed_size_list<uint8>[dim / 8], most significant bit first |
| SparseFloatVector | struct<indices: list<uint32>, values: list<float32>>, indices ascending and unique |
| output of a BM25 function | the same: ids of the text's terms, and their frequencies |
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field

PARTITION_COLUMN = "__part"
"""Hidden int64 column of a canonical batch: the number of the partition that the row belongs to."""

_SCALARS: dict[DataType, pa.DataType] = {
    DataType.BOOL: pa.bool_(),
    DataType.INT8: pa.int8(),
    DataType.INT16: pa.int16(),
    DataType.INT32: pa.int32(),
    DataType.INT64: pa.int64(),
    DataType.FLOAT: pa.float32(),
    DataType.DOUBLE: pa.float64(),
    DataType.VARCHAR: pa.string(),
    DataType.TEXT: pa.string(),
    DataType.TIMESTAMPTZ: pa.int64(),
    DataType.GEOMETRY: pa.string(),
    DataType.JSON: pa.string(),
}

_VECTOR_VALUES: dict[DataType, pa.DataType] = {
    DataType.FLOAT_VECTOR: pa.float32(),
    DataType.FLOAT16_VECTOR: pa.float16(),
    DataType.BFLOAT16_VECTOR: pa.float32(),
    DataType.INT8_VECTOR: pa.int8(),
    DataType.BINARY_VECTOR: pa.uint8(),
}

SPARSE: pa.DataType = pa.struct([("indices", pa.list_(pa.uint32())), ("values", pa.list_(pa.float32()))])

META: pa.Field[Any] = pa.field(META_FIELD, pa.string(), nullable=False)
"""The column of a dynamic collection's other values."""


def canonical_type(field: Field) -> pa.DataType:
    """Return the canonical Arrow type of a field."""
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        return SPARSE
    if field.type is DataType.ARRAY:
        assert field.element_type is not None
        return pa.list_(_SCALARS[field.element_type])
    if field.type is DataType.ARRAY_OF_STRUCT:
        return pa.list_(pa.struct([(subfield.name, canonical_type(subfield)) for subfield in field.fields]))
    if field.type.is_vector:
        return pa.list_(_VECTOR_VALUES[field.type], field.width)
    return _SCALARS[field.type]


def canonical_schema(schema: CollectionSchema) -> pa.Schema:
    """Return the fields in schema order, ``$meta`` if the collection is dynamic, and :data:`PARTITION_COLUMN`."""
    columns = [canonical_field(field) for field in schema]
    if schema.dynamic:
        columns.append(META)
    columns.append(pa.field(PARTITION_COLUMN, pa.int64(), nullable=False))
    return pa.schema(columns)


def canonical_field(field: Field) -> pa.Field[Any]:
    """Return the Arrow field of a field: its name, canonical type and nullability."""
    return pa.field(field.name, canonical_type(field), field.nullable)

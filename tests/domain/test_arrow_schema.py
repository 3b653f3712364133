"""The one Arrow form of each field type."""

from __future__ import annotations

import pyarrow as pa
import pytest

from penstock.domain.arrow_schema import SPARSE, canonical_schema, canonical_type
from penstock.domain.schema import CollectionSchema, DataType, Field

TYPES: dict[DataType, pa.DataType] = {
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
    DataType.ARRAY: pa.list_(pa.int16()),
    DataType.ARRAY_OF_STRUCT: pa.list_(pa.struct([("n", pa.int64()), ("v", pa.list_(pa.float16(), 16))])),
    DataType.FLOAT_VECTOR: pa.list_(pa.float32(), 16),
    DataType.FLOAT16_VECTOR: pa.list_(pa.float16(), 16),
    DataType.BFLOAT16_VECTOR: pa.list_(pa.float32(), 16),
    DataType.INT8_VECTOR: pa.list_(pa.int8(), 16),
    DataType.BINARY_VECTOR: pa.list_(pa.uint8(), 2),
    DataType.SPARSE_FLOAT_VECTOR: SPARSE,
}


PARTS = (Field(name="n", type=DataType.INT64), Field(name="v", type=DataType.FLOAT16_VECTOR, dim=16))


@pytest.mark.parametrize("kind", DataType)
def test_every_type_has_one(kind: DataType) -> None:
    field = Field(
        name="x",
        type=kind,
        dim=16 if kind.is_dense_vector else None,
        element_type=DataType.INT16 if kind is DataType.ARRAY else None,
        fields=PARTS if kind is DataType.ARRAY_OF_STRUCT else (),
    )
    assert canonical_type(field) == TYPES[kind]


def test_a_schema_ends_with_the_dynamic_field_and_the_partition() -> None:
    fields = (
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="v", type=DataType.FLOAT_VECTOR, dim=2, nullable=True),
    )
    assert canonical_schema(CollectionSchema(fields=fields)).names == ["id", "v", "__part"]
    dynamic = canonical_schema(CollectionSchema(fields=fields, dynamic=True))
    assert dynamic.names == ["id", "v", "$meta", "__part"]
    assert [each.nullable for each in dynamic] == [False, True, False, False]

"""The types that a field can have."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class DataType(StrEnum):
    """A field's type, spelled as on the Milvus REST v2 wire."""

    BOOL = "Bool"
    INT8 = "Int8"
    INT16 = "Int16"
    INT32 = "Int32"
    INT64 = "Int64"
    FLOAT = "Float"
    DOUBLE = "Double"
    VARCHAR = "VarChar"
    TEXT = "Text"
    TIMESTAMPTZ = "Timestamptz"
    GEOMETRY = "Geometry"
    JSON = "JSON"
    ARRAY = "Array"
    ARRAY_OF_STRUCT = "ArrayOfStruct"
    FLOAT_VECTOR = "FloatVector"
    FLOAT16_VECTOR = "Float16Vector"
    BFLOAT16_VECTOR = "BFloat16Vector"
    INT8_VECTOR = "Int8Vector"
    BINARY_VECTOR = "BinaryVector"
    SPARSE_FLOAT_VECTOR = "SparseFloatVector"

    @property
    def is_vector(self) -> bool:
        return self in _VECTORS

    @property
    def is_dense_vector(self) -> bool:
        return self in _VECTORS and self is not DataType.SPARSE_FLOAT_VECTOR

    @property
    def is_integer(self) -> bool:
        return self in INTEGER_RANGES

    @property
    def is_text(self) -> bool:
        return self in (DataType.VARCHAR, DataType.TEXT)

    @property
    def is_number(self) -> bool:
        return self.is_integer or self in (DataType.FLOAT, DataType.DOUBLE)


_VECTORS = frozenset(
    {
        DataType.FLOAT_VECTOR,
        DataType.FLOAT16_VECTOR,
        DataType.BFLOAT16_VECTOR,
        DataType.INT8_VECTOR,
        DataType.BINARY_VECTOR,
        DataType.SPARSE_FLOAT_VECTOR,
    }
)

INTEGER_RANGES: Mapping[DataType, tuple[int, int]] = {
    DataType.INT8: (-(2**7), 2**7 - 1),
    DataType.INT16: (-(2**15), 2**15 - 1),
    DataType.INT32: (-(2**31), 2**31 - 1),
    DataType.INT64: (-(2**63), 2**63 - 1),
}

ELEMENT_TYPES = frozenset(
    {
        DataType.BOOL,
        DataType.INT8,
        DataType.INT16,
        DataType.INT32,
        DataType.INT64,
        DataType.FLOAT,
        DataType.DOUBLE,
        DataType.VARCHAR,
    }
)
"""What the elements of an Array, and the scalars within a struct, can be."""

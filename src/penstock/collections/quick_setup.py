"""The quick form of a new collection: a primary key and a vector field, named by little more than a dimension."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.collections.index_requests import CreateIndex
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import InvalidParameter, shorten

_ID_TYPES = {
    "Int64": DataType.INT64,
    "int64": DataType.INT64,
    "VarChar": DataType.VARCHAR,
    "Varchar": DataType.VARCHAR,
}
_VECTOR_TYPES = (
    DataType.FLOAT_VECTOR,
    DataType.BINARY_VECTOR,
    DataType.FLOAT16_VECTOR,
    DataType.BFLOAT16_VECTOR,
    DataType.INT8_VECTOR,
    DataType.SPARSE_FLOAT_VECTOR,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickSetup:
    """``metric`` "" is the vector type's default; ``max_length``, in bytes, is that of a VarChar primary key."""

    dimension: int | None = None
    metric: str = ""
    id_type: str = "Int64"
    primary_field: str = "id"
    vector_field: str = "vector"
    vector_type: str = DataType.FLOAT_VECTOR.value
    auto_id: bool = False
    dynamic: bool = True
    max_length: int | None = None
    description: str = ""

    def schema(self) -> CollectionSchema:
        """Raises InvalidParameter for an unknown type, or a dense vector field without dimension."""
        vector_type = next((kind for kind in _VECTOR_TYPES if kind.value == self.vector_type), None)
        if vector_type is None:
            names = ", ".join(kind.value for kind in _VECTOR_TYPES)
            raise InvalidParameter(
                f"vectorFieldType can only be [{names}], but got {shorten(self.vector_type)}", value=self.vector_type
            )
        sparse = vector_type is DataType.SPARSE_FLOAT_VECTOR
        if not self.dimension and not sparse:
            raise InvalidParameter(
                "dimension is required for quickly create collection(default metric type: COSINE): "
                "invalid parameter[expected=collectionName & dimension][actual=collectionName]"
            )
        id_type = _ID_TYPES.get(self.id_type)
        if id_type is None:
            raise InvalidParameter(
                "idType can only be [Int64, VarChar], default: Int64: "
                f"invalid parameter[expected=Int64, VarChar][actual={shorten(self.id_type)}]",
                id_type=self.id_type,
            )
        primary = Field(
            name=self.primary_field,
            type=id_type,
            primary=True,
            max_length=self.max_length if id_type is DataType.VARCHAR else None,
        )
        vector = Field(name=self.vector_field, type=vector_type, dim=None if sparse else self.dimension)
        return CollectionSchema(
            fields=(primary, vector), auto_id=self.auto_id, dynamic=self.dynamic, description=self.description
        )

    def index(self) -> CreateIndex:
        """The request for the index of the vector field."""
        return CreateIndex(field_name=self.vector_field, index_type="AUTOINDEX", metric=self.metric)

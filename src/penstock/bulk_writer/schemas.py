"""Convert user schemas (Penstock, pymilvus, REST) to the internal schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from penstock.domain.rest_schema import schema_from_rest
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import InvalidSchema, Unsupported

__all__ = ["collection_schema", "function_outputs", "written_fields"]

# The numbers of Milvus's wire format, which are the values of pymilvus's DataType.
_TYPES_BY_NUMBER = {
    1: DataType.BOOL,
    2: DataType.INT8,
    3: DataType.INT16,
    4: DataType.INT32,
    5: DataType.INT64,
    10: DataType.FLOAT,
    11: DataType.DOUBLE,
    21: DataType.VARCHAR,
    22: DataType.ARRAY,
    23: DataType.JSON,
    24: DataType.GEOMETRY,
    25: DataType.TEXT,
    26: DataType.TIMESTAMPTZ,
    100: DataType.BINARY_VECTOR,
    101: DataType.FLOAT_VECTOR,
    102: DataType.FLOAT16_VECTOR,
    103: DataType.BFLOAT16_VECTOR,
    104: DataType.SPARSE_FLOAT_VECTOR,
    105: DataType.INT8_VECTOR,
}


def collection_schema(schema: Any) -> CollectionSchema:
    """Convert and check a schema: ours, pymilvus's ``CollectionSchema``, or a REST v2 ``schema`` object.

    pymilvus need not be importable: its objects are recognized by their attributes (duck typing).

    Raises:
        InvalidSchema: a rule is broken, or the object is none of the three.
        Unsupported: a type that Penstock does not support.
    """
    if isinstance(schema, CollectionSchema):
        return schema.check()
    if isinstance(schema, Mapping):
        return schema_from_rest(schema).check()
    if not hasattr(schema, "fields") or not hasattr(schema, "to_dict"):
        raise InvalidSchema(
            f"a collection schema is needed, not {type(schema).__name__}; give a pymilvus or Penstock "
            "CollectionSchema, or the schema object of the REST call that creates a collection"
        )
    return _from_pymilvus(schema).check()


def function_outputs(schema: Any) -> frozenset[str]:
    """Names of the fields that the server computes; files must not contain them."""
    fields: Iterable[Any] = getattr(schema, "fields", ())
    computed = {str(field.name) for field in fields if getattr(field, "is_function_output", False)}
    for function in getattr(schema, "functions", None) or ():
        computed.update(str(name) for name in getattr(function, "output_field_names", ()))
    return frozenset(computed)


def written_fields(schema: CollectionSchema, computed: frozenset[str]) -> tuple[Field, ...]:
    """The fields of the files: all but generated ids and function outputs."""
    return tuple(field for field in schema if not schema.is_computed(field) and field.name not in computed)


def _from_pymilvus(schema: Any) -> CollectionSchema:
    primary = getattr(schema, "primary_field", None)
    return CollectionSchema(
        fields=(
            *(_field(field) for field in schema.fields if not getattr(field, "is_dynamic", False)),
            *(_struct(field) for field in getattr(schema, "struct_fields", None) or ()),
        ),
        auto_id=bool(getattr(schema, "auto_id", False) or getattr(primary, "auto_id", False)),
        dynamic=bool(getattr(schema, "enable_dynamic_field", False)),
        description=str(getattr(schema, "description", "") or ""),
    )


def _field(field: Any) -> Field:
    params: Mapping[str, Any] = getattr(field, "params", None) or {}
    kind = _data_type(field.dtype, field.name)
    element = getattr(field, "element_type", None)

    def number(key: str) -> int | None:
        return None if params.get(key) is None else int(params[key])

    return Field(
        name=str(field.name),
        type=kind,
        element_type=_data_type(element, field.name) if kind is DataType.ARRAY and element else None,
        primary=bool(getattr(field, "is_primary", False)),
        partition_key=bool(getattr(field, "is_partition_key", False)),
        clustering_key=bool(getattr(field, "is_clustering_key", False)),
        nullable=bool(getattr(field, "nullable", False)),
        default=_default(getattr(field, "default_value", None), kind),
        dim=number("dim"),
        max_length=number("max_length"),
        max_capacity=number("max_capacity"),
    )


def _struct(field: Any) -> Field:
    return Field(
        name=str(field.name),
        type=DataType.ARRAY_OF_STRUCT,
        max_capacity=None if field.max_capacity is None else int(field.max_capacity),
        nullable=bool(getattr(field, "nullable", False)),
        description=str(getattr(field, "description", "") or ""),
        fields=tuple(_field(subfield) for subfield in field.fields),
    )


def _data_type(number: Any, field: str) -> DataType:
    kind = _TYPES_BY_NUMBER.get(int(number))
    if kind is None:
        name = getattr(number, "name", str(number))
        raise Unsupported(f"data type {name} of field {field} is not supported yet", field=field, type=str(name))
    return kind


def _default(value: Any, kind: DataType) -> bool | int | float | str | None:
    """Read a default value; pymilvus stores it as a protobuf union, whose set member ``WhichOneof`` names."""
    if hasattr(value, "WhichOneof"):
        member = value.WhichOneof("data")
        value = None if member is None else getattr(value, member)
    if value is None or isinstance(value, str | bool):
        return value
    return float(value) if kind in (DataType.FLOAT, DataType.DOUBLE) else int(value)

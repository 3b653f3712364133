"""``collections/create`` and ``indexParams``: both forms of the body, decoded into domain values."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.domain.collections import DEFAULT_KEY_PARTITIONS, CollectionSettings
from penstock.domain.index import IndexSpec, check_index
from penstock.domain.rest_schema import schema_from_rest
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import InvalidParameter, Unsupported
from penstock.wire.body import Fields, whole_number
from penstock.wire.milvus_v2.errors import Refused
from penstock.wire.milvus_v2.values import text_values, value_text

__all__ = ["index_specs", "is_quick", "quick_index", "schema_of", "settings_of"]

CONSISTENCY_LEVELS = ("Strong", "Session", "Bounded", "Eventually", "Customized")
_ID_TYPES = {
    "Int64": DataType.INT64,
    "int64": DataType.INT64,
    "VarChar": DataType.VARCHAR,
    "Varchar": DataType.VARCHAR,
}
_QUICK_VECTORS = (
    DataType.FLOAT_VECTOR,
    DataType.BINARY_VECTOR,
    DataType.FLOAT16_VECTOR,
    DataType.BFLOAT16_VECTOR,
    DataType.INT8_VECTOR,
    DataType.SPARSE_FLOAT_VECTOR,
)


def is_quick(fields: Fields) -> bool:
    """Whether the body is the quick form: no schema, or one without fields."""
    schema = fields.fields("schema", "CollectionSchema")
    return schema is None or not schema.list("fields")


def schema_of(fields: Fields) -> CollectionSchema:
    """The schema that the body describes.

    Raises:
        InvalidSchema, InvalidParameter, MalformedBody, Unsupported.
    """
    description = fields.string("description") or ""
    if not is_quick(fields):
        return schema_from_rest(fields.mapping("schema") or {}).with_description(description)
    return _quick_schema(fields).with_description(description)


def _quick_schema(fields: Fields) -> CollectionSchema:
    params = fields.fields("params", "CreateCollectionParams") or Fields({}, "")
    kind = _quick_vector_type(fields.string("vectorFieldType"))
    dimension = fields.integer("dimension", strict=True)
    if not dimension and kind is not DataType.SPARSE_FLOAT_VECTOR:
        raise InvalidParameter(
            "dimension is required for quickly create collection(default metric type: COSINE): "
            "invalid parameter[expected=collectionName & dimension][actual=collectionName]"
        )
    id_type = fields.string("idType") or "Int64"
    if id_type not in _ID_TYPES:
        raise InvalidParameter("idType can only be [Int64, VarChar], default: Int64", id_type=id_type)
    primary = Field(
        name=fields.string("primaryFieldName") or "id",
        type=_ID_TYPES[id_type],
        primary=True,
        max_length=whole_number(params.value("max_length")) if id_type.lower() == "varchar" else None,
    )
    sparse = kind is DataType.SPARSE_FLOAT_VECTOR
    vector = Field(name=fields.string("vectorFieldName") or "vector", type=kind, dim=None if sparse else dimension)
    dynamic = params.boolean("enableDynamicField")
    return CollectionSchema(
        fields=(primary, vector), auto_id=fields.boolean("autoID") or False, dynamic=dynamic is not False
    )


def _quick_vector_type(name: str | None) -> DataType:
    found = [each for each in _QUICK_VECTORS if each.value == (name or DataType.FLOAT_VECTOR.value)]
    if not found:
        words = ", ".join(each.value for each in _QUICK_VECTORS)
        raise InvalidParameter(f"vectorFieldType can only be [{words}], but got {name}", value=name)
    return found[0]


def settings_of(fields: Fields, schema: CollectionSchema) -> CollectionSettings:
    """What the body sets beside the schema."""
    params = fields.fields("params", "CreateCollectionParams") or Fields({}, "")
    level = fields.string("consistencyLevel") or params.string("consistencyLevel") or "Bounded"
    if level not in CONSISTENCY_LEVELS:
        raise InvalidParameter(
            f"consistencyLevel can only be [{', '.join(CONSISTENCY_LEVELS)}], default: Bounded, but got {level}",
            value=level,
        )
    properties = text_values(fields.mapping("properties"))
    ttl = params.value("ttlSeconds")
    if ttl is not None:
        properties["collection.ttl.seconds"] = value_text(ttl)
    partitions = whole_number(params.value("partitionsNum")) if schema.partition_key else None
    if partitions is not None and not 1 <= partitions <= 1024:
        raise InvalidParameter(f"partition number ({partitions}) exceeds max configuration (1024)", value=partitions)
    return CollectionSettings(
        consistency_level=level,
        shards=whole_number(params.value("shardsNum")) or 1,
        key_partitions=partitions or DEFAULT_KEY_PARTITIONS,
        properties=properties,
    )


def quick_index(fields: Fields, schema: CollectionSchema) -> IndexSpec:
    """The index that the quick form makes: AUTOINDEX, named after the vector field."""
    vector = schema.vectors[0]
    return check_index(
        vector, name=vector.name, type_name="AUTOINDEX", metric=fields.string("metricType") or "", params={}
    )


def index_specs(fields: Fields, schema: CollectionSchema) -> Sequence[IndexSpec]:
    """The ``indexParams`` of a body.

    Raises:
        Refused: 1802, a field that the schema doesn't have, or no field named.
        InvalidParameter: an index type or metric that the field can't have.
    """
    specs = []
    for each in fields.list("indexParams") or ():
        if not isinstance(each, dict):
            raise fields.mismatch("indexParams", each, "httpserver.IndexParam")
        specs.append(_index_spec(Fields(each, "IndexParam"), schema))
    return specs


def _index_spec(param: Fields, schema: CollectionSchema) -> IndexSpec:
    name = param.required_string("fieldName")
    target = schema.get(name)
    if target is None:
        raise Refused(1802, f"missing required parameters, error: `{name}` hasn't defined in schema")
    params = text_values(param.mapping("params"))
    nested = params.pop("index_type", "")
    metric = param.string("metricType") or params.pop("metric_type", "")
    type_name = param.string("indexType") or nested
    if "json_path" in params:
        raise Unsupported("JSON path indexes are not supported by this server", field=name)
    return check_index(
        target, name=param.string("indexName") or name, type_name=type_name, metric=metric, params=params
    )

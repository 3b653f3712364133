"""Decode both forms of the body of ``collections/create`` into domain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from penstock.collections.parameter_tables import COLLECTION_PARAMS, COLLECTION_PROPERTIES, FIELD_PARAMS
from penstock.collections.parameters import check_parameters
from penstock.collections.partitions import MAX_PARTITIONS
from penstock.domain.collections import DEFAULT_KEY_PARTITIONS, TTL, CollectionSettings
from penstock.domain.parameter_values import go_boolean, text_values, value_text, whole_number
from penstock.domain.rest_schema import schema_from_rest
from penstock.domain.schema import MAX_FIELDS, CollectionSchema, DataType, Field
from penstock.errors import InvalidName, InvalidParameter, InvalidSchema, MissingParameter, Unsupported, shorten
from penstock.wire.decoding import Fields
from penstock.wire.milvus_v2.errors import Refused

__all__ = ["check_consistency_level", "creating", "is_quick", "schema_of", "settings_of"]

CONSISTENCY_LEVELS = ("Strong", "Session", "Bounded", "Eventually", "Customized")
MAX_SHARDS = 16
MAX_TTL = 10**12

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
_FIELD_TEXTS = ("fieldName", "dataType", "elementDataType")
_FIELD_FLAGS = ("isPrimary", "isPartitionKey", "isClusteringKey", "nullable")
_PROPERTY_PARAMS = {
    "ttlSeconds": TTL,
    "partitionKeyIsolation": "partitionkey.isolation",
    "mmap.enabled": "mmap.enabled",
}
"""``params`` that are stored as properties of the collection; so are those that begin with ``warmup.``."""


def is_quick(fields: Fields) -> bool:
    """Whether the body is the quick form: no schema, or one without fields."""
    schema = fields.fields("schema", "CollectionSchema")
    return schema is None or not schema.list("fields")


def schema_of(fields: Fields) -> CollectionSchema:
    """Decode the schema of a body.

    Raises:
        InvalidSchema, InvalidParameter, MalformedBody, MissingField, Unsupported.
    """
    description = fields.string("description") or ""
    if is_quick(fields):
        return _quick_schema(fields).with_description(description)
    schema = fields.fields("schema", "CollectionSchema") or Fields({}, "")
    _check_size(schema)
    _check_json_types(schema)
    return schema_from_rest(fields.mapping("schema") or {}).with_description(description)


@contextmanager
def creating() -> Iterator[None]:
    """Translate errors of a new collection to Milvus's error numbers."""
    try:
        yield
    except InvalidName as error:
        if error.details.get("kind") == "field":
            raise Refused(1701, str(error)) from error
        raise
    except InvalidSchema as error:
        if "missing" in error.details or error.details.get("rule") == "primary":
            raise MissingParameter(str(error), **error.details) from error
        if str(error).startswith("invalid parameter, "):
            raise Refused(1100, str(error)) from error
        raise


def _check_size(schema: Fields) -> None:
    """Limit the number of fields before decoding any: a body has room for a hundred thousand.

    Raises:
        InvalidSchema: there are more than a collection may have.
    """
    structs = [struct for struct in schema.list("structFields") or () if isinstance(struct, dict)]
    numbers = [len(schema.list("fields") or ()), len(schema.list("structFields") or ())]
    numbers += [len(Fields(struct, "StructArrayFieldSchema").list("fields") or ()) for struct in structs[:MAX_FIELDS]]
    if max(numbers) > MAX_FIELDS or sum(numbers[:1] + numbers[2:]) > MAX_FIELDS:
        raise InvalidSchema(f"maximum field's number should be limited to {MAX_FIELDS}")


def _check_json_types(schema: Fields) -> None:
    """Refuse what a typed decoder refuses before the schema check: wrong JSON types, fields without a name."""
    for key in ("autoID", "enableDynamicField"):
        _check_flag(schema, key)
    for key in ("externalSource", "externalSpec"):
        if schema.value(key):
            raise Unsupported(f"{key} is not supported by this server", key=key)
    _check_field_types(schema, "CollectionReq.Schema.Fields")
    for number, entry in enumerate(schema.list("structFields") or ()):
        place = f"CollectionReq.Schema.StructFields[{number}]"
        if not isinstance(entry, dict):
            raise schema.mismatch("structFields", entry, "httpserver.StructArrayFieldSchema")
        struct = Fields(entry, place)
        struct.require("fieldName", "fields")
        struct.string("fieldName")
        _check_flag(struct, "nullable")
        check_parameters(FIELD_PARAMS, struct.mapping("typeParams") or {})
        _check_field_types(struct, f"{place}.Fields")


def _check_field_types(owner: Fields, place: str) -> None:
    for number, entry in enumerate(owner.list("fields") or ()):
        if not isinstance(entry, dict):
            raise owner.mismatch("fields", entry, "httpserver.FieldSchema")
        field = Fields(entry, f"{place}[{number}]")
        field.require("fieldName", "dataType")
        for key in _FIELD_TEXTS:
            field.string(key)
        for key in _FIELD_FLAGS:
            _check_flag(field, key)
        check_parameters(FIELD_PARAMS, field.mapping("elementTypeParams") or {})
        if field.value("autoID") is True and not owner.value("autoID"):
            raise Unsupported(
                f"autoID of the field {shorten(field.string('fieldName'))} means nothing: it stands beside fields, "
                "as schema.autoID",
                key="autoID",
            )


def _check_flag(fields: Fields, key: str) -> None:
    value = fields.value(key)
    if value is not None and not isinstance(value, bool):
        raise fields.mismatch(key, value, "bool")


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
        raise InvalidParameter(
            "idType can only be [Int64, VarChar], default: Int64: "
            f"invalid parameter[expected=Int64, VarChar][actual={shorten(id_type)}]",
            id_type=id_type,
        )
    primary = Field(
        name=fields.string("primaryFieldName") or "id",
        type=_ID_TYPES[id_type],
        primary=True,
        max_length=whole_number(params.value("max_length")) if id_type.lower() == "varchar" else None,
    )
    sparse = kind is DataType.SPARSE_FLOAT_VECTOR
    vector = Field(name=fields.string("vectorFieldName") or "vector", type=kind, dim=None if sparse else dimension)
    return CollectionSchema(
        fields=(primary, vector), auto_id=fields.boolean("autoID") or False, dynamic=_quick_dynamic(params)
    )


def _quick_dynamic(params: Fields) -> bool:
    value = params.value("enableDynamicField")
    dynamic = True if value is None else go_boolean(value)
    if dynamic is None:
        raise InvalidParameter(
            f'parse enableDynamicField fail, err:strconv.ParseBool: parsing "{shorten(value)}": invalid syntax',
            key="enableDynamicField",
        )
    return dynamic


def _quick_vector_type(name: str | None) -> DataType:
    matches = [kind for kind in _QUICK_VECTORS if kind.value == (name or DataType.FLOAT_VECTOR.value)]
    if not matches:
        words = ", ".join(kind.value for kind in _QUICK_VECTORS)
        raise InvalidParameter(f"vectorFieldType can only be [{words}], but got {shorten(name)}", value=name)
    return matches[0]


def settings_of(fields: Fields, schema: CollectionSchema) -> CollectionSettings:
    """Decode the settings of a body, which are outside of its schema.

    Raises:
        InvalidParameter: a value is out of bounds, or the TTL is set twice.
    """
    params = fields.fields("params", "CreateCollectionParams") or Fields({}, "")
    check_parameters(COLLECTION_PARAMS, params.raw)
    check_parameters(COLLECTION_PROPERTIES, fields.mapping("properties") or {})
    level = check_consistency_level(fields) or check_consistency_level(params) or "Bounded"
    shards = whole_number(params.value("shardsNum")) or 1
    if not 1 <= shards <= MAX_SHARDS:
        raise InvalidParameter(f"maximum shards's number should be limited to {MAX_SHARDS}", value=shards)
    return CollectionSettings(
        consistency_level=level,
        shards=shards,
        key_partitions=_key_partitions(params, schema),
        properties=_properties(fields, params),
    )


def check_consistency_level(fields: Fields) -> str | None:
    """The body's ``consistencyLevel``, exact in case; None where it names none.

    Raises:
        InvalidParameter: there is no such level.
    """
    level = fields.string("consistencyLevel")
    if level is not None and level not in CONSISTENCY_LEVELS:
        raise InvalidParameter(
            f"consistencyLevel can only be [{', '.join(CONSISTENCY_LEVELS)}], default: Bounded, "
            f"err:there is no level {shorten(level)}",
            value=level,
        )
    return level


def _key_partitions(params: Fields, schema: CollectionSchema) -> int:
    partitions = whole_number(params.value("partitionsNum")) or 0
    if partitions <= 0:
        return DEFAULT_KEY_PARTITIONS
    if schema.partition_key is None:
        raise InvalidParameter("num_partitions should only be specified with partition key field enabled")
    if partitions > MAX_PARTITIONS:
        raise InvalidParameter(
            f"partition number ({partitions}) exceeds max configuration ({MAX_PARTITIONS})", value=partitions
        )
    return partitions


def _properties(fields: Fields, params: Fields) -> Mapping[str, str]:
    properties = text_values(fields.mapping("properties"))
    ttls: list[Any] = [properties.pop(key) for key in (TTL, "ttl.seconds") if key in properties]
    from_params = {}
    for key in params:
        value = params.value(key)
        name = _PROPERTY_PARAMS.get(key) or (key if key.startswith("warmup.") else None)
        if value is None or name is None:
            continue
        if name == TTL:
            ttls.append(value)
        else:
            from_params[name] = value_text(value)
    if len(ttls) > 1:
        raise InvalidParameter("collection TTL is specified multiple times")
    if ttls:
        from_params[TTL] = str(_whole_seconds(ttls[0]))
    return properties | from_params


def _whole_seconds(value: object) -> int:
    seconds = whole_number(value)
    if seconds is None or abs(seconds) > MAX_TTL:
        raise InvalidParameter(
            f"{TTL} takes whole seconds up to {MAX_TTL}, or 0 for rows that never expire, but got {value}",
            value=value,
        )
    return seconds

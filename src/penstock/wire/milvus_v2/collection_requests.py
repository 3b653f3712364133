"""Decode both forms of the body of ``collections/create`` into domain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.collections.collection_settings import DEFAULT_LEVEL, check_consistency_level, collection_settings
from penstock.collections.create_collection import CreateCollection
from penstock.collections.parameter_tables import COLLECTION_PARAMS, FIELD_PARAMS
from penstock.collections.parameters import check_parameters
from penstock.collections.quick_setup import QuickSetup
from penstock.domain.collections import CollectionSettings
from penstock.domain.parameter_values import go_boolean, whole_number
from penstock.domain.rest_schema import field_from_rest, schema_from_rest
from penstock.domain.schema import MAX_FIELDS, CollectionSchema, DataType, Field
from penstock.errors import (
    InvalidParameter,
    InvalidSchema,
    Unsupported,
    shorten,
)
from penstock.wire.decoding import Fields
from penstock.wire.milvus_v2.index_requests import index_requests

_FIELD_TEXTS = ("fieldName", "dataType", "elementDataType")
_FIELD_FLAGS = ("isPrimary", "isPartitionKey", "isClusteringKey", "nullable")
_PROPERTY_PARAMS = {
    "partitionKeyIsolation": "partitionkey.isolation",
    "mmap.enabled": "mmap.enabled",
}
"""``params`` that are stored as properties of the collection; so are those that begin with ``warmup.``."""


def create_request(fields: Fields, name: str) -> CreateCollection:
    """Decode the body of ``collections/create``.

    Raises:
        InvalidSchema, InvalidParameter, MalformedBody, MissingField, Unsupported.
    """
    indexes = index_requests(fields)
    if not _is_quick(fields):
        schema = _schema_of(fields)
        settings = _settings_of(fields, schema)
        return CreateCollection(name=name, schema=schema, settings=settings, indexes=indexes, load=bool(indexes))
    quick = _quick_setup(fields)
    schema = quick.schema()
    return CreateCollection(
        name=name,
        schema=schema,
        settings=_settings_of(fields, schema),
        indexes=indexes or [quick.index()],
        load=True,
    )


def _is_quick(fields: Fields) -> bool:
    """Whether the body is the quick form: no schema, or one without fields."""
    schema = fields.fields("schema", "CollectionSchema")
    return schema is None or not schema.list("fields")


def _schema_of(fields: Fields) -> CollectionSchema:
    """Decode the schema of a body that isn't the quick form.

    Raises:
        InvalidSchema, InvalidParameter, MalformedBody, MissingField, Unsupported.
    """
    schema = fields.fields("schema", "CollectionSchema") or Fields({}, "")
    _check_size(schema)
    _check_json_types(schema)
    return schema_from_rest(fields.mapping("schema") or {}).with_description(fields.string("description") or "")


def added_field(fields: Fields) -> Field:
    """Decode the ``schema`` of ``collections/fields/add``: one field.

    Raises:
        InvalidSchema, InvalidParameter, MalformedBody, MissingField, Unsupported.
    """
    fields.require("collectionName", "schema")
    content = fields.fields("schema", "FieldSchema") or Fields({}, "FieldSchema")
    _check_field(content)
    if content.value("autoID") is True:
        raise InvalidParameter(
            f"only primary field can specify AutoID with true, field name = {shorten(content.string('fieldName'))}",
            key="autoID",
        )
    return field_from_rest(content.raw)


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
    for key in ("autoID", "enableDynamicField", "enabledDynamicField"):
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
        _check_field(field)
        if field.value("autoID") is True and not owner.value("autoID"):
            raise Unsupported(
                f"autoID of the field {shorten(field.string('fieldName'))} has no effect: set schema.autoID, "
                "next to fields",
                key="autoID",
            )


def _check_field(field: Fields) -> None:
    field.require("fieldName", "dataType")
    for key in _FIELD_TEXTS:
        field.string(key)
    for key in _FIELD_FLAGS:
        _check_flag(field, key)
    check_parameters(FIELD_PARAMS, field.mapping("elementTypeParams") or {})


def _check_flag(fields: Fields, key: str) -> None:
    value = fields.value(key)
    if value is not None and not isinstance(value, bool):
        raise fields.mismatch(key, value, "bool")


def _quick_setup(fields: Fields) -> QuickSetup:
    """Decode the quick form.

    Raises:
        MalformedBody.
        InvalidParameter: ``enableDynamicField`` is not a boolean.
    """
    params = _params(fields)
    return QuickSetup(
        dimension=fields.integer("dimension", strict=True),
        metric=fields.string("metricType") or "",
        id_type=fields.string("idType") or "Int64",
        primary_field=fields.string("primaryFieldName") or "id",
        vector_field=fields.string("vectorFieldName") or "vector",
        vector_type=fields.string("vectorFieldType") or DataType.FLOAT_VECTOR.value,
        auto_id=fields.boolean("autoID") or False,
        dynamic=_quick_dynamic(params),
        max_length=whole_number(params.value("max_length")),
        description=fields.string("description") or "",
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


def _settings_of(fields: Fields, schema: CollectionSchema) -> CollectionSettings:
    """Decode the settings of a body, which are outside of its schema.

    Raises:
        InvalidParameter, Unsupported: from :func:`collection_settings`.
    """
    params = _params(fields)
    check_parameters(COLLECTION_PARAMS, params.raw)
    return collection_settings(
        schema,
        consistency_level=consistency_level(fields) or consistency_level(params) or DEFAULT_LEVEL,
        shards=whole_number(params.value("shardsNum")) or 1,
        key_partitions=whole_number(params.value("partitionsNum")) or 0,
        properties={**(fields.mapping("properties") or {}), **_params_as_properties(params)},
        ttl_seconds=params.value("ttlSeconds"),
    )


def consistency_level(fields: Fields) -> str | None:
    """The body's ``consistencyLevel``; None where it names none. Raises InvalidParameter for an unknown one."""
    level = fields.string("consistencyLevel")
    if level is not None:
        check_consistency_level(level)
    return level


def _params(fields: Fields) -> Fields:
    return fields.fields("params", "CreateCollectionParams") or Fields({}, "")


def _params_as_properties(params: Fields) -> Mapping[str, Any]:
    names = {key: _PROPERTY_PARAMS.get(key) or (key if key.startswith("warmup.") else None) for key in params}
    return {name: value for key, name in names.items() if name and (value := params.value(key)) is not None}

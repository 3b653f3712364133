"""Render a collection for ``collections/describe``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from penstock.collections.collections import CollectionDetails
from penstock.domain.collections import Collection, LoadState
from penstock.domain.schema import DataType, Field
from penstock.wire.milvus_v2.row_serializer import UNION_MEMBERS, key_values

__all__ = ["LOAD_WORDS", "description", "soft_error"]

LOAD_WORDS = {
    LoadState.LOADED: "LoadStateLoaded",
    LoadState.NEVER: "LoadStateNotLoad",
    LoadState.RELEASED: "LoadStateNotLoad",
}
FIRST_FIELD_ID = 100


def description(details: CollectionDetails) -> dict[str, Any]:
    """The value of ``data``; its indexes are those of the vector fields, as in Milvus."""
    collection = details.collection
    schema = collection.schema
    vectors = {field.name for field in schema.vectors}
    fields, structs = _fields_and_structs(collection)
    return {
        "collectionName": collection.name,
        "collectionID": collection.number,
        "description": schema.description,
        "autoId": schema.auto_id,
        "fields": fields,
        "structFields": structs,
        "functions": [],
        "aliases": [],
        "indexes": [
            {"fieldName": index.field_name, "indexName": index.name, "metricType": index.metric or ""}
            for index in details.indexes
            if index.field_name in vectors
        ],
        "load": LOAD_WORDS[collection.load_state],
        "shardsNum": collection.settings.shards,
        "partitionsNum": len(details.partitions),
        "consistencyLevel": collection.settings.consistency_level,
        "enableDynamicField": schema.dynamic,
        "externalSource": "",
        "externalSpec": "",
        "properties": key_values(collection.settings.properties),
    }


def soft_error(details: CollectionDetails) -> str:
    """The value of ``message`` of a successful description."""
    vectors = {field.name for field in details.collection.schema.vectors}
    if any(index.field_name in vectors for index in details.indexes):
        return ""
    return f"index not found[collection={details.collection.name}]"


def _fields_and_structs(collection: Collection) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Render fields and struct fields, numbered in schema order; the fields of a struct follow their struct."""
    fields: list[dict[str, Any]] = []
    structs: list[dict[str, Any]] = []
    number = FIRST_FIELD_ID
    for field in collection.schema:
        if field.type is DataType.ARRAY_OF_STRUCT:
            structs.append(_struct(number, field, collection))
        else:
            fields.append(_field(number, field, collection))
        number += 1 + len(field.fields)
    return fields, structs


def _struct(number: int, field: Field, collection: Collection) -> dict[str, Any]:
    return {
        "name": field.name,
        "id": number,
        "type": field.type.value,
        "description": field.description,
        "nullable": field.nullable,
        "fields": [
            _subfield(subfield_id, subfield, field, collection)
            for subfield_id, subfield in enumerate(field.fields, number + 1)
        ],
        "params": _params(field),
    }


def _subfield(number: int, subfield: Field, struct: Field, collection: Collection) -> dict[str, Any]:
    """Render a subfield as Milvus stores it: an array, of scalars or vectors, as long as the struct array."""
    view = _field(number, replace(subfield, max_capacity=struct.max_capacity, nullable=struct.nullable), collection)
    return {
        **view,
        "type": "ArrayOfVector" if subfield.type.is_vector else DataType.ARRAY.value,
        "elementType": subfield.type.value,
    }


def _params(field: Field) -> list[dict[str, str]]:
    limits = {"dim": field.dim, "max_length": field.max_length, "max_capacity": field.max_capacity}
    return key_values({key: str(value) for key, value in limits.items() if value is not None} | dict(field.params))


def _field(number: int, field: Field, collection: Collection) -> dict[str, Any]:
    view: dict[str, Any] = {
        "name": field.name,
        "id": number,
        "type": field.type.value,
        "primaryKey": field.primary,
        "partitionKey": field.partition_key,
        "clusteringKey": False,
        "autoId": collection.schema.is_generated(field),
        "nullable": field.nullable,
        "description": field.description,
    }
    if field.element_type is not None:
        view["elementType"] = field.element_type.value
    if field.default is not None:
        view["defaultValue"] = {"Data": {UNION_MEMBERS[field.type]: field.default}}
    if params := _params(field):
        view["params"] = params
    return view

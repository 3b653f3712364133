"""Render a collection for ``collections/describe``."""

from __future__ import annotations

from typing import Any

from penstock.collections.description import CollectionDescription, FieldDescription, FunctionDescription
from penstock.domain.collections import LoadState
from penstock.domain.functions import FUNCTION_NUMBERS
from penstock.domain.schema import CollectionSchema, DataType
from penstock.wire.milvus.properties import key_values, type_params
from penstock.wire.milvus_v2.row_serializer import UNION_MEMBERS

LOAD_WORDS = {
    LoadState.LOADED: "LoadStateLoaded",
    LoadState.NEVER: "LoadStateNotLoad",
    LoadState.RELEASED: "LoadStateNotLoad",
}


def description(details: CollectionDescription) -> dict[str, Any]:
    """The value of ``data``; its indexes are those of the vector fields, as in Milvus."""
    collection = details.collection
    schema = collection.schema
    return {
        "collectionName": collection.name,
        "collectionID": collection.number,
        "description": schema.description,
        "autoId": schema.auto_id,
        "fields": [_field(field, schema) for field in details.fields if not field.is_struct_array],
        "structFields": [_struct(field, schema) for field in details.fields if field.is_struct_array],
        "functions": [_function(function) for function in details.functions],
        "aliases": list(details.aliases),
        "indexes": [
            {"fieldName": index.field_name, "indexName": index.name, "metricType": index.metric or ""}
            for index in details.vector_indexes
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


def soft_error(details: CollectionDescription) -> str:
    """The value of ``message`` of a successful description."""
    return "" if details.vector_indexes else f"index not found[collection={details.collection.name}]"


def _function(shown: FunctionDescription) -> dict[str, Any]:
    return {
        "name": shown.function.name,
        "id": shown.id,
        "type": FUNCTION_NUMBERS[shown.function.type],
        "description": shown.function.description,
        "inputFieldNames": list(shown.function.inputs),
        "outputFieldNames": list(shown.function.outputs),
        "params": [],
    }


def _struct(struct: FieldDescription, schema: CollectionSchema) -> dict[str, Any]:
    field = struct.field
    return {
        "name": field.name,
        "id": struct.id,
        "type": field.type.value,
        "description": field.description,
        "nullable": field.nullable,
        "fields": [_subfield(subfield, schema) for subfield in struct.fields],
        "params": type_params(field),
    }


def _subfield(subfield: FieldDescription, schema: CollectionSchema) -> dict[str, Any]:
    kind = subfield.field.type
    return {
        **_field(subfield, schema),
        "type": "ArrayOfVector" if kind.is_vector else DataType.ARRAY.value,
        "elementType": kind.value,
    }


def _field(description: FieldDescription, schema: CollectionSchema) -> dict[str, Any]:
    field = description.field
    view: dict[str, Any] = {
        "name": field.name,
        "id": description.id,
        "type": field.type.value,
        "primaryKey": field.primary,
        "partitionKey": field.partition_key,
        "clusteringKey": field.clustering_key,
        "autoId": schema.is_generated(field),
        "nullable": field.nullable,
        "description": field.description,
    }
    if field.element_type is not None:
        view["elementType"] = field.element_type.value
    if field.default is not None:
        view["defaultValue"] = {"Data": {UNION_MEMBERS[field.type]: field.shown_default}}
    if field.function_output:
        view["isFunctionOutput"] = True
    if params := type_params(field):
        view["params"] = params
    return view

"""``/v2/vectordb/collections/…``: create, list, describe, has, drop, get_stats, load, release, get_load_state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from penstock.collections.collections import CollectionDetails, CollectionService
from penstock.collections.indexes import IndexService
from penstock.domain.collections import Collection, LoadState
from penstock.domain.schema import DataType, Field
from penstock.errors import CollectionNotFound, IndexNotFound
from penstock.wire.http import Operation, Route
from penstock.wire.milvus_v2.collection_requests import index_specs, is_quick, quick_index, schema_of, settings_of
from penstock.wire.milvus_v2.dialect import Answer, MilvusV2, Request
from penstock.wire.milvus_v2.values import key_values

__all__ = ["cannot_find", "routes"]

_TEXT = {"type": "string"}
_NAMED = {"dbName": _TEXT, "collectionName": _TEXT}
_CREATE_BODY: Mapping[str, Mapping[str, Any]] = _NAMED | {
    "dimension": {"type": "integer"},
    "metricType": _TEXT,
    "idType": _TEXT,
    "autoID": {"type": "boolean"},
    "primaryFieldName": _TEXT,
    "vectorFieldName": _TEXT,
    "vectorFieldType": _TEXT,
    "description": _TEXT,
    "consistencyLevel": _TEXT,
    "schema": {"type": "object"},
    "indexParams": {"type": "array", "items": {"type": "object"}},
    "params": {"type": "object"},
    "properties": {"type": "object"},
}
_UNION_MEMBERS: Mapping[DataType, str] = {
    DataType.BOOL: "BoolData",
    DataType.INT8: "IntData",
    DataType.INT16: "IntData",
    DataType.INT32: "IntData",
    DataType.INT64: "LongData",
    DataType.FLOAT: "FloatData",
    DataType.DOUBLE: "DoubleData",
    DataType.VARCHAR: "StringData",
}
_LOAD_WORDS = {
    LoadState.LOADED: "LoadStateLoaded",
    LoadState.NEVER: "LoadStateNotLoad",
    LoadState.RELEASED: "LoadStateNotLoad",
}


def cannot_find(request: Request, error: CollectionNotFound) -> CollectionNotFound:
    """The same error as calls that read a schema word it."""
    name = error.details.get("collection", request.fields.string("collectionName"))
    return CollectionNotFound(f"can't find collection[database={request.database}][collection={name}]")


def routes(collections: CollectionService, indexes: IndexService, v2: MilvusV2) -> tuple[Route, ...]:
    def name_of(request: Request) -> tuple[str, str, str]:
        return request.cluster_id, request.database, request.fields.required_string("collectionName")

    def create(request: Request) -> object:
        place = name_of(request)
        schema = schema_of(request.fields)
        collection = collections.create(*place, schema, settings_of(request.fields, schema))
        if is_quick(request.fields):
            indexes.create(collection, quick_index(request.fields, schema))
            collections.load(*place)
            return None
        specs = index_specs(request.fields, schema)
        for spec in specs:
            indexes.create(collection, spec)
        if specs:
            collections.load(*place)
        return None

    def list_all(request: Request) -> object:
        return [each.name for each in collections.list(request.cluster_id, request.database)]

    def describe(request: Request) -> object:
        try:
            details = collections.describe(*name_of(request))
        except CollectionNotFound as error:
            raise cannot_find(request, error) from error
        return Answer(_description(details), {"message": _soft_error(details)})

    def drop(request: Request) -> object:
        try:
            collections.drop(*name_of(request))
        except CollectionNotFound:
            # Dropping what isn't there succeeds, as in Milvus.
            return None
        return None

    def get_load_state(request: Request) -> object:
        collection = collections.get(*name_of(request))
        word = _LOAD_WORDS[collection.load_state]
        if collection.load_state is LoadState.LOADED:
            return Answer({"loadState": word, "loadProgress": 100}, {"message": ""})
        return {"loadState": word}

    def load(request: Request) -> object:
        collections.load(*name_of(request))
        return None

    def release(request: Request) -> object:
        collections.release(*name_of(request))
        return None

    def named(action: str, handler: Callable[[Request], object], summary: str) -> Route:
        return v2.post(
            f"/collections/{action}",
            handler,
            struct="CollectionNameReq",
            operation=Operation(summary=summary, tag="collections", body=_NAMED, required=["collectionName"]),
        )

    return (
        v2.post(
            "/collections/create",
            create,
            struct="CollectionReq",
            operation=Operation(
                summary="Create a collection",
                description="Quick form: a dimension. Schema form: schema.fields, and indexParams.",
                tag="collections",
                body=_CREATE_BODY,
                required=["collectionName"],
            ),
        ),
        v2.post(
            "/collections/list",
            list_all,
            struct="DatabaseReq",
            operation=Operation(
                summary="List the collections of a database",
                tag="collections",
                body={"dbName": _TEXT},
                data={"type": "array", "items": _TEXT},
            ),
        ),
        named("describe", describe, "Describe a collection"),
        named("has", lambda request: {"has": collections.has(*name_of(request))}, "Is it there?"),
        named("drop", drop, "Drop a collection and its rows"),
        named("get_stats", lambda request: {"rowCount": collections.count(*name_of(request))}, "Count its rows"),
        named("load", load, "Note that the collection is loaded"),
        named("release", release, "Note that the collection is released; it is not searched until loaded again"),
        named("get_load_state", get_load_state, "Tell the load state"),
    )


def _description(details: CollectionDetails) -> dict[str, Any]:
    collection = details.collection
    schema = collection.schema
    vector = schema.vectors[0].name
    return {
        "collectionName": collection.name,
        "collectionID": collection.number,
        "description": schema.description,
        "autoId": schema.auto_id,
        "fields": [_field(number, each, collection) for number, each in enumerate(schema, 100)],
        "structFields": [],
        "functions": [],
        "aliases": [],
        "indexes": [
            {"fieldName": each.field_name, "indexName": each.name, "metricType": each.metric or ""}
            for each in details.indexes
            if each.field_name == vector
        ],
        "load": _LOAD_WORDS[collection.load_state],
        "shardsNum": collection.settings.shards,
        "partitionsNum": len(details.partitions),
        "consistencyLevel": collection.settings.consistency_level,
        "enableDynamicField": schema.dynamic,
        "externalSource": "",
        "externalSpec": "",
        "properties": key_values(collection.settings.properties),
    }


def _soft_error(details: CollectionDetails) -> str:
    vector = details.collection.schema.vectors[0].name
    if any(each.field_name == vector for each in details.indexes):
        return ""
    return str(IndexNotFound(f"index not found[collection={details.collection.name}]"))


def _field(number: int, field: Field, collection: Collection) -> dict[str, Any]:
    shown: dict[str, Any] = {
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
        shown["elementType"] = field.element_type.value
    if field.default is not None:
        shown["defaultValue"] = {"Data": {_UNION_MEMBERS[field.type]: field.default}}
    numbers = {"dim": field.dim, "max_length": field.max_length, "max_capacity": field.max_capacity}
    params = {key: str(value) for key, value in numbers.items() if value is not None} | dict(field.params)
    if params:
        shown["params"] = key_values(params)
    return shown

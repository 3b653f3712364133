"""``/v2/vectordb/collections/…``: create, list, describe, has, drop, get_stats, flush, load and release."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from penstock.collections.collections import CollectionService
from penstock.collections.create_collection import create_collection
from penstock.collections.indexes import IndexService
from penstock.collections.partitions import PartitionService
from penstock.domain.access import Role
from penstock.domain.collections import LoadState
from penstock.errors import CollectionNotFound, DatabaseNotFound, shorten_name
from penstock.wire.http import Operation, Route
from penstock.wire.milvus.call_errors import creating
from penstock.wire.milvus_v2.collection_requests import create_request
from penstock.wire.milvus_v2.collection_views import LOAD_WORDS, description, soft_error
from penstock.wire.milvus_v2.dialect import Answer, MilvusV2, Request

_TEXT = {"type": "string"}
_COLLECTION: Mapping[str, Mapping[str, Any]] = {"dbName": _TEXT, "collectionName": _TEXT}
_CREATE_BODY: Mapping[str, Mapping[str, Any]] = {
    **_COLLECTION,
    "dimension": {"type": "integer", "example": 768},
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


def cannot_find(request: Request, error: CollectionNotFound) -> CollectionNotFound:
    """The same error with the text of calls that read a schema."""
    name = shorten_name(str(error.details.get("collection", request.fields.string("collectionName"))))
    return CollectionNotFound(f"can't find collection[database={request.database}][collection={name}]")


def routes(
    collections: CollectionService, partitions: PartitionService, indexes: IndexService, v2: MilvusV2
) -> tuple[Route, ...]:
    def create(request: Request) -> object:
        name = request.fields.required_string("collectionName")
        with creating():
            create_collection(
                collections, indexes, request.cluster_id, request.database, create_request(request.fields, name)
            )
        return None

    def list_all(request: Request) -> object:
        return [collection.name for collection in collections.list(request.cluster_id, request.database)]

    def describe(request: Request) -> object:
        try:
            details = collections.describe(*request.qualified_name)
        except CollectionNotFound as error:
            raise cannot_find(request, error) from error
        return Answer(description(details), {"message": soft_error(details)})

    def has(request: Request) -> object:
        return {"has": collections.has(*request.qualified_name)}

    def drop(request: Request) -> object:
        try:
            collections.drop(*request.qualified_name)
        except (CollectionNotFound, DatabaseNotFound):
            # Dropping a missing collection succeeds, as in Milvus.
            return None
        return None

    def get_stats(request: Request) -> object:
        return {"rowCount": collections.count(*request.qualified_name)}

    def get_load_state(request: Request) -> object:
        collection = collections.get(*request.qualified_name)
        status = partitions.load_status(collection, request.fields.strings("partitionNames") or ())
        word = LOAD_WORDS[status.state]
        if status.state is LoadState.LOADED:
            return Answer({"loadState": word, "loadProgress": status.progress}, {"message": ""})
        return {"loadState": word}

    def load(request: Request) -> object:
        collections.load(*request.qualified_name)
        return None

    def refresh_load(request: Request) -> object:
        collections.refresh_load(*request.qualified_name)
        return None

    def release(request: Request) -> object:
        collections.release(*request.qualified_name)
        return None

    def flush(request: Request) -> object:
        # Rows are durable from their commit on.
        collections.get(*request.qualified_name)
        return None

    def collection_route(
        role: Role, action: str, handler: Callable[[Request], object], summary: str, **more: Mapping[str, Any]
    ) -> Route:
        return v2.post(
            f"/collections/{action}",
            handler,
            role=role,
            struct="CollectionNameReq",
            operation=Operation(
                summary=summary, tag="collections", body={**_COLLECTION, **more}, required=["collectionName"]
            ),
        )

    return (
        v2.post(
            "/collections/create",
            create,
            role=Role.WRITER,
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
            role=Role.READER,
            struct="DatabaseReq",
            operation=Operation(
                summary="List the collections of a database",
                tag="collections",
                body={"dbName": _TEXT},
                data={"type": "array", "items": _TEXT},
            ),
        ),
        collection_route(Role.READER, "describe", describe, "Describe a collection"),
        collection_route(Role.READER, "has", has, "Check whether a collection exists"),
        collection_route(Role.WRITER, "drop", drop, "Drop a collection and its rows"),
        collection_route(Role.READER, "get_stats", get_stats, "Get the number of rows of a collection"),
        collection_route(Role.WRITER, "load", load, "Mark the collection as loaded"),
        collection_route(
            Role.WRITER,
            "refresh_load",
            refresh_load,
            "No effect: new rows of a loaded collection are visible automatically",
        ),
        collection_route(
            Role.WRITER,
            "release",
            release,
            "Mark the collection as released; queries are rejected until it is loaded again",
        ),
        collection_route(
            Role.READER,
            "get_load_state",
            get_load_state,
            "Get the load state",
            partitionNames={"type": "array", "items": _TEXT},
        ),
        collection_route(Role.WRITER, "flush", flush, "No effect: imported rows are durable once committed"),
    )

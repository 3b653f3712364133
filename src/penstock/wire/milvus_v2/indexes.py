"""``/v2/vectordb/indexes/…``: list, describe, create, alter, drop."""

from __future__ import annotations

from typing import Any

from penstock.collections.collections import CollectionService
from penstock.collections.indexes import IndexService, IndexStatus
from penstock.domain.access import Role
from penstock.domain.collections import Collection
from penstock.domain.parameter_values import value_text
from penstock.errors import FieldNotFound, InvalidParameter
from penstock.wire.http import Operation, Route
from penstock.wire.milvus.properties import INDEX_PROPERTY_NAMES, key_values, spec_params
from penstock.wire.milvus_v2.dialect import MilvusV2, Request
from penstock.wire.milvus_v2.index_requests import index_requests

_TEXT = {"type": "string"}
_COLLECTION = {"dbName": _TEXT, "collectionName": _TEXT}
_TAG = "indexes"


def routes(collections: CollectionService, indexes: IndexService, v2: MilvusV2) -> tuple[Route, ...]:
    def collection_of(request: Request) -> Collection:
        return collections.get(*request.qualified_name)

    def list_all(request: Request) -> object:
        return [index.name for index in indexes.list(collection_of(request))]

    def describe(request: Request) -> object:
        request.fields.require("collectionName", "indexName")
        collection, name = collection_of(request), request.fields.required_string("indexName")
        status = _status(indexes.status(collection, name))
        if request.fields.boolean("verbose"):
            built = indexes.built_rows(collection, name)
            status |= {} if built is None else {"builtRows": built}
        return [status]

    def create(request: Request) -> object:
        request.fields.require("collectionName", "indexParams")
        collection = collection_of(request)
        try:
            for index in index_requests(request.fields):
                indexes.create(collection, index)
        except FieldNotFound as error:
            raise InvalidParameter(str(error), **error.details) from error
        return None

    def drop(request: Request) -> object:
        request.fields.require("collectionName", "indexName")
        indexes.drop(collection_of(request), request.fields.required_string("indexName"))
        return None

    def alter_properties(request: Request) -> object:
        request.fields.require("collectionName", "indexName")
        name = request.fields.required_string("indexName")
        indexes.alter_properties(collection_of(request), name, request.fields.mapping("properties") or {})
        return None

    def drop_properties(request: Request) -> object:
        request.fields.require("collectionName", "indexName")
        name = request.fields.required_string("indexName")
        indexes.drop_properties(collection_of(request), name, request.fields.strings("propertyKeys") or ())
        return None

    index_body = _COLLECTION | {"indexName": _TEXT}
    return (
        v2.post(
            "/indexes/list",
            list_all,
            role=Role.READER,
            struct="CollectionNameReq",
            operation=Operation(
                summary="List the names of a collection's indexes",
                tag=_TAG,
                body=_COLLECTION,
                required=["collectionName"],
                data={"type": "array", "items": _TEXT},
            ),
        ),
        v2.post(
            "/indexes/describe",
            describe,
            role=Role.READER,
            struct="IndexReq",
            operation=Operation(
                summary="Describe an index",
                tag=_TAG,
                description="With verbose, a key of this server, builtRows is the number of rows in the built index; "
                "a search compares all others exactly.",
                body={**index_body, "verbose": {"type": "boolean"}},
                required=["collectionName", "indexName"],
                data={"type": "array", "items": {"type": "object"}},
            ),
        ),
        v2.post(
            "/indexes/create",
            create,
            role=Role.WRITER,
            struct="IndexParamReq",
            operation=Operation(
                summary="Create indexes",
                tag=_TAG,
                body=_COLLECTION | {"indexParams": {"type": "array", "items": {"type": "object"}}},
                required=["collectionName", "indexParams"],
            ),
        ),
        v2.post(
            "/indexes/alter_properties",
            alter_properties,
            role=Role.WRITER,
            struct="IndexReqWithProperties",
            operation=Operation(
                summary="Set properties of an index",
                tag=_TAG,
                body={**index_body, "properties": {"type": "object"}},
                required=["collectionName", "indexName"],
            ),
        ),
        v2.post(
            "/indexes/drop_properties",
            drop_properties,
            role=Role.WRITER,
            struct="DropIndexPropertiesReq",
            operation=Operation(
                summary="Remove properties of an index",
                tag=_TAG,
                body={**index_body, "propertyKeys": {"type": "array", "items": _TEXT}},
                required=["collectionName", "indexName"],
            ),
        ),
        v2.post(
            "/indexes/drop",
            drop,
            role=Role.WRITER,
            struct="IndexReq",
            operation=Operation(
                summary="Drop an index", tag=_TAG, body=index_body, required=["collectionName", "indexName"]
            ),
        ),
    )


def _status(status: IndexStatus) -> dict[str, Any]:
    spec = status.spec
    return {
        "indexName": spec.name,
        "fieldName": spec.field_name,
        "indexType": spec.type,
        "metricType": spec.metric.value if spec.metric else "",
        "totalRows": status.rows,
        "indexedRows": status.indexed_rows,
        "pendingRows": status.pending_rows,
        "indexState": status.state.value,
        "failReason": "",
        **{key: value_text(spec.params.get(key, "")) for key in INDEX_PROPERTY_NAMES},
        "minIndexVersion": 0,
        "maxIndexVersion": 0,
        "indexParams": key_values(spec_params(spec)),
    }

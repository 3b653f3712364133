"""``/v2/vectordb/collections/…``: the calls that change a collection which exists."""

from __future__ import annotations

from penstock.collections.alterations import AlterationService, RenameCollection
from penstock.domain.access import Role
from penstock.wire.http import Operation, Route
from penstock.wire.milvus.call_errors import creating
from penstock.wire.milvus_v2.collection_requests import added_field
from penstock.wire.milvus_v2.dialect import MilvusV2, Request

_TEXT = {"type": "string"}
_TAG = "collections"
_COLLECTION = {"dbName": _TEXT, "collectionName": _TEXT}


def routes(alterations: AlterationService, v2: MilvusV2) -> tuple[Route, ...]:
    def rename(request: Request) -> object:
        request.fields.require("collectionName", "newCollectionName")
        alterations.rename(
            RenameCollection(
                caller=request.caller,
                cluster_id=request.cluster_id,
                database=request.database,
                name=request.fields.required_string("collectionName"),
                new_name=request.fields.required_string("newCollectionName"),
                new_database=request.fields.string("newDbName") or None,
            )
        )
        return None

    def alter_properties(request: Request) -> object:
        alterations.alter_properties(*request.qualified_name, request.fields.mapping("properties") or {})
        return None

    def drop_properties(request: Request) -> object:
        alterations.drop_properties(*request.qualified_name, request.fields.strings("propertyKeys") or ())
        return None

    def alter_field(request: Request) -> object:
        request.fields.require("collectionName", "fieldName")
        name = request.fields.required_string("fieldName")
        alterations.alter_field(*request.qualified_name, name, request.fields.mapping("fieldParams") or {})
        return None

    def add_field(request: Request) -> object:
        with creating():
            alterations.add_field(*request.qualified_name, added_field(request.fields))
        return None

    return (
        v2.post(
            "/collections/alter_properties",
            alter_properties,
            role=Role.WRITER,
            struct="CollectionReqWithProperties",
            operation=Operation(
                summary="Set properties of a collection",
                tag=_TAG,
                body={**_COLLECTION, "properties": {"type": "object"}},
                required=["collectionName"],
            ),
        ),
        v2.post(
            "/collections/drop_properties",
            drop_properties,
            role=Role.WRITER,
            struct="DropCollectionPropertiesReq",
            operation=Operation(
                summary="Remove properties of a collection",
                tag=_TAG,
                body={**_COLLECTION, "propertyKeys": {"type": "array", "items": _TEXT}},
                required=["collectionName"],
            ),
        ),
        v2.post(
            "/collections/fields/add",
            add_field,
            role=Role.WRITER,
            struct="CollectionFieldReqWithSchema",
            operation=Operation(
                summary="Add a field, nullable or with a default, to a collection",
                tag=_TAG,
                body={**_COLLECTION, "schema": {"type": "object"}},
                required=["collectionName", "schema"],
            ),
        ),
        v2.post(
            "/collections/fields/alter_properties",
            alter_field,
            role=Role.WRITER,
            struct="CollectionFieldReqWithParams",
            operation=Operation(
                summary="Change limits and parameters of a field",
                tag=_TAG,
                body={**_COLLECTION, "fieldName": _TEXT, "fieldParams": {"type": "object"}},
                required=["collectionName", "fieldName"],
            ),
        ),
        v2.post(
            "/collections/rename",
            rename,
            role=Role.WRITER,
            struct="RenameCollectionReq",
            operation=Operation(
                summary="Rename a collection, or move it to another database",
                tag=_TAG,
                body=_COLLECTION | {"newCollectionName": _TEXT, "newDbName": _TEXT},
                required=["collectionName", "newCollectionName"],
            ),
        ),
    )

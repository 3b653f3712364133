"""``/v2/vectordb/collections/…``: the calls that change a collection which exists."""

from __future__ import annotations

from penstock.collections.alterations import AlterationService, RenameCollection
from penstock.domain.access import Role
from penstock.wire.http import Operation, Route
from penstock.wire.milvus_v2.dialect import MilvusV2, Request

__all__ = ["routes"]

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

    return (
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

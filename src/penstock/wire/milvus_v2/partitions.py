"""``/v2/vectordb/partitions/…``: create, list, has, drop, get_stats, load, release."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from penstock.collections.collections import CollectionService
from penstock.collections.partitions import PartitionService
from penstock.domain.access import Role
from penstock.domain.collections import Collection
from penstock.wire.http import Operation, Route
from penstock.wire.milvus_v2.dialect import MilvusV2, Request

_TEXT = {"type": "string"}
_BODY = {"dbName": _TEXT, "collectionName": _TEXT, "partitionName": _TEXT}
_BODY_OF_MANY: Mapping[str, Mapping[str, Any]] = {
    "dbName": _TEXT,
    "collectionName": _TEXT,
    "partitionNames": {"type": "array", "items": _TEXT},
}


def routes(collections: CollectionService, partitions: PartitionService, v2: MilvusV2) -> tuple[Route, ...]:
    def collection_of(request: Request) -> Collection:
        return collections.get(*request.qualified_name)

    def list_all(request: Request) -> object:
        return [partition.name for partition in partitions.list(collection_of(request))]

    def on_partition(action: Callable[[Collection, str], object]) -> Callable[[Request], object]:
        def handle(request: Request) -> object:
            request.fields.require("collectionName", "partitionName")
            return action(collection_of(request), request.fields.required_string("partitionName"))

        return handle

    def create(collection: Collection, name: str) -> object:
        partitions.create(collection, name)
        return None

    def drop(collection: Collection, name: str) -> object:
        partitions.drop(collection, name)
        return None

    def route(role: Role, action: str, handler: Callable[[Request], object], summary: str) -> Route:
        return v2.post(
            f"/partitions/{action}",
            handler,
            role=role,
            struct="PartitionReq",
            operation=Operation(
                summary=summary, tag="partitions", body=_BODY, required=["collectionName", "partitionName"]
            ),
        )

    def multi_route(action: str, do: Callable[[Collection, Sequence[str]], None], summary: str) -> Route:
        def handle(request: Request) -> object:
            request.fields.require("collectionName", "partitionNames")
            do(collection_of(request), request.fields.strings("partitionNames") or ())
            return None

        return v2.post(
            f"/partitions/{action}",
            handle,
            role=Role.WRITER,
            struct="PartitionsReq",
            operation=Operation(
                summary=summary,
                tag="partitions",
                body=_BODY_OF_MANY,
                required=["collectionName", "partitionNames"],
            ),
        )

    return (
        v2.post(
            "/partitions/list",
            list_all,
            role=Role.READER,
            struct="CollectionNameReq",
            operation=Operation(
                summary="List the partitions of a collection",
                tag="partitions",
                body={"dbName": _TEXT, "collectionName": _TEXT},
                required=["collectionName"],
                data={"type": "array", "items": _TEXT},
            ),
        ),
        route(Role.WRITER, "create", on_partition(create), "Create a partition"),
        route(Role.WRITER, "drop", on_partition(drop), "Drop a partition and its rows"),
        route(
            Role.READER,
            "has",
            on_partition(lambda collection, name: {"has": partitions.has(collection, name)}),
            "Check whether a partition exists",
        ),
        route(
            Role.READER,
            "get_stats",
            on_partition(lambda collection, name: {"rowCount": partitions.count(collection, name)}),
            "Get the number of rows of a partition",
        ),
        multi_route("load", partitions.load, "Mark partitions, and with them the collection, as loaded"),
        multi_route("release", partitions.release, "Mark partitions as released; if all are, so is the collection"),
    )

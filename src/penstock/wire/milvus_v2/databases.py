"""``/v2/vectordb/databases/…``: create, list, describe, alter, drop."""

from __future__ import annotations

from penstock.collections.databases import DatabaseService
from penstock.domain.access import Role
from penstock.errors import DatabaseNotFound, InvalidName, shorten_name
from penstock.wire.http import Operation, Route
from penstock.wire.milvus.errors import Refused
from penstock.wire.milvus.properties import key_values
from penstock.wire.milvus_v2.dialect import MilvusV2, Request

_TAG = "databases"
_NAME = {"dbName": {"type": "string"}}


def routes(databases: DatabaseService, v2: MilvusV2) -> tuple[Route, ...]:
    def create(request: Request) -> object:
        name = request.fields.required_string("dbName")
        properties = request.fields.mapping("properties") or {}
        try:
            databases.create(request.cluster_id, name, properties)
        except InvalidName as error:
            raise Refused(802, f"{error}: invalid database name[database={shorten_name(name)}]") from error
        return None

    def list_all(request: Request) -> object:
        visible = request.caller.databases(Role.READER, request.cluster)
        return [
            database.name
            for database in databases.list(request.cluster_id)
            if visible is None or database.name in visible
        ]

    def describe(request: Request) -> object:
        database = databases.get(request.cluster_id, request.fields.required_string("dbName"))
        return {"dbName": database.name, "dbID": database.id, "properties": key_values(database.properties)}

    def alter_properties(request: Request) -> object:
        name = request.fields.required_string("dbName")
        databases.alter_properties(request.cluster_id, name, request.fields.mapping("properties") or {})
        return None

    def drop_properties(request: Request) -> object:
        name = request.fields.required_string("dbName")
        databases.drop_properties(request.cluster_id, name, request.fields.strings("propertyKeys") or ())
        return None

    def drop(request: Request) -> object:
        try:
            databases.drop(request.cluster_id, request.fields.required_string("dbName"))
        except DatabaseNotFound:
            # Dropping a missing database succeeds, as in Milvus.
            return None
        return None

    body = _NAME | {"properties": {"type": "object"}}
    return (
        v2.post(
            "/databases/create",
            create,
            role=Role.ADMIN,
            whole_cluster=True,
            struct="DatabaseReqWithProperties",
            operation=Operation(summary="Create a database", tag=_TAG, body=body, required=["dbName"]),
        ),
        v2.post(
            "/databases/list",
            list_all,
            role=None,
            struct="EmptyReq",
            operation=Operation(
                summary="List databases", tag=_TAG, data={"type": "array", "items": {"type": "string"}}
            ),
        ),
        v2.post(
            "/databases/describe",
            describe,
            role=Role.READER,
            struct="DatabaseReqRequiredName",
            operation=Operation(summary="Describe a database", tag=_TAG, body=_NAME, required=["dbName"]),
        ),
        *(
            v2.post(
                f"/databases/{action}",
                alter_properties,
                role=Role.ADMIN,
                struct="DatabaseReqWithProperties",
                operation=Operation(summary="Set properties of a database", tag=_TAG, body=body, required=["dbName"]),
            )
            for action in ("alter", "alter_properties")
        ),
        v2.post(
            "/databases/drop_properties",
            drop_properties,
            role=Role.ADMIN,
            struct="DropDatabasePropertiesReq",
            operation=Operation(
                summary="Remove properties of a database",
                tag=_TAG,
                body={**_NAME, "propertyKeys": {"type": "array", "items": {"type": "string"}}},
                required=["dbName"],
            ),
        ),
        v2.post(
            "/databases/drop",
            drop,
            role=Role.ADMIN,
            whole_cluster=True,
            struct="DatabaseReqRequiredName",
            operation=Operation(summary="Drop an empty database", tag=_TAG, body=_NAME, required=["dbName"]),
        ),
    )

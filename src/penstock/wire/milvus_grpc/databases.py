"""Databases: create, list, describe, alter, drop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.collections.databases import DatabaseService
from penstock.domain.access import Role
from penstock.errors import DatabaseNotFound, InvalidName, shorten_name
from penstock.wire.milvus.errors import Refused
from penstock.wire.milvus.properties import key_values
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.dialect import MilvusGrpc, Request
from penstock.wire.milvus_grpc.property_changes import property_method
from penstock.wire.milvus_grpc.schemas import key_value_mapping
from penstock.wire.milvus_grpc.stubs import milvus_pb2


def methods(databases: DatabaseService, grpc: MilvusGrpc) -> tuple[GrpcMethod, ...]:
    def create(request: Request) -> object:
        properties = key_value_mapping(request.message.properties)
        name = request.message.db_name
        try:
            databases.create(request.cluster_id, name, properties)
        except InvalidName as error:
            raise Refused(802, f"{error}: invalid database name[database={shorten_name(name)}]") from error
        return None

    def list_all(request: Request) -> object:
        visible = request.caller.databases(Role.READER, request.cluster)
        shown = [
            database for database in databases.list(request.cluster_id) if visible is None or database.name in visible
        ]
        return milvus_pb2.ListDatabasesResponse(
            db_names=[database.name for database in shown], db_ids=[database.id for database in shown]
        )

    def describe(request: Request) -> object:
        database = databases.get(request.cluster_id, request.database)
        return milvus_pb2.DescribeDatabaseResponse(
            db_name=database.name, dbID=database.id, properties=key_values(database.properties)
        )

    def alter_properties(request: Request, properties: Mapping[str, str]) -> None:
        databases.alter_properties(request.cluster_id, request.database, properties)

    def drop_properties(request: Request, keys: Sequence[str]) -> None:
        databases.drop_properties(request.cluster_id, request.database, keys)

    def drop(request: Request) -> object:
        try:
            databases.drop(request.cluster_id, request.message.db_name)
        except DatabaseNotFound:
            # Dropping a missing database succeeds, as in Milvus.
            return None
        return None

    return (
        grpc.method("CreateDatabase", create, action="database.create", role=Role.ADMIN, whole_cluster=True),
        grpc.method("ListDatabases", list_all, action="database.list", role=None),
        grpc.method("DescribeDatabase", describe, action="database.describe", role=Role.READER),
        property_method(
            "AlterDatabase",
            grpc,
            action="database",
            role=Role.ADMIN,
            alter=alter_properties,
            drop=drop_properties,
        ),
        grpc.method("DropDatabase", drop, action="database.drop", role=Role.ADMIN, whole_cluster=True),
    )

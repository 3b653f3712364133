"""Databases: create, list, describe, drop."""

from __future__ import annotations

from penstock.collections.databases import DatabaseService
from penstock.domain.access import Role
from penstock.errors import DatabaseNotFound, InvalidName, shorten
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.dialect import MilvusGrpc, Request
from penstock.wire.milvus_grpc.stubs import milvus_pb2
from penstock.wire.milvus_v2.errors import Refused
from penstock.wire.milvus_v2.row_serializer import key_values


def methods(databases: DatabaseService, grpc: MilvusGrpc) -> tuple[GrpcMethod, ...]:
    def create(request: Request) -> object:
        properties = {pair.key: pair.value for pair in request.message.properties}
        name = request.message.db_name
        try:
            databases.create(request.cluster_id, name, properties)
        except InvalidName as error:
            raise Refused(802, f"{error}: invalid database name[database={shorten(name, 300)}]") from error
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
        grpc.method("DropDatabase", drop, action="database.drop", role=Role.ADMIN, whole_cluster=True),
    )

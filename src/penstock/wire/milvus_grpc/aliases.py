"""Aliases: create, drop, alter, describe, list."""

from __future__ import annotations

from penstock.collections.aliases import AliasService
from penstock.domain.access import Role
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.collections import qualified_name
from penstock.wire.milvus_grpc.dialect import Handler, MilvusGrpc, Request
from penstock.wire.milvus_grpc.stubs import milvus_pb2


def methods(aliases: AliasService, grpc: MilvusGrpc) -> tuple[GrpcMethod, ...]:
    def create(request: Request) -> object:
        aliases.create(*qualified_name(request), request.message.alias)
        return None

    def alter(request: Request) -> object:
        aliases.alter(*qualified_name(request), request.message.alias)
        return None

    def drop(request: Request) -> object:
        aliases.drop(request.cluster_id, request.database, request.message.alias)
        return None

    def describe(request: Request) -> object:
        alias = aliases.get(request.cluster_id, request.database, request.message.alias)
        return milvus_pb2.DescribeAliasResponse(db_name=alias.database, alias=alias.name, collection=alias.collection)

    def list_all(request: Request) -> object:
        collection = request.message.collection_name
        shown = aliases.list(request.cluster_id, request.database, collection or None)
        return milvus_pb2.ListAliasesResponse(
            db_name=request.database, collection_name=collection, aliases=[alias.name for alias in shown]
        )

    def method(name: str, handler: Handler, action: str, role: Role = Role.WRITER) -> GrpcMethod:
        return grpc.method(name, handler, action=f"alias.{action}", role=role)

    return (
        method("CreateAlias", create, "create"),
        method("DropAlias", drop, "drop"),
        method("AlterAlias", alter, "alter"),
        method("DescribeAlias", describe, "describe", Role.READER),
        method("ListAliases", list_all, "list", Role.READER),
    )

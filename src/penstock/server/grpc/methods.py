"""Methods of the Milvus gRPC dialect. Register a new module of methods here."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.server.services import Services
from penstock.wire.milvus_grpc import (
    aliases,
    alterations,
    collections,
    databases,
    hybrid_searches,
    imports,
    indexes,
    loading,
    maintenance,
    partitions,
    queries,
    schemas,
    searches,
    sessions,
    text_analysis,
    unserved,
    users,
)
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.dialect import MilvusGrpc
from penstock.wire.milvus_grpc.stubs import SERVICE


def grpc_methods(services: Services) -> Mapping[str, GrpcMethod]:
    """The methods by the path of their calls, such as ``/milvus.proto.milvus.MilvusService/Connect``."""
    grpc = MilvusGrpc(services.admission)
    served = (
        *sessions.methods(
            services.problem, lambda: services.authentication.is_enabled_cached, services.databases, grpc
        ),
        *databases.methods(services.databases, grpc),
        *collections.methods(services.collections, grpc),
        *aliases.methods(services.aliases, grpc),
        *alterations.methods(services.alterations, grpc),
        *schemas.methods(services.collections, grpc),
        *imports.methods(services.imports, grpc),
        *indexes.methods(services.collections, services.indexes, grpc),
        *loading.methods(services.collections, services.partitions, grpc),
        *maintenance.methods(services.collections, grpc),
        *partitions.methods(services.collections, services.partitions, grpc),
        *users.methods(services.accounts, grpc),
        *queries.methods(services.collections, services.entities, grpc),
        *text_analysis.methods(services.collections, grpc),
        *searches.methods(services.collections, services.searches, services.search_iterators, grpc),
        *hybrid_searches.methods(services.collections, services.searches, grpc),
    )
    return {f"/{SERVICE}/{method.name}": method for method in (*served, *unserved.methods(served, grpc))}

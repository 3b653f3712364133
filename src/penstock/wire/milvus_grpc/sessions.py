"""Connect, GetVersion, CheckHealth, AllocTimestamp: what clients ask before their first call."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from penstock.collections.databases import DatabaseService
from penstock.domain.access import Role
from penstock.domain.ids import new_id
from penstock.domain.names import DEFAULT_DATABASE
from penstock.errors import DatabaseNotFound, shorten_name
from penstock.version import package_version
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.dialect import Handler, MilvusGrpc, Request
from penstock.wire.milvus_grpc.stubs import common_pb2, milvus_pb2
from penstock.wire.milvus_grpc.times import hybrid_timestamp

MILVUS_VERSION = "v2.6.0"
"""The Milvus release whose behaviour clients may expect: they compare it with releases of Milvus."""


def methods(
    problem: Callable[[], str | None],
    asks_for_keys: Callable[[], bool],
    databases: DatabaseService,
    grpc: MilvusGrpc,
) -> tuple[GrpcMethod, ...]:
    """The methods. ``problem`` and ``asks_for_keys`` as ``/healthz`` uses them: the reason, which may name hosts and
    folders, is shown only while no keys are asked for."""

    def connect(request: Request) -> object:
        # Clients before 2.6 choose a database by connecting again, and learn by it that there is none.
        if request.database != DEFAULT_DATABASE:
            visible = request.caller.databases(Role.READER, request.cluster)
            if visible is not None and request.database not in visible:
                name = shorten_name(request.database)
                raise DatabaseNotFound(f"database not found[database={name}]", database=name)
            databases.get(request.cluster_id, request.database)
        info = common_pb2.ServerInfo(
            build_tags=MILVUS_VERSION,
            git_commit=f"penstock-{package_version()}",
            deploy_mode="STANDALONE",
            reserved={"server": "penstock", "version": package_version()},
        )
        return milvus_pb2.ConnectResponse(server_info=info, identifier=new_id())

    def get_version(request: Request) -> object:
        del request
        return milvus_pb2.GetVersionResponse(version=MILVUS_VERSION)

    def check_health(request: Request) -> object:
        del request
        reason = problem()
        shown = [] if reason is None else ["the server's log has the reason" if asks_for_keys() else reason]
        return milvus_pb2.CheckHealthResponse(isHealthy=reason is None, reasons=shown)

    def alloc_timestamp(request: Request) -> object:
        del request
        return milvus_pb2.AllocTimestampResponse(timestamp=hybrid_timestamp(datetime.now(UTC)))

    def method(name: str, handler: Handler, action: str) -> GrpcMethod:
        return grpc.method(name, handler, action=action, role=None, whole_cluster=True)

    return (
        method("Connect", connect, "session.get"),
        method("GetVersion", get_version, "version.get"),
        method("CheckHealth", check_health, "health.get"),
        method("AllocTimestamp", alloc_timestamp, "timestamp.get"),
    )

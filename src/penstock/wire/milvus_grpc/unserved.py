"""Methods of Milvus's service that this server doesn't serve: an error in the response, with an alternative.

A gRPC status UNIMPLEMENTED would reach users of pymilvus as a raw ``grpc.RpcError``. It stays for methods that the
installed pymilvus doesn't know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from penstock.collections.unserved import UNSERVED as UNSERVED_CALLS
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.dialect import MilvusGrpc
from penstock.wire.milvus_grpc.stubs import METHODS, common_pb2, message_types
from penstock.wire.milvus_v2.dialect import PREFIX

REST_CALLS: Mapping[str, str] = {
    "AddCollectionFunction": "collections/add_function",
    "AddFileResource": "file_resources/add",
    "AlterCollectionFunction": "collections/alter_function",
    "CreateResourceGroup": "resource_groups/create",
    "CreateSnapshot": "snapshots/create",
    "DescribeResourceGroup": "resource_groups/describe",
    "DescribeSnapshot": "snapshots/describe",
    "DropCollectionFunction": "collections/drop_function",
    "DropResourceGroup": "resource_groups/drop",
    "DropSnapshot": "snapshots/drop",
    "ListFileResources": "file_resources/list",
    "ListRefreshExternalCollectionJobs": "jobs/external_collection/list",
    "ListResourceGroups": "resource_groups/list",
    "ListSnapshots": "snapshots/list",
    "RefreshExternalCollection": "jobs/external_collection/refresh",
    "RemoveFileResource": "file_resources/remove",
    "RestoreSnapshot": "snapshots/restore",
    "TransferReplica": "resource_groups/transfer_replica",
    "TruncateCollection": "collections/truncate",
    "UpdateResourceGroups": "resource_groups/alter",
}
"""The REST call that does the same: the alternative, or if it isn't served either, it has the alternative."""


_IMPORT = "rows come by import jobs: call utility.do_bulk_insert, or POST /v2/vectordb/jobs/import/create"
_ROLES = "roles are built in: grant a user admin, writer or reader with grant_role"
ALTERNATIVES: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("CreateRole", "AlterRole", "DropRole", "OperatePrivilege", "OperatePrivilegeV2"),
            *("CreatePrivilegeGroup", "DropPrivilegeGroup", "ListPrivilegeGroups", "OperatePrivilegeGroup"),
        ),
        _ROLES,
    ),
    **dict.fromkeys(("BackupRBAC", "RestoreRBAC"), "back up the server with penstock backup"),
    **dict.fromkeys(("CreateRowPolicy", "DropRowPolicy", "ListRowPolicies"), "grant roles in databases instead"),
    "CalcDistance": "compute distances in the client",
    "GetComponentStates": "call CheckHealth, or GET /readyz",
    "GetMetrics": "scrape GET /metrics",
    "LoadBalance": "every server process serves every collection",
    "AddCollectionStructField": "create a new collection and import into it",
    "Insert": _IMPORT,
    "Upsert": _IMPORT,
    "Delete": f"{_IMPORT}. To remove rows, drop their partition or collection",
}
"""Alternatives that users of a gRPC client have, where they differ from those of REST."""


def methods(served: Iterable[GrpcMethod], grpc: MilvusGrpc) -> tuple[GrpcMethod, ...]:
    """One method for each of the service's that is not served and can answer with a status."""
    names = METHODS.keys() - {method.name for method in served}
    return tuple(grpc.refused(name, _text(name)) for name in sorted(names) if _answers_with_a_status(name))


def _text(name: str) -> str:
    alternative = ALTERNATIVES.get(name)
    if alternative is None and (call := REST_CALLS.get(name)) is not None:
        alternative = UNSERVED_CALLS.get(call, f"use {PREFIX}/{call}")
    return f"service unimplemented: {name} is not served by Penstock" + (f"; {alternative}" if alternative else "")


def _answers_with_a_status(name: str) -> bool:
    method = METHODS[name]
    _, response = message_types(name)
    status = common_pb2.Status.DESCRIPTOR
    return not (method.client_streaming or method.server_streaming) and (
        response.DESCRIPTOR is status or any(field.message_type is status for field in response.DESCRIPTOR.fields)
    )

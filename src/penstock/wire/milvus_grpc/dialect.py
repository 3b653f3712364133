"""The Milvus gRPC dialect, and how to add a method to it.

A handler takes a :class:`Request` and returns the response message, without a status; None is an empty one. With
memory reserved for it, it returns an :class:`Answer`::

    def methods(databases: DatabaseService, grpc: MilvusGrpc) -> tuple[GrpcMethod, ...]:
        def describe(request: Request) -> object:
            database = databases.get(request.cluster_id, request.message.db_name)
            return milvus_pb2.DescribeDatabaseResponse(db_name=database.name, dbID=database.id)

        return (grpc.method("DescribeDatabase", describe, action="database.describe", role=Role.READER),)

Exceptions of the handler are rendered by the table in :mod:`penstock.wire.milvus_grpc.errors`. Then name the module
in ``penstock.server.grpc.methods``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError, Message

from penstock.access.admission import Admission, CallNames
from penstock.collections.result_memory import MemoryReservation, release_on_error
from penstock.domain.access import Caller, Role
from penstock.domain.collections import Cluster
from penstock.domain.names import DEFAULT_DATABASE
from penstock.wire.decoding import MalformedBody
from penstock.wire.milvus.errors import Refused
from penstock.wire.milvus_grpc.calls import GrpcCall, GrpcMethod, GrpcReply
from penstock.wire.milvus_grpc.errors import UNSERVED, failure_reply, success_reply
from penstock.wire.milvus_grpc.stubs import message_types

_SUBJECTS = (
    "partition_name",
    "index_name",
    "field_name",
    "alias",
    "newDBName",
    "newName",
    "username",
    "role_name",
)
_COLLECTION_NAMES = ("collection_name", "collectionName", "oldName")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call with decoded message, cluster, database and caller.

    ``database`` is that of the message, else of the metadata ``dbname``, else ``default``.
    """

    call: GrpcCall
    message: Any
    cluster: Cluster
    database: str
    caller: Caller

    @property
    def cluster_id(self) -> str:
        return self.cluster.id


@dataclass(frozen=True, slots=True)
class Answer:
    """A response message; ``held`` as in :class:`penstock.wire.milvus_grpc.calls.GrpcReply`."""

    message: object
    held: MemoryReservation | None = None


Handler = Callable[[Request], object]


class MilvusGrpc:
    """Makes the methods of the dialect: admission, decoding, errors."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def method(
        self,
        name: str,
        handler: Handler,
        *,
        action: str,
        role: Role | None,
        whole_cluster: bool = False,
        stores_entry: bool = False,
        action_of: Callable[[Any], str] | None = None,
    ) -> GrpcMethod:
        """Create a method of the service.

        Args:
            name: as in Milvus's proto; it determines the types of request and response.
            action: its name in the audit log, ``noun.verb``; equal to that of the REST call that does the same.
            role: required of the caller in the request's database, or with ``whole_cluster`` in the cluster; with
                None the handler does its own authorization.
            stores_entry: as in :meth:`Admission.call`.
            action_of: the action of a message, for a method that does what several REST calls do.
        """
        request_type, response_type = message_types(name)
        subjects = [field for field in _SUBJECTS if field in request_type.DESCRIPTOR.fields_by_name]

        def handle(call: GrpcCall) -> GrpcReply:
            with self._admission.call(
                action, authorization=call.authorization, address=call.address, stores_entry=stores_entry
            ) as admitted:
                try:
                    message = request_type.FromString(call.message)
                except DecodeError as error:
                    raise MalformedBody(f"the message is no {request_type.DESCRIPTOR.name}") from error
                admitted.names = _names(message, subjects)
                admitted.action = action if action_of is None else action_of(message)
                database = _database(message) or call.metadata.get("dbname") or DEFAULT_DATABASE
                cluster = admitted.enter(None)
                admitted.authorize(role, None if whole_cluster else database)
                response = handler(
                    Request(call=call, message=message, cluster=cluster, database=database, caller=admitted.caller)
                )
                answer = response if isinstance(response, Answer) else Answer(response)
                with release_on_error(answer.held):
                    content = response_type() if answer.message is None else answer.message
                    assert isinstance(content, response_type), f"{name} answers {type(content)}"
                    return success_reply(content, answer.held)

        return GrpcMethod(name=name, handler=handle, failure=partial(failure_reply, response_type), role=role)

    def refused(self, name: str, text: str) -> GrpcMethod:
        """Create a method that answers every call with an error of that text in its response."""

        def refuse(request: Request) -> object:
            del request
            raise Refused(UNSERVED, text)

        method = self.method(name, refuse, action="service.describe", role=None, whole_cluster=True)
        return replace(method, refusal=text)


def _names(message: Message, subjects: Sequence[str]) -> CallNames:
    return CallNames(
        database=_database(message),
        collection=next(filter(None, (_text(message, field) for field in _COLLECTION_NAMES)), None),
        subjects=[name for field in subjects if (name := _text(message, field))],
    )


def _database(message: Message) -> str | None:
    """The database that the message names; the two requests for segments have another name for it."""
    return _text(message, "db_name") or _text(message, "dbName")


def _text(message: Message, field: str) -> str | None:
    value = getattr(message, field, None)
    return value if isinstance(value, str) else None

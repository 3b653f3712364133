"""Statuses of the Milvus gRPC dialect: the numbers of REST v2 where Milvus has one for both, and the old error codes.

Milvus answers most errors with gRPC status OK and a ``Status`` message in the response: ``code`` is its number,
``error_code`` what clients before 2.3 read, ``reason`` the text. Failed authentication and authorization are gRPC
statuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

from penstock import errors
from penstock.collections.result_memory import MemoryReservation
from penstock.domain.deadline import DeadlineExceeded
from penstock.errors import PenstockError, Transient
from penstock.wire.decoding import MalformedBody
from penstock.wire.milvus.errors import INTERNAL, MILVUS, ErrorRow, code_and_text
from penstock.wire.milvus_grpc.calls import GrpcReply
from penstock.wire.milvus_grpc.stubs import common_pb2

UNSERVED = 10
"""Milvus's number of "service unimplemented"."""
_INVALID_PARAMETER = 1100
_QUOTA = 9
_REST_ONLY = range(1800, 1900)
"""Numbers that Milvus gives in its REST API only."""

GRPC: Mapping[type[PenstockError], ErrorRow] = {
    **MILVUS,
    errors.DataError: ErrorRow(_INVALID_PARAMETER, ": invalid parameter"),
    # Not the number of its rate limiter, 8, on which pymilvus tries again up to 75 times.
    errors.QuotaExceeded: ErrorRow(_QUOTA, prefix="quota exceeded: "),
}
"""By class of the error, searched along its MRO as in :mod:`penstock.wire.milvus.errors`."""

_OLD_CODES: Mapping[int, str] = {
    _QUOTA: "ForceDeny",
    100: "CollectionNotExists",
    200: "MetaFailed",
    700: "IndexNotExist",
    _INVALID_PARAMETER: "IllegalArgument",
}
_GRPC_STATUSES: Mapping[type[PenstockError], str] = {
    errors.Unauthenticated: "UNAUTHENTICATED",
    errors.TooManyAttempts: "UNAUTHENTICATED",
    errors.PermissionDenied: "PERMISSION_DENIED",
    MalformedBody: "INVALID_ARGUMENT",
}


def status_of(error: PenstockError) -> Any:
    """The ``Status`` message of an error."""
    code, text = code_and_text(error, GRPC)
    if code in _REST_ONLY:
        code = _INVALID_PARAMETER
    return common_pb2.Status(
        code=code,
        error_code=_OLD_CODES.get(code, "UnexpectedError"),
        reason=text,
        detail=text,
        retriable=isinstance(error, Transient),
        extra_info={"is_input_error": "true"} if isinstance(error, errors.InvalidParameter) else {},
    )


def success_reply(response: Message, held: MemoryReservation | None = None) -> GrpcReply:
    """The reply with a response, whose status becomes success. ``held`` is the memory reserved for it."""
    if not isinstance(response, common_pb2.Status):
        _status_in(response).SetInParent()
    return GrpcReply(content=response.SerializeToString(), code=0, held=held)


def failure_reply(response_type: type[Message], error: Exception, request_id: str) -> GrpcReply:
    """The reply for any exception of a call with that type of response.

    Of an exception that is neither a PenstockError nor DeadlineExceeded only the request id is revealed.
    """
    if isinstance(error, DeadlineExceeded):
        return GrpcReply(status="DEADLINE_EXCEEDED", details="request timeout")
    if isinstance(error, PenstockError):
        for kind, grpc_status in _GRPC_STATUSES.items():
            if isinstance(error, kind):
                return GrpcReply(status=grpc_status, details=code_and_text(error, GRPC)[1])
        status = status_of(error)
    else:
        text = f"internal error; the server's log has the details under request id {request_id}"
        status = common_pb2.Status(code=INTERNAL, error_code="UnexpectedError", reason=text, detail=text)
    response = response_type()
    (response if response_type is common_pb2.Status else _status_in(response)).CopyFrom(status)
    return GrpcReply(content=response.SerializeToString(), code=status.code)


def _status_in(response: Message) -> Message:
    """The field of a response that has its status: ``status``, once ``alter_status``."""
    fields = (field for field in response.DESCRIPTOR.fields if field.message_type is common_pb2.Status.DESCRIPTOR)
    status: Message = getattr(response, next(fields).name)
    return status

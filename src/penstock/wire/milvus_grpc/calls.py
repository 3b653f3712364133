"""Interface between the gRPC dialect and the server: calls, replies, methods.

As in :mod:`penstock.wire.http`, handlers use no framework and no asyncio: a plain function from :class:`GrpcCall` to
:class:`GrpcReply`, which the server runs in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from penstock.collections.result_memory import MemoryReservation
from penstock.domain.access import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcCall:
    """One call, with its message still encoded.

    Keys of ``metadata`` are lower-case; of a repeated one the last value counts. ``address`` is the client's.
    """

    message: bytes = b""
    metadata: Mapping[str, str] = field(default_factory=dict)
    request_id: str = ""
    address: str = ""

    @property
    def authorization(self) -> str:
        return authorization_of(self.metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcReply:
    """One response, encoded. ``status`` is the name of a gRPC status code, ``details`` the text of one that isn't OK.

    ``code`` is Milvus's number within the response, for logs and metrics. ``held`` is the memory reserved for the
    content: whatever sends or drops the reply releases it.
    """

    content: bytes = b""
    status: str = "OK"
    details: str = ""
    code: int | None = None
    held: MemoryReservation | None = None

    def release(self) -> None:
        if self.held is not None:
            self.held.release()


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcMethod:
    """A method of the service.

    ``failure`` makes the reply for an exception of the handler or before it, given the request id. ``role`` is
    required of the caller. ``refusal`` is the text of a method that is not served.
    """

    name: str
    handler: Callable[[GrpcCall], GrpcReply]
    failure: Callable[[Exception, str], GrpcReply]
    role: Role | None = None
    refusal: str = ""


def authorization_of(metadata: Mapping[str, str]) -> str:
    """The ``Authorization`` header that says the same as the metadata.

    Clients of Milvus send base64 of ``user:password`` or of a token, without the name of a scheme.
    """
    credentials = metadata.get("authorization", "")
    return f"Basic {credentials}" if credentials else ""

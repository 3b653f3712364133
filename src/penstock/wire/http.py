"""Interface between the dialects and the HTTP server: calls, replies, routes.

Dialects use no web framework and no asyncio: a handler is a plain function from :class:`Call` to :class:`Reply`. The
server runs it in a thread, and renders errors outside of it with the route's :class:`Dialect`.

To add a route, create a :class:`Route` (in the ``milvus_v2`` family: with
:meth:`penstock.wire.milvus_v2.dialect.MilvusV2.post`) and add the module's ``routes(...)`` to
``penstock.server.http.routes``. Its :class:`Operation` is the route's entry in ``/openapi.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from penstock.collections.result_memory import MemoryReservation
from penstock.errors import InvalidParameter, PenstockError, Transient

IDEMPOTENCY_KEY = "idempotency-key"
"""The header with a create call's idempotency key: a call that is sent again makes no second job."""
JSON_MEDIA_TYPE = "application/json; charset=utf-8"


class BodyTooLarge(InvalidParameter):
    """The request's body has more bytes than the server accepts. ``details``: ``limit`` in bytes."""

    code = "body_too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request, completely read.

    Header names are lower-case; of a repeated query key the last value counts. ``address`` is the client's.
    ``parameters`` are the values of the parts of the route's path that are in braces.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    request_id: str = ""
    address: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")


class EventStream(Protocol):
    """Server-sent events, encoded. The server waits for them in its event loop; no thread is held meanwhile."""

    @property
    def is_over(self) -> bool:
        """Whether nothing comes after what :meth:`take` returns next."""
        ...

    def listen(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called, from any thread, when there is something to take or the stream is over."""
        ...

    def take(self) -> bytes:
        """The events since the last call; empty if there are none. Doesn't block."""
        ...

    def renew(self) -> None:
        """Check again that the caller may see the events; may query the catalog.

        Raises:
            PenstockError: the stream must end, unless the error is transient.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One HTTP response. ``code`` is the dialect's own number, for logs and metrics.

    ``retry_after`` are the seconds after which the same call may succeed, if known. ``held`` is the memory reserved
    for the content: whatever sends or drops the reply releases it. ``stream`` are events that are sent instead of
    the content, for as long as they come.
    """

    content: bytes
    status: int = 200
    code: int | None = None
    media_type: str = JSON_MEDIA_TYPE
    retry_after: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    held: MemoryReservation | None = None
    stream: EventStream | None = None

    def share(self) -> Reply:
        """The reply for one more caller, which must release it, too."""
        if self.held is not None:
            self.held.share()
        return self

    def release(self) -> None:
        if self.held is not None:
            self.held.release()
        if self.stream is not None:
            self.stream.close()


Handler = Callable[[Call], Reply]


class BodyWriter(Protocol):
    """Takes a request's body piece by piece, as it arrives. Its calls run in threads, one at a time."""

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        ...

    def finish(self) -> Reply:
        """The whole body is there; the reply to it."""
        ...

    def close(self) -> None:
        """Called once at the end, also where the body broke off or a call failed; maybe while ``write`` runs."""
        ...


class Dialect(Protocol):
    """Error format and headers of a family of routes."""

    @property
    def statuses(self) -> Mapping[int, str]:
        """The HTTP statuses of failures other than 200, with their descriptions."""
        ...

    def failure(self, error: Exception, request_id: str) -> Reply:
        """The reply for any exception, :class:`BodyTooLarge` and
        :class:`penstock.domain.deadline.DeadlineExceeded` among them.

        Of an exception that is no :class:`penstock.errors.PenstockError` only the request id is revealed.
        """
        ...

    def timeout(self, call: Call) -> float | None:
        """The call's own timeout in seconds, or None for the server's default."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """The OpenAPI operation of a route.

    ``query`` and ``body`` map the names of request keys to OpenAPI 3.0 schemas; ``required`` names the mandatory
    ones. ``headers`` are those of the request, where it has no JSON body; ``media_type`` is then that of its body,
    if it has one. ``data`` is the schema of ``data`` in a successful reply, whose status is ``success``; a reply of
    another ``reply_media_type`` than JSON has none.
    """

    summary: str
    tag: str
    description: str = ""
    headers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    query: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    body: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    required: Sequence[str] = ()
    data: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})
    media_type: str = ""
    reply_media_type: str = JSON_MEDIA_TYPE
    success: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A path with method and handler. ``path`` has single slashes and none at its end.

    ``read_only``: the handler only reads the catalog, by indexes; such calls have a pool of their own, so that they
    don't wait behind those that wait for a disk. ``streams``: it may reply with a stream, so equal calls are answered
    singly.

    ``open_body`` is for bodies that are too large for memory: it is called before the body is read, authenticates the
    caller, and returns what takes the body. Such a route's ``handler`` is not used.
    """

    method: str
    path: str
    handler: Handler
    dialect: Dialect
    operation: Operation
    read_only: bool = False
    streams: bool = False
    open_body: Callable[[Call], BodyWriter] | None = None


def json_reply(
    content: Mapping[str, Any],
    *,
    status: int = 200,
    error: PenstockError | None = None,
    held: MemoryReservation | None = None,
) -> Reply:
    """A reply of one JSON object; its ``code``, if any, becomes the reply's. ``error`` is the error it reports."""
    return Reply(
        content=orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY),
        status=status,
        code=content.get("code"),
        retry_after=error.details.get("seconds") if isinstance(error, Transient) else None,
        held=held,
    )

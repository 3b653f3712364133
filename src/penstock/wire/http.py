"""What the dialects and the HTTP server say to each other: a call that has been read, a reply, a route.

Dialects know no web framework and no asyncio: a handler is a plain function from :class:`Call` to :class:`Reply`. The
server runs it in a thread, and asks the route's :class:`Dialect` how to spell what went wrong outside of it.

To add a route, make a :class:`Route` (in the ``milvus_v2`` family: with
:meth:`penstock.wire.milvus_v2.dialect.MilvusV2.post`) and add the module's ``routes(...)`` to
``penstock.server.http.routes``. Its :class:`Operation` is the route's entry in ``/openapi.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from penstock.errors import InvalidParameter, PenstockError, Transient

__all__ = [
    "IDEMPOTENCY_KEY",
    "BodyTooLarge",
    "Call",
    "CallTimeout",
    "Dialect",
    "Handler",
    "Operation",
    "Reply",
    "Route",
    "json_reply",
]

IDEMPOTENCY_KEY = "idempotency-key"
"""The header that names a create call, so that it makes one job however often it comes."""
JSON_MEDIA_TYPE = "application/json; charset=utf-8"


class BodyTooLarge(InvalidParameter):
    """The request's body has more bytes than the server takes. ``details``: ``limit`` in bytes."""

    code = "body_too_large"


class CallTimeout(Exception):
    """The call took longer than its ``Request-Timeout``; the work may still go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request, read to its end.

    Header names are lower-case; of a repeated query key the last value counts. ``address`` is the client's.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    request_id: str = ""
    address: str = ""

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One HTTP answer. ``code`` is the dialect's own number, for logs and metrics.

    ``retry_after`` are the seconds after which the same call may succeed, where that is known. ``held`` is referred
    to until the answer has been sent.
    """

    content: bytes
    status: int = 200
    code: int | None = None
    media_type: str = JSON_MEDIA_TYPE
    retry_after: int | None = None
    held: object = None


Handler = Callable[[Call], Reply]


class Dialect(Protocol):
    """How a family of routes spells failures."""

    @property
    def statuses(self) -> Mapping[int, str]:
        """The HTTP statuses beside 200 that failures have, and what each says."""
        ...

    def failure(self, error: Exception, request_id: str) -> Reply:
        """The reply for any exception, :class:`BodyTooLarge` and :class:`CallTimeout` among them.

        An exception that is no :class:`penstock.errors.PenstockError` tells nothing of itself but the request id.
        """
        ...

    def timeout(self, call: Call) -> float | None:
        """Seconds that the caller gives this call, or None for the server's default."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A route as the OpenAPI document shows it.

    ``query`` and ``body`` map the names of request keys to schemas as OpenAPI 3.0 has them; ``required`` names those
    that must be there. ``data`` is the schema of ``data`` in a successful reply.
    """

    summary: str
    tag: str
    description: str = ""
    query: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    body: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    required: Sequence[str] = ()
    data: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A path that the server answers. ``path`` has single slashes and none at its end.

    ``read_only`` says that the handler only looks into the catalog, by indexes: the server answers such calls while
    others wait for a disk.
    """

    method: str
    path: str
    handler: Handler
    dialect: Dialect
    operation: Operation
    read_only: bool = False


def json_reply(
    content: Mapping[str, Any], *, status: int = 200, error: PenstockError | None = None, held: object = None
) -> Reply:
    """A reply of one JSON object; its ``code``, if any, becomes the reply's. ``error`` is what it tells of."""
    return Reply(
        content=orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY),
        status=status,
        code=content.get("code"),
        retry_after=error.details.get("seconds") if isinstance(error, Transient) else None,
        held=held,
    )

"""Run a dialect's handler for an HTTP request: read the body, queue, time out, answer.

Handlers and the services under them are synchronous. They run in bounded pools of threads
(:mod:`penstock.server.http.request_pool`); a call that waits too long for a thread, or works too long, is answered
with the dialect's timeout. The work of a call that has begun goes on in its thread: its changes are atomic, and the
thread counts against the pool until it is done. Scans of rows check the call's deadline and stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from penstock.access.authentication import Authentication
from penstock.domain.deadline import DeadlineExceeded, deadline
from penstock.errors import PenstockError
from penstock.server.http.request_pool import Pool, Threads
from penstock.wire.http import BodyTooLarge, Call, CallTimeout, Reply, Route

__all__ = ["OPEN_BODY_BYTES", "Endpoint", "make_endpoint"]

Endpoint = Callable[[Request], Awaitable[Response]]

_log = structlog.get_logger("penstock.http")

OPEN_BODY_BYTES = 2**20
"""Bytes of a body read before authentication, to choose the profile of an answer; the rest after it."""

_SEND_BYTES = 1 << 20
_PER_CALL_HEADERS = {"x-request-id", "traceparent", "tracestate"}
"""Headers that don't change the answer."""


def make_endpoint(
    routes: Sequence[Route],
    threads: Threads,
    authentication: Authentication,
    *,
    max_body_bytes: int,
    request_timeout: float,
) -> Endpoint:
    """One endpoint for the routes of one path, which differ in their method.

    Args:
        max_body_bytes: limit for authenticated callers; above :data:`OPEN_BODY_BYTES` a body is read only for them.
        request_timeout: default in seconds. Reading a body always has this time, whatever timeout the call names.
    """
    by_method = {route.method: route for route in routes}
    limits = _Limits(max_body_bytes, request_timeout)

    async def endpoint(request: Request) -> Response:
        # Starlette accepts HEAD where GET is routed.
        route = by_method.get(request.method) or by_method["GET"]
        pool = threads.reading if route.read_only else threads.calls
        reply = await _reply(route, request, pool, authentication, limits)
        request.state.route = route.path
        request.state.code = reply.code
        headers = {"content-type": reply.media_type}
        if reply.retry_after is not None:
            headers["retry-after"] = str(reply.retry_after)
        if not getattr(request.state, "body_read", False):
            headers["connection"] = "close"
        return _ChunkedResponse(reply, headers)

    return endpoint


class _ChunkedResponse(Response):
    """An HTTP response sent in chunks, with backpressure: the next when the network has taken the one before."""

    def __init__(self, reply: Reply, headers: dict[str, str]) -> None:
        super().__init__(reply.content, reply.status, headers)
        self._reply = reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._send(scope, receive, send)
        finally:
            self._reply.release()

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self.body) <= _SEND_BYTES:
            await super().__call__(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        whole = memoryview(self.body)
        for start in range(0, len(whole), _SEND_BYTES):
            chunk, more = bytes(whole[start : start + _SEND_BYTES]), start + _SEND_BYTES < len(whole)
            await send({"type": "http.response.body", "body": chunk, "more_body": more})


@dataclass(frozen=True, slots=True)
class _Limits:
    body_bytes: int
    seconds: float


async def _reply(
    route: Route, request: Request, pool: Pool, authentication: Authentication, limits: _Limits
) -> Reply:
    request_id = request.state.request_id
    call = Call(
        method=request.method,
        path=route.path,
        headers={name.lower(): value for name, value in request.headers.items()},
        query=dict(request.query_params),
        request_id=request_id,
        address=request.client.host if request.client else "",
    )

    fairness_key = authentication.fairness_key(call.authorization)

    async def authenticate() -> None:
        await pool.run(fairness_key, partial(authentication.identify, call.authorization, call.address))

    limit = asyncio.timeout(route.dialect.timeout(call) or limits.seconds)
    try:
        async with limit:
            body = await _body(request, limits, authenticate)
            request.state.body_read = True
            whole = replace(call, body=body)
            work = partial(route.handler, whole)
            if route.read_only:
                return await pool.run_coalesced(
                    _coalescing_key(whole), fairness_key, work, Reply.share, Reply.release
                )
            # The thread runs in a copy of this context: scans of rows there stop when the caller gets the timeout.
            with deadline((limit.when() or 0) - asyncio.get_running_loop().time()):
                return await pool.run(fairness_key, work, Reply.release)
    except PenstockError as error:
        return route.dialect.failure(error, request_id)
    except ClientDisconnect:
        return Reply(content=b"", status=400)  # the client has gone
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer and the log the traceback
        if limit.expired() or isinstance(error, CallTimeout | DeadlineExceeded):
            return route.dialect.failure(CallTimeout(), request_id)
        _log.exception("request.failed", route=route.path)
        return route.dialect.failure(error, request_id)


def _coalescing_key(call: Call) -> Hashable:
    """The key of equal calls: all that an answer depends on, with credentials and (for denials) client address."""
    headers = frozenset((name, value) for name, value in call.headers.items() if name not in _PER_CALL_HEADERS)
    return call.address, call.method, call.path, headers, frozenset(call.query.items()), call.body


async def _body(request: Request, limits: _Limits, authenticate: Callable[[], Awaitable[None]]) -> bytes:
    """Read the request's body; of a large one only the beginning before ``authenticate`` has succeeded.

    Raises:
        BodyTooLarge: it has, or its Content-Length announces, more bytes than allowed.
        CallTimeout: it comes too slowly.
        AccessDenied: from ``authenticate``.
    """
    announced = request.headers.get("content-length", "")
    size = int(announced) if announced.isdecimal() else 0
    chunks = bytearray()
    admitted = False
    try:
        async with asyncio.timeout(limits.seconds):
            stream = request.stream()
            while True:
                if max(size, len(chunks)) > limits.body_bytes:
                    raise BodyTooLarge(_too_large(limits.body_bytes), limit=limits.body_bytes)
                if not admitted and max(size, len(chunks)) > OPEN_BODY_BYTES:
                    await authenticate()
                    admitted = True
                if (chunk := await anext(stream, None)) is None:
                    return bytes(chunks)
                chunks += chunk
    except TimeoutError as error:
        raise CallTimeout from error


def _too_large(limit: int) -> str:
    return f"the request body is too large, this server takes at most {limit} bytes"

"""Run a dialect's handler for an HTTP request: read the body, call the handler in a thread, send the reply."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from penstock.domain.deadline import DeadlineExceeded
from penstock.server.calls import Calls
from penstock.server.http.body_stream import stream_body
from penstock.server.http.chunked_response import ChunkedResponse
from penstock.server.http.event_stream import EventStreamResponse
from penstock.wire.http import BodyTooLarge, Call, Reply, Route

Endpoint = Callable[[Request], Awaitable[Response]]

OPEN_BODY_BYTES = 2**20
"""Bytes of a body read before authentication, to choose the profile of an answer; the rest after it."""

_PER_CALL_HEADERS = {"x-request-id", "traceparent", "tracestate"}
"""Headers that don't change the answer."""


def make_endpoint(routes: Sequence[Route], calls: Calls, *, max_body_bytes: int) -> Endpoint:
    """One endpoint for the routes of one path, which differ in their method.

    ``max_body_bytes`` is for authenticated callers; above :data:`OPEN_BODY_BYTES` a body is read only for them.
    """
    by_method = {route.method: route for route in routes}

    async def endpoint(request: Request) -> Response:
        # Starlette accepts HEAD where GET is routed.
        route = by_method.get(request.method) or by_method["GET"]
        reply = await _reply(route, request, calls, max_body_bytes)
        request.state.route = route.path
        request.state.code = reply.code
        headers = {"content-type": reply.media_type}
        headers |= reply.headers
        if reply.retry_after is not None:
            headers["retry-after"] = str(reply.retry_after)
        if not getattr(request.state, "body_read", False):
            headers["connection"] = "close"
        if reply.stream is not None:
            if request.method == "HEAD":
                reply.release()
                return Response(status_code=reply.status, headers=headers)
            authorization, address = caller_of(request)
            renew = partial(calls.run, authorization, address, reply.stream.renew, route=route.path, read_only=True)
            return EventStreamResponse(reply, headers, renew)
        return ChunkedResponse(reply.content, reply.status, headers, release=reply.release)

    return endpoint


async def _reply(route: Route, request: Request, calls: Calls, max_body_bytes: int) -> Reply:
    request_id = request.state.request_id
    call = Call(
        method=request.method,
        path=route.path,
        headers={name.lower(): value for name, value in request.headers.items()},
        query=dict(request.query_params),
        request_id=request_id,
        address=request.client.host if request.client else "",
        parameters=request.path_params,
    )
    if route.open_body is not None:
        return await stream_body(route, route.open_body, request, call, calls)
    clock = asyncio.get_running_loop().time
    timeout = route.dialect.timeout(call) or calls.timeout
    ends = clock() + timeout
    try:
        # Reading a body has the default time, also where the call names a longer one.
        body = await _body(request, calls, call, max_bytes=max_body_bytes, seconds=min(timeout, calls.timeout))
        request.state.body_read = True
        whole = replace(call, body=body)
        return await calls.run(
            call.authorization,
            call.address,
            partial(route.handler, whole),
            route=route.path,
            timeout=ends - clock(),
            read_only=route.read_only,
            coalescing_key=_coalescing_key(whole) if route.read_only and not route.streams else None,
            share=Reply.share,
            discard=Reply.release,
        )
    except ClientDisconnect:
        return Reply(content=b"", status=400)  # the client has gone
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer; calls have logged it
        return route.dialect.failure(error, request_id)


def caller_of(request: Request) -> tuple[str, str]:
    """The ``Authorization`` header and the client's address."""
    return request.headers.get("authorization", ""), request.client.host if request.client else ""


def _coalescing_key(call: Call) -> Hashable:
    """The key of equal calls: all that an answer depends on, besides the client's address."""
    headers = frozenset((name, value) for name, value in call.headers.items() if name not in _PER_CALL_HEADERS)
    return call.method, call.path, headers, frozenset(call.query.items()), call.body


async def _body(request: Request, calls: Calls, call: Call, *, max_bytes: int, seconds: float) -> bytes:
    """Read the request's body; of a large one only the beginning before the caller is authenticated.

    Raises:
        BodyTooLarge: it has, or its Content-Length announces, more bytes than allowed.
        DeadlineExceeded: it comes too slowly.
        Unauthenticated, TooManyAttempts.
    """
    announced = request.headers.get("content-length", "")
    size = int(announced) if announced.isdecimal() else 0
    chunks = bytearray()
    authenticated = False
    try:
        async with asyncio.timeout(seconds):
            stream = request.stream()
            while True:
                if max(size, len(chunks)) > max_bytes:
                    raise BodyTooLarge(_too_large(max_bytes), limit=max_bytes)
                if not authenticated and max(size, len(chunks)) > OPEN_BODY_BYTES:
                    await calls.authenticate(call.authorization, call.address)
                    authenticated = True
                if (chunk := await anext(stream, None)) is None:
                    return bytes(chunks)
                chunks += chunk
    except TimeoutError as error:
        raise DeadlineExceeded from error


def _too_large(limit: int) -> str:
    return f"the request body is too large, this server accepts at most {limit} bytes"

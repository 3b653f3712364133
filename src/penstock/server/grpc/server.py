"""The gRPC server: runs the methods of the dialect, in the event loop of HTTP and with its threads.

It is gRPC's own asyncio server, on a Unix socket that only the relay reaches. Its handlers are given encoded
messages: they are decoded in the thread of a call, never in the loop. The message of a caller that was not
authenticated lately is read only after that.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import grpc
import grpc.aio
import structlog

from penstock.access.authentication import Authentication
from penstock.access.fairness_key import UNAUTHENTICATED_KEY, UNVERIFIED_PASSWORD_KEY
from penstock.domain.deadline import DeadlineExceeded
from penstock.server.calls import Calls
from penstock.server.grpc.relay import address_of_peer
from penstock.server.observability.call_tracing import TraceCall
from penstock.server.observability.grpc_metrics import GrpcMetrics
from penstock.wire.milvus_grpc.calls import GrpcCall, GrpcMethod, GrpcReply, authorization_of

MAX_TIMEOUT = 24 * 3600.0
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_CONNECTION_OPTIONS: Mapping[str, int] = {
    # pymilvus pings every ten seconds, also without calls; gRPC's default tolerates one ping in five minutes.
    "grpc.http2.min_ping_interval_without_data_ms": 5_000,
    "grpc.keepalive_permit_without_calls": 1,
    # Clients that have gone without a word, and those that stay without a call: both open a new connection unasked.
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.max_connection_idle_ms": 15 * 60_000,
    # The rest of the connection's beginning, of which the relay has seen the first bytes.
    "grpc.server_handshake_timeout_ms": 15_000,
    "grpc.max_concurrent_streams": 256,
    # Identity only: a compressed message is decompressed whole, whatever its size becomes.
    "grpc.compression_enabled_algorithms_bitset": 1,
    "grpc.so_reuseport": 0,
}

_log = structlog.get_logger("penstock.grpc")


class GrpcServer:
    """The gRPC server of a process, for one event loop.

    ``address`` is what gRPC listens on, ``unix:PATH``; ``max_message_bytes`` bounds messages of requests.
    """

    def __init__(
        self,
        methods: Mapping[str, GrpcMethod],
        calls: Calls,
        authentication: Authentication,
        *,
        address: str,
        metrics: GrpcMetrics,
        trace: TraceCall,
        max_message_bytes: int,
    ) -> None:
        self._address = address
        self._methods = methods
        self._calls = calls
        self._authentication = authentication
        self._metrics = metrics
        self._trace = trace
        self._options = {**_CONNECTION_OPTIONS, "grpc.max_receive_message_length": max_message_bytes}
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises RuntimeError where that isn't possible."""
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            # On the wire a unary call is a stream of one message; as a stream it is read when asked for.
            path: grpc.stream_unary_rpc_method_handler(partial(self._call, method))
            for path, method in self._methods.items()
        }
        self._server = grpc.aio.server(handlers=[_Methods(handlers)], options=list(self._options.items()))
        self._server.add_insecure_port(self._address)
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Refuse new calls, let open ones finish within ``grace`` seconds, then close all connections."""
        if self._server is not None:
            await self._server.stop(grace)

    async def _call(self, method: GrpcMethod, messages: object, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        del messages
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        requested_id = metadata.get("client-request-id", "")
        request_id = requested_id if _REQUEST_ID.match(requested_id) else secrets.token_hex(8)
        reply = GrpcReply(status="CANCELLED")  # unless it is answered
        started = time.perf_counter()
        try:
            with (
                self._metrics.in_flight(),
                structlog.contextvars.bound_contextvars(request_id=request_id),
                self._trace(method.name, metadata, request_id) as traced,
            ):
                reply = await self._reply(method, context, metadata, request_id)
                self._release_when_sent(reply, context)
                traced(reply.status, reply.code)
        finally:
            self._record(method.name, reply, request_id, time.perf_counter() - started)
        if reply.status != "OK":
            await context.abort(grpc.StatusCode[reply.status], reply.details)
        return reply.content

    async def _reply(
        self,
        method: GrpcMethod,
        context: grpc.aio.ServicerContext[Any, Any],
        metadata: Mapping[str, str],
        request_id: str,
    ) -> GrpcReply:
        authorization, address = authorization_of(metadata), address_of_peer(context.peer())
        remaining = context.time_remaining()
        timeout = self._calls.timeout if remaining is None else min(remaining, MAX_TIMEOUT)
        ends = time.monotonic() + timeout
        try:
            if not self._is_known(authorization):
                await self._calls.authenticate(authorization, address)
            # Reading never has longer than the default, whatever timeout the call has.
            message = await _read(context, min(ends - time.monotonic(), self._calls.timeout))
            if message is None:
                return GrpcReply(status="INVALID_ARGUMENT", details="the call ended without a message")
            call = GrpcCall(message=message, metadata=metadata, request_id=request_id, address=address)
            return await self._calls.run(
                authorization,
                address,
                partial(method.handler, call),
                route=method.name,
                timeout=ends - time.monotonic(),
                discard=GrpcReply.release,
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer, and calls.run logs it
            return method.failure(error, request_id)

    def _release_when_sent(self, reply: GrpcReply, context: Any) -> None:
        """Release the memory held for a reply when its call has ended; the type stubs lack the callback."""
        if reply.held is not None:
            context.add_done_callback(lambda _: reply.release())

    def _is_known(self, authorization: str) -> bool:
        """Whether credentials were accepted lately, or none are asked for; without a query of the catalog."""
        key = self._authentication.fairness_key(authorization)
        return key not in (UNAUTHENTICATED_KEY, UNVERIFIED_PASSWORD_KEY)

    def _record(self, method: str, reply: GrpcReply, request_id: str, seconds: float) -> None:
        self._metrics.observe(method=method, status=reply.status, code=reply.code, seconds=seconds)
        _log.info(
            "grpc.request",
            method=method,
            status=reply.status,
            code=reply.code,
            ms=round(seconds * 1000, 2),
            request_id=request_id,
        )


async def _read(context: grpc.aio.ServicerContext[Any, Any], timeout: float) -> bytes | None:
    """The call's message, or None if it ends without one.

    Raises:
        DeadlineExceeded: it doesn't come in time, in seconds.
    """
    try:
        async with asyncio.timeout(timeout):
            message = await context.read()
    except TimeoutError as error:
        raise DeadlineExceeded from error
    return message if isinstance(message, bytes) else None


class _Methods(grpc.GenericRpcHandler):
    """gRPC's view of the methods; it refuses others with UNIMPLEMENTED."""

    def __init__(self, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._handlers.get(handler_call_details.method)

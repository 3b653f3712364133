"""Middleware for every request: path normalization, request id, access log, metrics."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.server.observability.http_metrics import HttpMetrics

UNKNOWN_ROUTE = "unknown"
# Probes, and polls of a job's or an index's state, come every few seconds and carry no information.
_QUIET = frozenset({"/livez", "/readyz", "/healthz", "/metrics"})
_POLLS = re.compile(r"/(?:list|describe|get_?progress|getProgress|get_load_state|import/get)\Z")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_METHODS = frozenset({"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"})

_log = structlog.get_logger("penstock.http")


class NormalizePathMiddleware:
    """Collapse doubled slashes of paths and drop trailing ones: clients join URLs carelessly."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": re.sub(r"/{2,}", "/", scope["path"]).rstrip("/") or "/"}
        await self._app(scope, receive, send)


class RequestLogMiddleware:
    """Assign a request id (its ``X-Request-Id`` if that is well-formed), log the request and count it.

    Endpoints leave ``route`` and ``code`` in the request's state.
    """

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        requested_id = Headers(scope=scope).get("x-request-id", "")
        request_id = requested_id if _REQUEST_ID.match(requested_id) else secrets.token_hex(8)
        state = {**scope.get("state", {}), "request_id": request_id}
        status = 500
        started = time.perf_counter()
        answered: float | None = None

        async def send_observed(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                if headers.get("content-type") == "text/event-stream":
                    answered = time.perf_counter()  # how long a client listens says nothing of the server
            await send(message)

        try:
            with self._metrics.in_flight(), structlog.contextvars.bound_contextvars(request_id=request_id):
                await self._app({**scope, "state": state}, receive, send_observed)
        finally:
            self._record(scope, state, request_id, status, (answered or time.perf_counter()) - started)

    def _record(self, scope: Scope, state: dict[str, object], request_id: str, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = str(state.get("route", UNKNOWN_ROUTE))
        code = state.get("code")
        code = code if isinstance(code, int) else None
        self._metrics.observe(method=method, route=route, status=status, code=code, seconds=seconds)
        is_poll = route in _QUIET or (_POLLS.search(route) is not None and status < 400 and not code)
        write = _log.debug if is_poll else _log.info
        write(
            "request",
            method=method,
            path=scope["path"][:200],
            status=status,
            code=code,
            ms=round(seconds * 1000, 2),
            request_id=request_id,
        )

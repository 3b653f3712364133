"""What happens to every request, whichever route it takes: a tidy path, an id, a log line, the metrics."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.server.observability.http_metrics import HttpMetrics

__all__ = ["NormalizePathMiddleware", "RequestLogMiddleware"]

UNKNOWN_ROUTE = "unknown"
# Probes come every few seconds and say nothing.
_QUIET = frozenset({"/healthz", "/metrics"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_METHODS = frozenset({"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"})

_log = structlog.get_logger("penstock.http")


class NormalizePathMiddleware:
    """Doubled slashes count as one, and one at the end as none: clients put addresses together carelessly."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": re.sub(r"/{2,}", "/", scope["path"]).rstrip("/") or "/"}
        await self._app(scope, receive, send)


class RequestLogMiddleware:
    """Gives each request an id (its own ``X-Request-Id`` if it has a plain one), logs it and counts it.

    Endpoints leave ``route`` and ``code`` in the request's state.
    """

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.match(given) else secrets.token_hex(8)
        state = {**scope.get("state", {}), "request_id": request_id}
        status = 500
        started = time.perf_counter()

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            with self._metrics.in_flight(), structlog.contextvars.bound_contextvars(request_id=request_id):
                await self._app({**scope, "state": state}, receive, send_observed)
        finally:
            self._tell(scope, state, request_id, status, time.perf_counter() - started)

    def _tell(self, scope: Scope, state: dict[str, object], request_id: str, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = str(state.get("route", UNKNOWN_ROUTE))
        code = state.get("code")
        code = code if isinstance(code, int) else None
        self._metrics.observe(method=method, route=route, status=status, code=code, seconds=seconds)
        tell = _log.debug if route in _QUIET else _log.info
        tell(
            "request",
            method=method,
            path=scope["path"][:200],
            status=status,
            code=code,
            ms=round(seconds * 1000, 2),
            request_id=request_id,
        )

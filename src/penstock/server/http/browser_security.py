"""Protection against cross-site requests, DNS rebinding and content sniffing.

Security headers keep browsers from interpreting answers as anything else. Without authentication, on a developer's
machine, any web page could post to the server, or read from it under a host name that its owner points to this
machine (DNS rebinding): such calls are recognized by their ``Origin`` and ``Host``. With authentication no page has
a key.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.access.authentication import Authentication
from penstock.errors import PenstockError

_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
_HTTPS_FROM_NOW_ON = (b"strict-transport-security", b"max-age=31536000")
REFUSED = 65535
"""Milvus's error number for a denied call."""

_CONTROLLER = re.compile(r"controller\.api\.[^.]+\.(zillizcloud\.com|cloud\.zilliz\.com\.cn)\Z")
_REFUSAL = (
    "authentication is off, so this server rejects calls from web pages of other hosts, and calls under host names "
    "that others could point to it. Create a key with 'penstock keys create NAME --role admin' to allow them"
)


class SecurityHeaders:
    """ASGI middleware: add security headers to every answer, without replacing those it has."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        added = [*_HEADERS, _HTTPS_FROM_NOW_ON] if scope.get("scheme") == "https" else _HEADERS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((name, value) for name, value in added if name not in own),
                ]
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class OriginGuardMiddleware:
    """ASGI middleware: refuse calls of other hosts' web pages (HTTP 403) while authentication is off."""

    def __init__(self, app: ASGIApp, authentication: Authentication) -> None:
        self._app = app
        self._authentication = authentication

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        suspect = (
            scope["type"] == "http"
            and not self._authentication.is_enabled_cached
            and _is_suspect(Headers(scope=scope))
        )
        if suspect and not await asyncio.to_thread(self._is_authentication_on):
            refusal = {"code": REFUSED, "message": _REFUSAL}
            await JSONResponse(refusal, 403, {"connection": "close"})(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_authentication_on(self) -> bool:
        try:
            return self._authentication.is_enabled
        except PenstockError:  # unknown: refuse, to be safe
            return False


def _is_suspect(headers: Headers) -> bool:
    return _is_foreign(headers.get("host", ""), headers.get("origin"))


@lru_cache(maxsize=1024)
def _is_foreign(host: str, origin: str | None) -> bool:
    if origin is not None and origin.partition("://")[2].lower() != host.lower():
        return True
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return True
    return not (_is_local_name(name) or _CONTROLLER.match(name))


def _is_local_name(name: str) -> bool:
    """Whether DNS rebinding can't use the name: an IP address, or a name without a domain."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return bool(name) and ("." not in name or name.endswith(".localhost"))
    return True

"""Serve the page: cookies, forms, assets, and its handlers in the threads of the calls."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
from sqlalchemy import make_url
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute
from starlette.routing import Route as StarletteRoute

import penstock.web
from penstock.access.credentials import SESSION_PREFIX
from penstock.domain.deadline import DeadlineExceeded
from penstock.errors import PenstockError
from penstock.server.calls import Calls
from penstock.server.doctor import examine
from penstock.server.http.chunked_response import ChunkedResponse
from penstock.server.http.endpoint import make_endpoint
from penstock.server.services import Services
from penstock.server.storage_settings import catalog_file
from penstock.settings import Settings
from penstock.version import package_version
from penstock.web.page import OpenRoute, PageCall, PageReply, PageRoute, Values
from penstock.web.pages import Pages, failure, run
from penstock.web.routes import page_routes
from penstock.web.services import WebServices
from penstock.web.tokens import PAGE_POLICY, ForgedForm, check_csrf, new_page_token
from penstock.wire.http import Call, Route
from penstock.wire.milvus_v2.dialect import PREFIX
from penstock.wire.milvus_v2.row_serializer import render_rows
from penstock.wire.milvus_v2.uploads import PATH as UPLOADS

MAX_FORM_BYTES = 1 << 20
_SESSION_COOKIE = "penstock_session"
_THEME_COOKIE = "penstock_theme"
_THEMES = ("light", "dark")
_ASSETS = Path(penstock.web.__file__).parent / "assets"
_MEDIA_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
_RELOAD = '<!doctype html><html lang="en"><meta http-equiv="refresh" content="0"><title>Penstock</title></html>'
"""The same address again, this time from a page of this server."""
_YEAR = "public, max-age=31536000, immutable"
_IN_ADDRESSES = "%/:?#[]@!$&'()*+,;="
"""Characters that stay as they are where an address is quoted: all that have a meaning in it."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A script or a style, as it is and compressed."""

    content: bytes
    compressed: bytes
    media_type: str


def web_routes(services: Services, routes: Sequence[Route], calls: Calls) -> list[BaseRoute]:
    """The routes of the page and of its assets. ``routes`` are those of the API."""
    pages = Pages(_web_services(services, routes), asset_version())
    by_path: dict[str, dict[str, PageRoute | OpenRoute]] = {}
    for route in page_routes(pages):
        by_path.setdefault(route.path, {})[route.method] = route
    is_secure = services.settings.tls_cert is not None
    own = [
        ("/events", [route for route in routes if route.streams]),
        ("/uploads", [route for route in routes if route.path == UPLOADS and route.method == "POST"]),
        ("/uploads/{id}", [route for route in routes if route.path == f"{UPLOADS}/{{id}}"]),
    ]
    return [
        StarletteRoute("/assets/{version}/{name:path}", _asset, include_in_schema=False),
        *(_call_route(path, of_path, calls, services.settings.max_body_bytes) for path, of_path in own),
        *(
            StarletteRoute(
                path,
                _endpoint(pages, methods, calls, is_secure),
                methods=list(methods),
                include_in_schema=path == "/",  # of the page the OpenAPI document names the beginning
            )
            for path, methods in by_path.items()
        ),
    ]


def _web_services(services: Services, routes: Sequence[Route]) -> WebServices:
    by_path = {route.path: route for route in routes if route.method == "POST"}

    def call_api(path: str, body: Mapping[str, Any], authorization: str, address: str) -> bytes:
        route = by_path[PREFIX + path]
        headers = {"authorization": authorization}
        call = Call(method="POST", path=route.path, headers=headers, body=orjson.dumps(body), address=address)
        try:
            reply = route.handler(call)
        except PenstockError as error:
            reply = route.dialect.failure(error, "")
        try:
            return bytes(reply.content)
        finally:
            reply.release()

    return WebServices(
        admission=services.admission,
        authentication=services.authentication,
        sessions=services.sessions,
        imports=services.imports,
        inference=services.inference,
        rejections=services.rejections,
        databases=services.databases,
        collections=services.collections,
        partitions=services.partitions,
        indexes=services.indexes,
        entities=services.entities,
        searches=services.searches,
        accounts=services.accounts,
        orgs=services.orgs,
        quotas=services.quotas,
        audit_log=services.audit_log,
        list_clusters=services.list_clusters,
        call_api=call_api,
        render_rows=render_rows,
        examine=partial(examine, services.settings),
        problem=services.problem,
        roots=tuple(map(str, services.settings.import_root)),
        stores=_stores(services.settings),
        version=package_version(),
    )


def _stores(settings: Settings) -> Sequence[tuple[str, str]]:
    """Where the server writes, without the password that the catalog's address may have."""
    catalog = settings.catalog_url or str(catalog_file(settings))
    return (
        ("Data dir", str(settings.data_dir.absolute())),
        ("Catalog", make_url(catalog).render_as_string() if "://" in catalog else catalog),
        ("Collections", settings.storage_url or str(settings.data_dir.absolute() / "collections")),
    )


def _endpoint(pages: Pages, methods: Mapping[str, PageRoute | OpenRoute], calls: Calls, is_secure: bool) -> Any:
    async def endpoint(request: Request) -> Response:
        route = methods.get(request.method) or methods["GET"]
        request.state.route = route.path
        if _hides_cookies(request):
            return Response(
                _RELOAD, headers={"content-security-policy": "default-src 'none'"}, media_type="text/html"
            )
        try:
            call = await _page_call(request, calls.timeout)
        except ClientDisconnect:
            return Response(status_code=400)
        except ValueError as error:
            return PlainTextResponse(f"{error}\n", 400, headers={"connection": "close"})
        try:
            reply = await calls.run(
                call.authorization,
                call.address,
                partial(run, pages, route, call),
                route=route.path,
                timeout=route.timeout if isinstance(route, PageRoute) else None,
                read_only=isinstance(route, PageRoute) and route.read_only,
                discard=PageReply.release,
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the visitor gets a page; calls have logged it
            reply = await asyncio.to_thread(_broken, pages, call, error)
        return _response(reply, call, is_secure, request)

    return endpoint


def _call_route(path: str, routes: Sequence[Route], calls: Calls, max_body_bytes: int) -> BaseRoute:
    """Calls of the API for the page's scripts: browsers send a cookie where other clients send a header.

    Calls that change something need the token of the page's forms, too.
    """
    endpoint = make_endpoint(routes, calls, max_body_bytes=max_body_bytes)

    async def with_session(request: Request) -> Response:
        token = request.cookies.get(_SESSION_COOKIE, "")
        if request.method not in ("GET", "HEAD"):
            try:
                check_csrf(token, request.headers.get("x-csrf", ""))
            except ForgedForm as error:
                return PlainTextResponse(f"{error}\n", 403, headers={"connection": "close"})
        headers = [(name, value) for name, value in request.scope["headers"] if name != b"authorization"]
        if authorization := _authorization(token):
            headers.append((b"authorization", authorization.encode()))
        return await endpoint(Request({**request.scope, "headers": headers}, request.receive))

    return StarletteRoute(path, with_session, methods=[route.method for route in routes], include_in_schema=False)


def _authorization(token: str) -> str:
    """What stands for the ``Authorization`` header of a browser with this cookie."""
    return f"Session {token}" if token.startswith(SESSION_PREFIX) else ""


def _hides_cookies(request: Request) -> bool:
    """Whether a link of another site led here: with ``SameSite=Strict`` the browser leaves its cookies out once."""
    return (
        request.method == "GET"
        and request.headers.get("sec-fetch-site") == "cross-site"
        and request.headers.get("sec-fetch-mode") == "navigate"
        and "cookie" not in request.headers
    )


def _broken(pages: Pages, call: PageCall, error: Exception) -> PageReply:
    if isinstance(error, DeadlineExceeded):
        return failure(pages, call, error)
    text = f"The server's log has the details under request id {call.request_id}. Try again, or report it"
    return pages.show_open(call, "error.html", status=500, title="Something broke", message=text)


async def _page_call(request: Request, seconds: float) -> PageCall:
    """Read a request of the page. Raises ValueError: its form is too large, too slow or no form."""
    cookies = request.cookies
    token = cookies.get(_SESSION_COOKIE, "")
    form = Values()
    if request.method == "POST":
        form = Values.parse(await _form(request, seconds))
    return PageCall(
        method=request.method,
        path=request.url.path,
        arguments={name: str(value) for name, value in request.path_params.items()},
        query=Values.parse(request.url.query),
        form=form,
        token=token or new_page_token(),
        authorization=_authorization(token),
        address=request.client.host if request.client else "",
        theme=cookies.get(_THEME_COOKIE, "") if cookies.get(_THEME_COOKIE) in _THEMES else "",
        partial="hx-request" in request.headers and "hx-boosted" not in request.headers,
        request_id=request.state.request_id,
    )


async def _form(request: Request, seconds: float) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise ValueError(f"a form is sent as application/x-www-form-urlencoded, not {kind[:80]!r}")
    content = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                content += chunk
                if len(content) > MAX_FORM_BYTES:
                    raise ValueError(f"a form has at most {MAX_FORM_BYTES:,} bytes")
    except TimeoutError as error:
        raise ValueError("the form came too slowly") from error
    return content.decode()


def _response(reply: PageReply, call: PageCall, is_secure: bool, request: Request) -> Response:
    headers = {
        "content-security-policy": PAGE_POLICY,
        # Forms of "no-referrer" pages have the origin "null", which looks like another site's.
        "referrer-policy": "same-origin",
        "vary": "Cookie, HX-Request",
    }
    content, status = reply.content, reply.status
    if reply.location is not None:
        # The address after a login is whatever was asked for before; headers are of ASCII.
        location = quote(reply.location, safe=_IN_ADDRESSES)
        if call.partial:
            status = 200
            headers["hx-redirect"] = location
        else:
            headers["location"] = location
    if reply.filename is not None:
        headers["content-disposition"] = f'attachment; filename="{reply.filename}"'
    # Files are not compressed: a hundred megabytes of rows would hold up all other calls for a second.
    if len(content) > 1024 and reply.filename is None and "gzip" in request.headers.get("accept-encoding", ""):
        content = gzip.compress(content, 1)
        headers["content-encoding"] = "gzip"
    media_type = None if reply.location else reply.media_type
    response = ChunkedResponse(content, status, headers, media_type, release=reply.release)
    token = reply.token
    if token is None and call.token != request.cookies.get(_SESSION_COOKIE) and not call.partial:
        token = call.token  # a browser that comes for the first time
    # A proxy that terminates TLS says so. A forged header would only keep the caller's own cookie from plain HTTP.
    is_secure = is_secure or request.headers.get("x-forwarded-proto") == "https"
    if token:
        response.set_cookie(_SESSION_COOKIE, token, httponly=True, samesite="strict", secure=is_secure, path="/")
    elif token == "":  # a logout  # nosec B105
        response.delete_cookie(_SESSION_COOKIE, httponly=True, samesite="strict", secure=is_secure, path="/")
    return response


def _asset(request: Request) -> Response:
    request.state.route = "/assets"
    asset = _load(request.path_params["name"])
    if asset is None:
        return PlainTextResponse("404 page not found", 404)
    headers = {"content-type": asset.media_type, "vary": "Accept-Encoding"}
    headers["cache-control"] = _YEAR if request.path_params["version"] == asset_version() else "no-store"
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.compressed, headers={**headers, "content-encoding": "gzip"})
    return Response(asset.content, headers=headers)


@lru_cache(maxsize=64)
def _load(name: str) -> Asset | None:
    """An asset by its path; None for anything else than a script, a style or an image in the folder."""
    if name not in _names():
        return None
    content = (_ASSETS / name).read_bytes()
    return Asset(content, gzip.compress(content, 9), _MEDIA_TYPES[Path(name).suffix])


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    files = (file for file in _ASSETS.rglob("*") if file.suffix in _MEDIA_TYPES)
    return frozenset(file.relative_to(_ASSETS).as_posix() for file in files)


@lru_cache(maxsize=1)
def asset_version() -> str:
    """A hash of all assets: their addresses have it, so that browsers may keep them."""
    digest = hashlib.sha256()
    for name in sorted(_names()):
        digest.update(name.encode() + (_ASSETS / name).read_bytes())
    return digest.hexdigest()[:12]

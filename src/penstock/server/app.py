"""The application: the dialects' routes, and the server's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.routing import Route as StarletteRoute
from starlette.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path

from penstock.server.endpoint import Threads, make_endpoint
from penstock.server.metrics import HttpMetrics
from penstock.server.middleware import Observe, TidyPath
from penstock.server.openapi import openapi_document
from penstock.server.routes import dialect_routes
from penstock.server.services import Services
from penstock.wire.http import Route

__all__ = ["create_app"]

PLAIN_ROUTES = {
    "/healthz": "Whether the server is ready: 200, or 503 with the reason",
    "/metrics": "Metrics in the Prometheus text format",
    "/docs": "This document as a page",
    "/openapi.json": "This document",
}

_DOCS_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Penstock API</title>
<link rel="stylesheet" href="docs/static/swagger-ui.css">
<link rel="icon" href="docs/static/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/static/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true})</script>
</body>
</html>
"""


def create_app(services: Services) -> Starlette:
    """The ASGI application of these services. Its threads end with its lifespan."""
    settings = services.settings
    routes = dialect_routes(services) if settings.role != "worker" else ()
    threads = Threads(settings.request_threads)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        threads.close()

    return Starlette(
        routes=[*_dialects(routes, threads, services), *_own_routes(services, routes)],
        middleware=[
            Middleware(Observe, metrics=HttpMetrics(services.registry)),
            *services.middleware,
            Middleware(TidyPath),
        ],
        exception_handlers={404: _not_found, 405: _not_found},
        lifespan=lifespan,
    )


def _dialects(routes: tuple[Route, ...], threads: Threads, services: Services) -> list[BaseRoute]:
    settings = services.settings
    by_path = sorted(routes, key=lambda route: route.path)
    return [
        StarletteRoute(
            path,
            make_endpoint(
                same := list(group),
                threads,
                max_body_bytes=settings.max_body_bytes,
                request_timeout=settings.request_timeout,
            ),
            methods=[route.method for route in same],
        )
        for path, group in groupby(by_path, key=lambda route: route.path)
    ]


def _own_routes(services: Services, routes: tuple[Route, ...]) -> list[BaseRoute]:
    document = orjson.dumps(openapi_document(routes, PLAIN_ROUTES))

    def healthz() -> Response:
        problem = services.problem()
        told = {"status": "ready"} if problem is None else {"status": "unavailable", "reason": problem}
        return Response(orjson.dumps(told), 200 if problem is None else 503, media_type="application/json")

    def metrics() -> Response:
        return Response(generate_latest(services.registry), headers={"content-type": CONTENT_TYPE_LATEST})

    def docs() -> Response:
        return HTMLResponse(_DOCS_PAGE)

    def openapi() -> Response:
        return Response(document, media_type="application/json")

    watched = {"/healthz": healthz, "/metrics": metrics}
    if not routes:
        return [_own_route(path, answer) for path, answer in watched.items()]
    answers = watched | {"/docs": docs, "/openapi.json": openapi}
    static = Mount("/docs/static", StaticFiles(directory=Path(swagger_ui_path)))
    return [*(_own_route(path, answer) for path, answer in answers.items()), static]


def _own_route(path: str, answer: Callable[[], Response]) -> BaseRoute:
    def endpoint(request: Request) -> Response:
        request.state.route = path
        return answer()

    return StarletteRoute(path, endpoint)


def _not_found(request: Request, error: Exception) -> Response:
    return PlainTextResponse("404 page not found", status_code=404)

"""The ASGI application: the dialects' routes, and the server's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import orjson
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.routing import Route as StarletteRoute
from starlette.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path

from penstock.domain.access import Role
from penstock.errors import CatalogError, PenstockError, PermissionDenied
from penstock.server.http.browser_security import OriginGuardMiddleware, SecurityHeaders
from penstock.server.http.docs_page import DOCS_PAGE, DOCS_POLICY
from penstock.server.http.endpoint import make_endpoint
from penstock.server.http.middleware import NormalizePathMiddleware, RequestLogMiddleware
from penstock.server.http.openapi import openapi_document
from penstock.server.http.request_pool import Threads
from penstock.server.http.routes import dialect_routes
from penstock.server.observability.http_metrics import HttpMetrics
from penstock.server.services import Services
from penstock.wire.audit import audited
from penstock.wire.http import Route
from penstock.wire.milvus_v2.errors import status_of

__all__ = ["create_app"]

PLAIN_ROUTES = {
    "/healthz": "Whether the server is ready: 200, or 503, with the reason while no keys are asked for. "
    "On a full disk, when it answers reads only, the status is `read-only`",
    "/metrics": "Metrics in the Prometheus text format; for keys and users that may read the server's own cluster",
    "/": "This document as a page",
    "/docs": "The same page",
    "/openapi.json": "This document",
}

_log = structlog.get_logger("penstock.http")


def create_app(services: Services) -> Starlette:
    """Create the ASGI application of the services. Its threads end with its lifespan."""
    settings = services.settings
    routes = dialect_routes(services) if settings.role != "worker" else ()
    threads = Threads(settings.request_threads)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        threads.close()

    return Starlette(
        routes=[*_dialects(routes, threads, services), *_own_routes(services, routes, threads)],
        middleware=[
            Middleware(RequestLogMiddleware, metrics=HttpMetrics(services.registry)),
            Middleware(SecurityHeaders),
            Middleware(OriginGuardMiddleware, authentication=services.authentication),
            *services.middleware,
            Middleware(NormalizePathMiddleware),
        ],
        exception_handlers={404: _not_found, 405: _not_found},
        lifespan=lifespan,
    )


def _dialects(routes: tuple[Route, ...], threads: Threads, services: Services) -> list[BaseRoute]:
    settings = services.settings
    # In the routes' order, imports first: the router tries one after the other.
    by_path: dict[str, list[Route]] = {}
    for route in routes:
        by_path.setdefault(route.path, []).append(route)
    return [
        StarletteRoute(
            path,
            make_endpoint(
                path_routes,
                threads,
                services.authentication,
                max_body_bytes=settings.max_body_bytes,
                request_timeout=settings.request_timeout,
            ),
            methods=[route.method for route in path_routes],
        )
        for path, path_routes in by_path.items()
    ]


def _own_routes(services: Services, routes: tuple[Route, ...], threads: Threads) -> list[BaseRoute]:
    document = orjson.dumps(openapi_document(routes, PLAIN_ROUTES))

    def healthz(_: Request) -> Response:
        problem = services.problem()
        health = {"status": "ready"}
        if problem is not None:
            health = {"status": "read-only" if services.is_full() else "unavailable"}
        if problem is not None:
            _log.warning("health.unavailable", reason=problem)
            if not services.authentication.is_enabled_cached:  # it may name hosts and folders
                health["reason"] = problem
        return Response(orjson.dumps(health), 200 if problem is None else 503, media_type="application/json")

    def scrape(request: Request) -> Response:
        try:
            _check_operator(services, request)
            content = generate_latest(services.registry)
        except CatalogError as error:
            _log.warning("metrics.unavailable", reason=error.message)
            reason = error.code if services.authentication.is_enabled_cached else error.message  # as above
            return PlainTextResponse(f"{reason}\n", 503)
        except PenstockError as error:
            return PlainTextResponse(f"{error}\n", status_of(error))
        return Response(content, headers={"content-type": CONTENT_TYPE_LATEST})

    async def metrics(request: Request) -> Response:
        request.state.route = "/metrics"
        fairness_key = services.authentication.fairness_key(request.headers.get("authorization", ""))
        try:
            async with asyncio.timeout(services.settings.request_timeout):
                return await threads.calls.run(fairness_key, partial(scrape, request))
        except TimeoutError:
            return PlainTextResponse("the call took too long\n", 408)

    def docs(_: Request) -> Response:
        return HTMLResponse(DOCS_PAGE, headers={"content-security-policy": DOCS_POLICY})

    def openapi(_: Request) -> Response:
        return Response(document, media_type="application/json")

    monitoring = [_own_route("/healthz", healthz), StarletteRoute("/metrics", metrics)]
    if not routes:
        return monitoring
    static = Mount("/docs/static", StaticFiles(directory=Path(swagger_ui_path)))
    pages = [_own_route("/", docs), _own_route("/docs", docs), _own_route("/openapi.json", openapi)]
    return [*monitoring, *pages, static]


def _own_route(path: str, answer: Callable[[Request], Response]) -> BaseRoute:
    def endpoint(request: Request) -> Response:
        request.state.route = path
        return answer(request)

    return StarletteRoute(path, endpoint)


def _check_operator(services: Services, request: Request) -> None:
    """Require read access to the server's own cluster: metrics are of all tenants. Raises AccessDenied."""
    address = request.client.host if request.client else ""
    with audited(services.audit, "metrics.get") as scope:
        scope.caller = caller = services.authentication.identify(request.headers.get("authorization", ""), address)
        if not caller.may(Role.READER, services.clusters.get(services.settings.cluster_id)):
            # The message doesn't reveal that cluster's id to other orgs.
            raise PermissionDenied("metrics tell of all orgs: they are for who may read the server's own cluster")


def _not_found(request: Request, error: Exception) -> Response:
    return PlainTextResponse("404 page not found", status_code=404)

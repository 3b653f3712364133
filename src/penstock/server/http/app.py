"""The ASGI application: the dialects' routes, and the server's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import orjson
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute
from starlette.routing import Route as StarletteRoute

from penstock.domain.access import Role
from penstock.domain.deadline import DeadlineExceeded
from penstock.errors import CatalogError, PenstockError, PermissionDenied
from penstock.server.calls import Calls
from penstock.server.http.browser_security import OriginGuardMiddleware, SecurityHeaders
from penstock.server.http.docs_page import DOCS_PAGE, DOCS_POLICY
from penstock.server.http.endpoint import caller_of, make_endpoint
from penstock.server.http.middleware import NormalizePathMiddleware, RequestLogMiddleware
from penstock.server.http.openapi import openapi_document
from penstock.server.http.routes import dialect_routes
from penstock.server.http.web_pages import web_routes
from penstock.server.observability.http_metrics import HttpMetrics
from penstock.server.services import Services
from penstock.wire.http import Route
from penstock.wire.milvus.errors import status_of

PLAIN_ROUTES = {
    "/livez": "Liveness: 200 while the process answers at all, whatever its catalog and store do",
    "/readyz": "Readiness: 200 if the server can take work: catalog reachable, store writable, not stopping; else "
    "503, with the reason while authentication is off",
    "/healthz": "State: 200, or 503, with the reason while authentication is off. "
    "With a full disk, when only reads are served, the status is `read-only`",
    "/metrics": "Metrics in the Prometheus text format; requires read access to the server's own cluster",
    "/": "The page for people: jobs, collections, imports, administration",
    "/docs": "The OpenAPI document as a page",
    "/openapi.json": "The OpenAPI document",
}

_log = structlog.get_logger("penstock.http")


def create_app(services: Services, calls: Calls) -> Starlette:
    """Create the ASGI application of the services, whose requests are run by ``calls``."""
    routes = dialect_routes(services) if services.settings.role != "worker" else ()
    app = Starlette(
        routes=[
            *_dialects(routes, calls, services.settings.max_body_bytes),
            *_own_routes(services, routes, calls),
        ],
        middleware=[
            Middleware(RequestLogMiddleware, metrics=HttpMetrics(services.registry)),
            Middleware(SecurityHeaders),
            Middleware(OriginGuardMiddleware, authentication=services.authentication),
            *services.middleware,
            Middleware(NormalizePathMiddleware),
        ],
        exception_handlers={404: _not_found, 405: _not_found},
    )
    app.router.redirect_slashes = False  # NormalizePathMiddleware drops those that it would add
    return app


def _dialects(routes: tuple[Route, ...], calls: Calls, max_body_bytes: int) -> list[BaseRoute]:
    # In the routes' order, imports first: the router tries one after the other.
    by_path: dict[str, list[Route]] = {}
    for route in routes:
        by_path.setdefault(route.path, []).append(route)
    return [
        StarletteRoute(
            path,
            make_endpoint(path_routes, calls, max_body_bytes=max_body_bytes),
            methods=[route.method for route in path_routes],
        )
        for path, path_routes in by_path.items()
    ]


def _own_routes(services: Services, routes: tuple[Route, ...], calls: Calls) -> list[BaseRoute]:
    document = orjson.dumps(openapi_document(routes, PLAIN_ROUTES))

    def unavailable(status: str, problem: str) -> Response:
        health = {"status": status}
        _log.warning("health.unavailable", reason=problem)
        if not services.authentication.is_enabled_cached:  # it may name hosts and folders
            health["reason"] = problem
        return Response(orjson.dumps(health), 503, media_type="application/json")

    def healthz(_: Request) -> Response:
        problem = services.problem()
        if problem is None:
            return Response(orjson.dumps({"status": "ready"}), media_type="application/json")
        return unavailable("read-only" if services.is_full() else "unavailable", problem)

    def readyz(request: Request) -> Response:
        # A server that stops still answers on open connections: a balancer must send nothing new.
        is_stopping: Callable[[], bool] = getattr(request.app.state, "is_stopping", bool)
        if is_stopping():
            return unavailable("stopping", "the server is stopping")
        return healthz(request)

    async def livez(request: Request) -> Response:
        # In the event loop: neither busy threads nor a catalog that hangs are reasons to restart the process.
        request.state.route = "/livez"
        return Response(b'{"status":"alive"}', media_type="application/json")

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
        authorization, address = caller_of(request)
        try:
            return await calls.run(authorization, address, partial(scrape, request), route="/metrics")
        except DeadlineExceeded:
            return PlainTextResponse("the call timed out\n", 408)

    def docs(_: Request) -> Response:
        return HTMLResponse(DOCS_PAGE, headers={"content-security-policy": DOCS_POLICY})

    def openapi(_: Request) -> Response:
        return Response(document, media_type="application/json")

    monitoring = [
        StarletteRoute("/livez", livez),
        _own_route("/readyz", readyz),
        _own_route("/healthz", healthz),
        StarletteRoute("/metrics", metrics),
    ]
    if not routes:
        return monitoring
    return [
        *monitoring,
        _own_route("/docs", docs),
        _own_route("/openapi.json", openapi),
        *web_routes(services, routes, calls),
    ]


def _own_route(path: str, answer: Callable[[Request], Response]) -> BaseRoute:
    def endpoint(request: Request) -> Response:
        request.state.route = path
        return answer(request)

    return StarletteRoute(path, endpoint)


def _check_operator(services: Services, request: Request) -> None:
    """Require read access to the server's own cluster: metrics are of all tenants. Raises AccessDenied."""
    authorization, address = caller_of(request)
    with services.admission.call("metrics.get", authorization=authorization, address=address) as call:
        if not call.caller.may(Role.READER, services.clusters.get(services.settings.cluster_id)):
            # The message doesn't reveal that cluster's id to other orgs.
            raise PermissionDenied("metrics cover all orgs: they require read access to the server's own cluster")


def _not_found(request: Request, error: Exception) -> Response:
    return PlainTextResponse("404 page not found", status_code=404)

"""What holds for every call: paths, limits, timeouts, failures, and the server's own pages."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import schemathesis
import structlog
from prometheus_client import CollectorRegistry
from starlette.routing import Route as StarletteRoute

from penstock.errors import StorageUnavailable
from penstock.server.calls import Calls
from penstock.server.http.app import create_app
from penstock.server.http.routes import dialect_routes
from penstock.server.services import Services
from tests.support.http import http_server, make_services
from tests.support.imports import MemoryImports
from tests.support.wire import V1, V2

CREATE = {"collectionName": "docs", "files": [["a.json"]]}
LIMIT = 10_000


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with make_services(tmp_path_factory.mktemp("data"), max_body_bytes=LIMIT, request_threads=2) as services:
        yield services


@pytest.fixture(scope="module")
def client(services: Services) -> Iterator[httpx.Client]:
    with http_server(services) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture
def imports(services: Services) -> MemoryImports:
    assert isinstance(services.imports, MemoryImports)
    services.imports.clear()
    return services.imports


def url(client: httpx.Client, path: str) -> str:
    return str(client.base_url).rstrip("/") + path


@pytest.mark.parametrize("path", ["//v2/vectordb/jobs/import/list", "/v2//vectordb/jobs/import/list//"])
def test_slashes_are_forgiven(client: httpx.Client, path: str) -> None:
    assert client.post(url(client, path), json={}).json()["code"] == 0


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/"), ("GET", f"{V2}/list"), ("POST", f"{V2}/nothing"), ("POST", f"{V1}/get")]
)
def test_unknown_paths_and_methods(client: httpx.Client, method: str, path: str) -> None:
    reply = client.request(method, path)
    assert (reply.status_code, reply.text) == (404, "404 page not found")
    assert reply.headers["content-type"].startswith("text/plain")


def test_a_body_at_the_limit_is_read(client: httpx.Client) -> None:
    body = b"{" + b" " * (LIMIT - 2) + b"}"
    assert client.post(f"{V2}/list", content=body).json()["code"] == 0


@pytest.mark.parametrize("announced", [True, False])
def test_larger_bodies_are_refused(client: httpx.Client, announced: bool) -> None:
    body = b"{" + b" " * LIMIT + b"}"
    reply = client.post(f"{V2}/list", content=body if announced else iter([body]))
    assert reply.status_code == 200
    assert reply.headers["connection"] == "close"
    assert reply.json()["code"] == 1801
    assert "at most 10000 bytes" in reply.json()["message"]
    assert client.post(V1, content=body).json()["code"] == 80000


def test_deep_nesting_is_refused(client: httpx.Client) -> None:
    reply = client.post(f"{V2}/create", content=b'{"files":' + b"[" * 5000 + b"]" * 5000 + b"}")
    assert reply.json()["code"] == 1801


def test_request_timeout(client: httpx.Client, imports: MemoryImports) -> None:
    go_on = threading.Event()
    imports.hold = go_on.wait
    reply = client.post(f"{V2}/create", json=CREATE, headers={"request-timeout": "1"})
    go_on.set()
    assert reply.status_code == 408
    assert reply.json() == {"code": 10001, "message": "request timeout"}


@pytest.mark.parametrize("value", ["soon", "", "-1", "0", "9" * 20])
def test_a_request_timeout_that_makes_no_sense_is_ignored(client: httpx.Client, value: str) -> None:
    assert client.post(f"{V2}/list", json={}, headers={"Request-Timeout": value}).json()["code"] == 0


def test_calls_beyond_the_threads_wait(client: httpx.Client, imports: MemoryImports) -> None:
    """Two threads are held; a third create that gives up before its turn is never worked on. Who only asks is
    answered all the while."""
    go_on, begun = threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        begun.release()
        go_on.wait()

    imports.hold = hold
    callers = [
        threading.Thread(target=client.post, args=(f"{V2}/create",), kwargs={"json": CREATE}) for _ in range(2)
    ]
    for caller in callers:
        caller.start()
        begun.acquire()
    assert client.post(f"{V2}/create", json=CREATE, headers={"Request-Timeout": "1"}).status_code == 408
    assert client.get("/openapi.json").status_code == 200
    assert client.post(f"{V2}/list", json={}).json()["code"] == 0
    assert client.post(f"{V2}/describe", json={"jobId": "1"}).json()["code"] == 2101
    assert client.get(f"{V1}/list", params={"clusterId": "in01-local"}).json()["code"] == 200
    go_on.set()
    for caller in callers:
        caller.join()
    assert len(imports.requests) == 2


def test_the_unexpected_is_logged_and_not_told(client: httpx.Client, imports: MemoryImports) -> None:
    for path, body, code in [(f"{V2}/create", CREATE, 65535), (V1, _v1_create(), 80000)]:
        imports.fault = RuntimeError("the secret ingredient")
        with structlog.testing.capture_logs() as logs:
            reply = client.post(path, json=body, headers={"x-request-id": "id-7"})
        assert reply.status_code == 500
        assert reply.json()["code"] == code
        assert "id-7" in reply.json()["message"]
        assert "secret" not in reply.text
        (line,) = [line for line in logs if line["event"] == "request.failed"]
        assert line["exc_info"]


def test_known_failures_are_told(client: httpx.Client, imports: MemoryImports) -> None:
    imports.fault = StorageUnavailable("the store does not answer")
    reply = client.post(f"{V2}/create", json=CREATE)
    assert (reply.status_code, reply.json()["message"]) == (200, "the store does not answer")


def test_request_ids(client: httpx.Client) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert re.fullmatch("[0-9a-f]{16}", client.get("/healthz").headers["x-request-id"])
    odd = client.get("/healthz", headers={"X-Request-Id": "a b\tc"}).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{16}", odd)


def test_one_log_line_per_request(client: httpx.Client) -> None:
    with structlog.testing.capture_logs() as logs:
        client.post(f"{V2}/describe", json={"jobId": "1"})
    (line,) = [line for line in logs if line["event"] == "request"]
    assert (line["method"], line["status"], line["code"]) == ("POST", 200, 2101)
    assert line["path"] == f"{V2}/describe"


def test_healthz(client: httpx.Client, tmp_path: Path) -> None:
    assert (client.get("/healthz").status_code, client.get("/healthz").json()) == (200, {"status": "ready"})
    with make_services(tmp_path, problem=lambda: "the catalog is away") as services, http_server(services) as address:
        reply = httpx.get(f"{address}/healthz")
    assert reply.status_code == 503
    assert reply.json() == {"status": "unavailable", "reason": "the catalog is away"}


def test_a_process_that_lives_and_cannot_work(tmp_path: Path) -> None:
    with make_services(tmp_path, problem=lambda: "the catalog is away") as services, http_server(services) as address:
        alive, ready = httpx.get(f"{address}/livez"), httpx.get(f"{address}/readyz")
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert (ready.status_code, ready.json()) == (503, {"status": "unavailable", "reason": "the catalog is away"})


def test_a_server_that_stops_is_not_ready(tmp_path: Path) -> None:
    with make_services(tmp_path) as services, closing(Calls(services.authentication, threads=1, timeout=5)) as calls:
        app = create_app(services, calls)

        async def statuses() -> list[tuple[int, str]]:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
                replies = [await client.get(path) for path in ("/readyz", "/healthz", "/livez")]
            return [(reply.status_code, reply.json()["status"]) for reply in replies]

        assert asyncio.run(statuses()) == [(200, "ready"), (200, "ready"), (200, "alive")]
        app.state.is_stopping = lambda: True
        assert asyncio.run(statuses()) == [(503, "stopping"), (200, "ready"), (200, "alive")]


def test_polls_are_not_in_the_log(client: httpx.Client) -> None:
    """At its default level, info: a poll that fails is there."""
    with structlog.testing.capture_logs() as logs:
        client.post(f"{V2}/list", json={})
        client.get("/livez")
        client.get("/readyz")
        client.post(f"{V2}/describe", json={"jobId": "1"})
        client.post(f"{V2}/create", json=CREATE)
    levels = [(line["path"], line["log_level"]) for line in logs if line["event"] == "request"]
    expected = [(f"{V2}/list", "debug"), ("/livez", "debug"), ("/readyz", "debug")]
    assert levels == [*expected, (f"{V2}/describe", "info"), (f"{V2}/create", "info")]


def test_metrics(client: httpx.Client) -> None:
    client.post(f"{V2}/list", json={})
    client.get("/made-up-by-somebody")
    text = client.get("/metrics").text
    assert f'penstock_http_requests_total{{code="0",method="POST",route="{V2}/list",status="200"}}' in text
    assert f'penstock_http_request_duration_seconds_count{{method="POST",route="{V2}/list"}}' in text
    assert 'route="unknown",status="404"' in text
    assert "made-up" not in text
    assert "process_resident_memory_bytes" in text


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_docs_need_no_other_host(client: httpx.Client, path: str) -> None:
    page = client.get(path).text
    linked = re.findall(r'(?:src|href|action)="([^"#]+)', page)
    assert linked
    for address in linked:
        assert re.match(r"/(?!/)", address), "of this server"
        assert client.get(address).status_code in (200, 303)


def test_the_openapi_document_is_one_that_the_docs_page_can_show(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    # Swagger UI 4 says "Unable to render this definition" of anything later.
    assert re.fullmatch(r"3\.0\.[0-3]", document["openapi"])
    schemathesis.openapi.from_dict(document).validate()


def test_the_openapi_document_describes_every_route(client: httpx.Client, services: Services) -> None:
    document = client.get("/openapi.json").json()
    calls = Calls(services.authentication, threads=1, timeout=1)
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    described = {(method, path) for method, path in described if method != "HEAD"}  # GET routes answer it, too
    served = {
        (method, route.path)
        for route in create_app(replace(services, registry=CollectorRegistry()), calls).routes
        if isinstance(route, StarletteRoute) and route.include_in_schema
        for method in route.methods or ()
        if method != "HEAD"
    }
    assert described == served
    for route in dialect_routes(services):
        shown = document["paths"][route.path][route.method.lower()]
        assert shown["summary"]
        about = route.operation
        assert set(about.required) <= about.body.keys() | about.query.keys() | about.headers.keys()


def test_the_docs_page_begins_with_imports_and_ends_with_what_is_not_served(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    tags = [each["name"] for each in document["tags"]]
    assert tags[:2] == ["import jobs (v1)", "import jobs (v2)"]
    assert tags[-2:] == ["server", "not served"]
    assert set(tags) == {
        tag for item in document["paths"].values() for shown in item.values() for tag in shown["tags"]
    }


def test_operation_ids_are_unique(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    ids = [shown["operationId"] for item in paths.values() for shown in item.values() if "operationId" in shown]
    assert len(ids) == len(set(ids))


def _v1_create() -> dict[str, str]:
    return {"clusterId": "in01-local", "collectionName": "docs", "objectUrl": "a.json"}

"""From requests to handlers and back: large answers go out in pieces, and what they hold is let go of."""

from __future__ import annotations

import asyncio
import weakref

import httpx
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route as StarletteRoute

from penstock.access.admission import Admission
from penstock.access.audit import NoAudit
from penstock.access.authentication import NoAuthentication
from penstock.server.calls import Calls
from penstock.server.http.endpoint import make_endpoint
from penstock.server.http.middleware import RequestLogMiddleware
from penstock.server.observability.http_metrics import HttpMetrics
from penstock.wire.http import Call, Operation, Reply, Route
from penstock.wire.zilliz_v1.dialect import ZillizV1
from tests.support.imports import MemoryClusters

LARGE = bytes(range(256)) * 12_289  # three pieces and a bit


class Thing:
    """Whatever an answer holds until it is sent."""


def test_a_large_answer_comes_whole_and_lets_go_of_what_it_held() -> None:
    seen: list[weakref.ref[Thing]] = []

    def handler(call: Call) -> Reply:
        thing = Thing()
        seen.append(weakref.ref(thing))
        return Reply(content=LARGE if call.body else b"small", held=thing)

    async def run() -> None:
        authentication = NoAuthentication()
        calls = Calls(authentication, threads=2, timeout=60)
        dialect = ZillizV1(
            Admission(authentication=authentication, clusters=MemoryClusters(), audit=NoAudit(), cluster_id="c")
        )
        route = Route(
            method="POST", path="/x", handler=handler, dialect=dialect, operation=Operation(summary="x", tag="x")
        )
        endpoint = make_endpoint([route], calls, max_body_bytes=100)
        app = Starlette(
            routes=[StarletteRoute("/x", endpoint, methods=["POST"])],
            middleware=[Middleware(RequestLogMiddleware, metrics=HttpMetrics(CollectorRegistry()))],
        )
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://penstock") as client:
            for body, content in ((b"{}", LARGE), (b"", b"small")):
                answer = await client.post("/x", content=body)
                assert answer.content == content
                assert answer.headers["content-length"] == str(len(content))
                for _ in range(2000):
                    if seen[-1]() is None:
                        break
                    await asyncio.sleep(0.01)  # the thread may still be leaving the handler
                assert seen[-1]() is None
        calls.close()

    asyncio.run(run())

"""From requests to handlers and back: large answers go out in pieces, and their reserved memory is released."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route as StarletteRoute

from penstock.access.admission import Admission
from penstock.access.audit import NoAudit
from penstock.access.authentication import NoAuthentication
from penstock.collections.result_memory import MAX_ANSWER_BYTES, ResultMemory
from penstock.server.calls import Calls
from penstock.server.http.endpoint import make_endpoint
from penstock.server.http.middleware import RequestLogMiddleware
from penstock.server.observability.http_metrics import HttpMetrics
from penstock.wire.http import Call, Operation, Reply, Route
from penstock.wire.zilliz_v1.dialect import ZillizV1
from tests.support.imports import MemoryClusters

LARGE = bytes(range(256)) * 12_289  # three pieces and a bit

Message = dict[str, Any]


class Answers:
    """A handler whose answers hold memory, once they ``may_end``; ``begun`` and ``taken`` count its calls."""

    def __init__(self, content: bytes = LARGE) -> None:
        self.memory = ResultMemory(wait=0)
        self.may_end = threading.Event()
        self.begun = self.taken = 0
        self._content = content

    def __call__(self, call: Call) -> Reply:
        self.begun += 1
        self.may_end.wait(60)
        held = self.memory.take("ann", MAX_ANSWER_BYTES) if call.query.get("held", "1") == "1" else None
        self.taken += 1
        return Reply(content=self._content, held=held)

    def is_released(self) -> bool:
        return not self.memory._taken


@contextmanager
def serving(handler: Answers, *, timeout: float = 60, read_only: bool = False) -> Iterator[Starlette]:
    authentication = NoAuthentication()
    calls = Calls(authentication, threads=2, timeout=timeout)
    dialect = ZillizV1(
        Admission(authentication=authentication, clusters=MemoryClusters(), audit=NoAudit(), cluster_id="c")
    )
    route = Route(
        method="GET",
        path="/x",
        handler=handler,
        dialect=dialect,
        operation=Operation(summary="x", tag="x"),
        read_only=read_only,
    )
    endpoint = make_endpoint([route], calls, max_body_bytes=100)
    try:
        yield Starlette(
            routes=[StarletteRoute("/x", endpoint, methods=["GET"])],
            middleware=[Middleware(RequestLogMiddleware, metrics=HttpMetrics(CollectorRegistry()))],
        )
    finally:
        handler.may_end.set()
        calls.close()


class Client:
    """One caller. ``may_send`` lets its answer go out; ``fails`` is raised at its second piece."""

    def __init__(self, query: str = "", fails: BaseException | None = None) -> None:
        self.messages: list[Message] = []
        self.may_send = asyncio.Event()
        self._fails = fails
        self._query = query

    async def call(self, app: Starlette) -> None:
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": "/x",
            "raw_path": b"/x",
            "query_string": self._query.encode(),
            "headers": [],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "scheme": "http",
        }
        await app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Any) -> None:
        await self.may_send.wait()
        self.messages.append(message)
        if self._fails is not None and len(self.messages) == 3:
            raise self._fails


async def until(is_so: Callable[[], bool]) -> None:
    """Threads and the loop need a moment."""
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("content", [LARGE, b"small"], ids=["large", "small"])
def test_an_answer_comes_whole_and_holds_memory_until_it_is_sent(content: bytes) -> None:
    async def run() -> None:
        answers, client = Answers(content), Client()
        answers.may_end.set()
        with serving(answers) as app:
            call = asyncio.create_task(client.call(app))
            await until(lambda: answers.taken == 1)
            await asyncio.sleep(0.05)
            assert not answers.is_released()
            client.may_send.set()
            await call
            assert answers.is_released()
        start, *pieces = client.messages
        assert b"".join(piece.get("body", b"") for piece in pieces) == content
        assert (b"content-length", str(len(content)).encode()) in start["headers"]

    asyncio.run(run())


@pytest.mark.parametrize("fails", [OSError("reset by peer"), asyncio.CancelledError()], ids=["gone", "cancelled"])
def test_memory_is_released_when_the_client_goes_in_the_middle(fails: BaseException) -> None:
    async def run() -> None:
        answers, client = Answers(), Client(fails=fails)
        answers.may_end.set()
        client.may_send.set()
        with serving(answers) as app:
            with pytest.raises(type(fails)):
                await client.call(app)
            assert answers.begun == 1
            assert answers.is_released()

    asyncio.run(run())


def test_memory_is_released_when_the_answer_comes_after_the_calls_timeout() -> None:
    async def run() -> None:
        answers, client = Answers(), Client()
        client.may_send.set()
        with serving(answers, timeout=0.2) as app:
            await client.call(app)
            assert client.messages[0]["status"] == 408
            assert not answers.taken
            answers.may_end.set()
            await until(lambda: answers.taken == 1)
            await until(answers.is_released)

    asyncio.run(run())


def test_memory_of_a_shared_answer_is_released_after_the_last_of_its_readers() -> None:
    async def run() -> None:
        answers = Answers()
        with serving(answers, read_only=True) as app:
            busy = [Client("held=0") for _ in range(2)]  # the two threads for reading
            calls = [asyncio.create_task(client.call(app)) for client in busy]
            await until(lambda: answers.begun == 2)
            readers = [Client() for _ in range(3)]
            reads = [asyncio.create_task(reader.call(app)) for reader in readers]
            await asyncio.sleep(0.05)
            answers.may_end.set()
            for client in busy:
                client.may_send.set()
            await asyncio.gather(*calls)
            await until(lambda: answers.taken == 3)
            for reader, read in zip(readers, reads, strict=True):
                assert not answers.is_released()
                reader.may_send.set()
                await read
            assert answers.is_released()
            assert answers.begun == 3

    asyncio.run(run())

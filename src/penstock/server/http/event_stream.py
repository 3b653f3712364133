"""Send server-sent events: wait for them in the event loop, with heartbeats, until the stream or the client ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from penstock.domain.deadline import DeadlineExceeded
from penstock.errors import PenstockError, Transient
from penstock.wire.http import Reply

HEARTBEAT_SECONDS = 15.0
"""Seconds without an event after which a comment is sent: proxies close connections that are silent for a minute."""
RENEWAL_SECONDS = 30.0
"""Seconds after which the caller's permission is checked again."""
RECONNECT_MILLIS = 1000
"""When a client connects again after the stream's end, as when the server stops."""

_HEADERS = {
    "cache-control": "no-store",
    "connection": "close",
    "x-accel-buffering": "no",  # nginx would hold the events back
}

_log = structlog.get_logger("penstock.http")


class EventStreamResponse(Response):
    """The events of a reply's stream, which is closed at the end.

    The network's backpressure applies: nothing is taken from the stream while the client doesn't read, and the
    protocol (:mod:`penstock.server.http.protocol`) disconnects a client that doesn't read for half a minute.
    ``renew`` checks the caller's permission again.
    """

    def __init__(self, reply: Reply, headers: dict[str, str], renew: Callable[[], Awaitable[None]]) -> None:
        super().__init__(b"", reply.status, headers | _HEADERS)
        del self.headers["content-length"]
        assert reply.stream is not None
        self._reply, self._stream, self._renew = reply, reply.stream, renew

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(ready.set)

        gone = asyncio.create_task(_wait_for_disconnect(receive))
        gone.add_done_callback(lambda _: ready.set())
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send(_chunk(b"retry: %d\n\n" % RECONNECT_MILLIS))
            self._stream.listen(wake)
            await self._send_events(ready, gone, send)
            if not gone.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            self._reply.release()

    async def _send_events(self, ready: asyncio.Event, gone: asyncio.Task[None], send: Send) -> None:
        clock = asyncio.get_running_loop().time
        renewal = clock() + RENEWAL_SECONDS
        while not gone.done():
            if clock() >= renewal:  # also where one event follows another
                if not await self._may_continue():
                    return
                renewal = clock() + RENEWAL_SECONDS
            ready.clear()
            is_over = self._stream.is_over
            if events := self._stream.take():
                await send(_chunk(events))
                continue
            if is_over:
                return
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await ready.wait()
            except TimeoutError:
                await send(_chunk(b":\n\n"))

    async def _may_continue(self) -> bool:
        try:
            await self._renew()
        except (PenstockError, DeadlineExceeded) as error:
            if isinstance(error, PenstockError) and not isinstance(error, Transient):
                _log.info("events.ended", reason=error.code)
                return False
            _log.warning("events.not_renewed", reason=str(error))
        return True


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _chunk(body: bytes) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}

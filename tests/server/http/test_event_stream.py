"""The response of an event stream: when the caller's permission is checked again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from penstock.errors import PermissionDenied
from penstock.server.http import event_stream
from penstock.wire.http import Reply


class BusyStream:
    """A stream with new events whenever it is asked."""

    is_over = False
    is_closed = False

    def listen(self, wake: Callable[[], None]) -> None:
        wake()

    def take(self) -> bytes:
        return b"data: 1\n\n"

    def renew(self) -> None: ...

    def close(self) -> None:
        self.is_closed = True


def test_a_revoked_permission_ends_a_stream_whose_events_follow_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "RENEWAL_SECONDS", 0.05)
    stream = BusyStream()
    sent: list[dict[str, Any]] = []

    async def renew() -> None:
        raise PermissionDenied("the role was revoked")

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)
        await asyncio.sleep(0.01)

    async def run() -> None:
        reply = Reply(content=b"", media_type="text/event-stream", stream=stream)
        async with asyncio.timeout(10):
            await event_stream.EventStreamResponse(reply, {}, renew)({"type": "http"}, receive, send)

    asyncio.run(run())
    assert stream.is_closed
    assert sent[2]["body"] == b"data: 1\n\n"
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}

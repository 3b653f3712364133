"""An HTTP response that is sent piece by piece, and says when it has been sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_SEND_BYTES = 1 << 20


class ChunkedResponse(Response):
    """An HTTP response sent in chunks, with backpressure: the next when the network has taken the one before.

    ``release`` is called once at the end, also where the client has gone: of whatever was held for the content.
    """

    def __init__(
        self,
        content: bytes,
        status: int,
        headers: Mapping[str, str],
        media_type: str | None = None,
        *,
        release: Callable[[], None],
    ) -> None:
        super().__init__(content, status, headers, media_type)
        self._release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._send(scope, receive, send)
        finally:
            self._release()

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self.body) <= _SEND_BYTES:
            await super().__call__(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        whole = memoryview(self.body)
        for start in range(0, len(whole), _SEND_BYTES):
            chunk, more = bytes(whole[start : start + _SEND_BYTES]), start + _SEND_BYTES < len(whole)
            await send({"type": "http.response.body", "body": chunk, "more_body": more})

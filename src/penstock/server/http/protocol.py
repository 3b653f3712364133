"""A connection as uvicorn serves it, with bounds on what a caller may send, and how slowly, before it is heard.

uvicorn bounds the time between two requests and leaves the rest to a proxy. There may be none before this server:
connections that say nothing or send a byte a minute are closed, heads (request line and headers) have a largest size,
and what two servers in a row could read in two ways is refused. Bodies are bounded where they are read, in
:mod:`penstock.server.http.endpoint`; what surrounds them (sizes of chunks, trailers) is bounded here, and what nobody
reads ends the connection with the answer.
"""

from __future__ import annotations

import asyncio
import resource
from asyncio.events import TimerHandle
from typing import Any, ClassVar

from starlette.responses import PlainTextResponse
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

__all__ = ["MAX_HEADERS", "MAX_HEAD_BYTES", "BoundedProtocol"]

MAX_HEAD_BYTES = 32 * 2**10
MAX_HEADERS = 100

_TEXTS = {
    400: "Bad Request: one Host header is wanted, and no header of those that say who calls or how may come twice",
    408: "Request Timeout: the headers took too long",
    431: f"Request Header Fields Too Large: at most {MAX_HEAD_BYTES} bytes and {MAX_HEADERS} headers are taken",
}
_CHUNK_BYTES = 24
"""What a chunk of a body may have beside its bytes: two ends of lines, and a size of up to sixteen digits."""
# Of these one server takes the first and another the last: a proxy must not let in what this server sees otherwise.
_ONCE = (b"host", b"authorization", b"content-length", b"transfer-encoding", b"db-name")


class BoundedProtocol(HttpToolsProtocol):
    """``head_seconds`` is the time for a whole head, ``idle_write_seconds`` for a caller to take of an answer that
    the network's buffers don't hold. ``most_connections`` is half of the files that the process may open, if None:
    the other half is for the catalog, the store and the sources."""

    head_seconds: ClassVar[float] = 15.0
    idle_write_seconds: ClassVar[float] = 30.0
    most_connections: ClassVar[int | None] = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head = True
        self._head_bytes = 0
        self._framing_bytes = 0
        self._head_timer: TimerHandle | None = None
        self._write_timer: TimerHandle | None = None
        self._open_cycles: list[RequestResponseCycle] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > (self.most_connections or _half_of_the_files()):
            self.logger.warning("Too many connections; one was refused.")
            transport.abort()
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._end_cycles()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        # The first byte ends the time between two requests; from then on the head's counts, whatever the bytes are.
        if self._head_timer is None and self._in_head and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()
        if self._in_head:
            self._head_bytes += len(data)
        else:
            self._framing_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431)
        elif not self._in_head and self._framing_bytes > MAX_HEAD_BYTES:
            self._abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # nobody asks for trailers, and they would be added to the headers
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._framing_bytes -= len(body) + _CHUNK_BYTES
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._stop_expecting()
        self._in_head = False
        status = self._fault()
        served = self.app
        if status is not None:
            self.app = PlainTextResponse(_TEXTS[status], status, {"connection": "close"})
        try:
            super().on_headers_complete()
        finally:
            self.app = served
        self._open_cycles = [cycle for cycle in self._open_cycles if not cycle.response_complete]
        if self.cycle is not None:
            self._open_cycles.append(self.cycle)

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head_bytes = self._framing_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._in_head and self.cycle.response_complete:
            self.transport.close()  # what is still to come of this request would take the connection for ever
        if self.transport.is_closing():
            self._expect_reading()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._expect_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def _fault(self) -> int | None:
        """The status with which a complete head is refused, if it is."""
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            return 431
        names = [name for name, _ in self.headers]
        if any(names.count(name) > 1 for name in _ONCE):
            return 400
        if b"host" not in names and self.parser.get_http_version() == "1.1":
            return 400
        return None

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._head_is_late)

    def _stop_expecting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        if self._head_bytes:
            self._refuse(408)
        else:
            self.transport.close()

    def _refuse(self, status: int) -> None:
        """Answer outside of any request, and close."""
        text = _TEXTS[status].encode()
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
            + b"content-length: %d\r\n\r\n%s" % (len(text), text)
        )
        self.transport.close()
        self._expect_reading()

    def _expect_reading(self) -> None:
        """What a caller doesn't take takes memory: after a while the connection is cut."""
        if self._write_timer is None and self.transport.get_write_buffer_size():
            self._write_timer = self.loop.call_later(self.idle_write_seconds, self._abort)

    def _abort(self) -> None:
        self._end_cycles()
        self.transport.abort()

    def _end_cycles(self) -> None:
        """Tell every request of the connection that its answer goes nowhere.

        uvicorn tells the last one only. Those before it would write to a closed transport, which raises, and those
        that wait behind others would still be begun.
        """
        for cycle in self._open_cycles:
            cycle.disconnected = not cycle.response_complete
            cycle.message_event.set()
        self._open_cycles.clear()
        self.pipeline.clear()


def _half_of_the_files() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft // 2

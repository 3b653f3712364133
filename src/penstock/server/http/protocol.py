"""uvicorn's HTTP protocol with limits on the size and the slowness of requests.

uvicorn bounds the time between two requests and leaves the rest to a proxy. This server may have none before it:
connections that send nothing or a byte a minute are closed, heads (request line and headers) have a maximum size, and
heads that a proxy and this server could read differently (request smuggling) are refused. Bodies are bounded where
they are read, in :mod:`penstock.server.http.endpoint`; their framing (sizes of chunks, trailers) is bounded here, and
an unread body closes the connection after the answer.
"""

from __future__ import annotations

import asyncio
import resource
from asyncio.events import TimerHandle
from typing import Any, ClassVar

from starlette.responses import PlainTextResponse
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

MAX_HEAD_BYTES = 32 * 2**10
MAX_HEADERS = 100

_TEXTS = {
    400: "Bad Request: exactly one Host header is required, and headers such as Authorization must not be repeated",
    408: "Request Timeout: the headers took too long",
    431: f"Request Header Fields Too Large: at most {MAX_HEAD_BYTES} bytes and {MAX_HEADERS} headers are allowed",
}
_CHUNK_BYTES = 24
"""Framing allowed per chunk of a body: two line ends, and a size of up to sixteen digits."""
# When repeated, one server uses the first and another the last: a proxy must not check other values than this one.
_ONCE = (b"host", b"authorization", b"content-length", b"transfer-encoding", b"db-name")


class BoundedProtocol(HttpToolsProtocol):
    """A connection with limits. ``head_seconds`` is the time for a whole head, ``idle_write_seconds`` the time for a
    client to read what the network's buffers don't hold. ``most_connections`` is half of the process's limit of open
    files, if None: the other half is for the catalog, the store and the sources."""

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
        if len(self.connections) > (self.most_connections or half_of_open_files()):
            self.logger.warning("Too many connections; one was rejected.")
            transport.abort()
            return
        self._start_head_timer()

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
            self._start_head_timer()
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
        if self._in_head:  # trailers are unused, and would be added to the headers
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._framing_bytes -= len(body) + _CHUNK_BYTES
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._stop_head_timer()
        self._in_head = False
        status = self._head_error()
        app = self.app
        if status is not None:
            self.app = PlainTextResponse(_TEXTS[status], status, {"connection": "close"})
        try:
            super().on_headers_complete()
        finally:
            self.app = app
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
            self.transport.close()  # the rest of this request's body could occupy the connection for ever
        if self.transport.is_closing():
            self._start_write_timer()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._start_write_timer()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_write_timer()

    def resume_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def _head_error(self) -> int | None:
        """The HTTP status for refusing a complete head, or None."""
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            return 431
        names = [name for name, _ in self.headers]
        if any(names.count(name) > 1 for name in _ONCE):
            return 400
        if b"host" not in names and self.parser.get_http_version() == "1.1":
            return 400
        return None

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._head_timed_out)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_timed_out(self) -> None:
        if self._head_bytes:
            self._refuse(408)
        else:
            self.transport.close()

    def _refuse(self, status: int) -> None:
        """Send an error outside of any request, and close."""
        text = _TEXTS[status].encode()
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
            + b"content-length: %d\r\n\r\n%s" % (len(text), text)
        )
        self.transport.close()
        self._start_write_timer()

    def _start_write_timer(self) -> None:
        """Abort the connection after a while if the client doesn't read: unread bytes occupy memory."""
        if self._write_timer is None and self.transport.get_write_buffer_size():
            self._write_timer = self.loop.call_later(self.idle_write_seconds, self._abort)

    def _abort(self) -> None:
        self._end_cycles()
        self.transport.abort()

    def _end_cycles(self) -> None:
        """Mark every request of the connection as disconnected.

        uvicorn marks the last one only. Those before it would write to a closed transport, which raises, and
        pipelined ones would still be begun.
        """
        for cycle in self._open_cycles:
            cycle.disconnected = not cycle.response_complete
            cycle.message_event.set()
        self._open_cycles.clear()
        self.pipeline.clear()


def half_of_open_files() -> int:
    """Half of the process's limit of open files: what connections may use."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft // 2

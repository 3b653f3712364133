"""Serve HTTP/1.1 and gRPC on one port: look at a connection's first bytes, and relay those of HTTP/2 to gRPC.

A client of HTTP/2 begins with a fixed preface, which no HTTP/1.1 request begins with. Connections without it are
handed to :class:`penstock.server.http.protocol.BoundedProtocol` and no longer looked at. Connections with it are
relayed, bytes unchanged and with backpressure both ways, to gRPC's own server on a Unix socket: it can't take over a
connection. TLS ends before that.

gRPC sees the relay's end of the Unix socket as its peer. That end is bound to a name with the client's address,
which :func:`address_of_peer` reads back.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio.events import TimerHandle
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import structlog
from uvicorn.server import ServerState

from penstock.server.http.protocol import BoundedProtocol, half_of_open_files

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_FILE_NAME = 64
"""Bytes of a socket's name in the relay's folder: a number, and an IPv6 address with the name of an interface."""
_FILES_PER_RELAY = 3
"""Open files of a relayed connection: the client's socket, and both ends of the Unix socket."""

_log = structlog.get_logger("penstock.grpc")


def address_of_peer(peer: str) -> str:
    """The client's address in the name that gRPC gives a peer: ``unix:/tmp/penstock-grpc-x/7-127.0.0.1``."""
    host, has_scope, scope = peer.rpartition("/")[2].partition("-")[2].partition("~")
    return host.replace("_", ":") + ("%" if has_scope else "") + scope


def _file_name(number: int, address: str) -> str:
    """A name with an address in it, of characters that gRPC doesn't escape."""
    host, has_scope, scope = address.partition("%")
    return f"{number:x}-" + host.replace(":", "_") + ("~" if has_scope else "") + scope


class Relay:
    """Relays connections to a gRPC server that listens on ``folder/grpc``. Only this user may enter the folder."""

    def __init__(self, folder: Path) -> None:
        self.socket_path = folder / "grpc"
        self.connections: set[object] = set()
        self._folder = folder
        self._numbers = count(1)

    @property
    def extra_files(self) -> int:
        """Open files beyond one per connection."""
        return len(self.connections) * (_FILES_PER_RELAY - 1)

    def connect(self, address: str) -> socket.socket:
        """Connect to the gRPC server in the name of a client's address.

        Raises:
            OSError: the server's backlog is full, or this process has no more open files.
        """
        upstream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        name = self._folder / _file_name(next(self._numbers), address)
        try:
            upstream.setblocking(False)
            upstream.bind(str(name))
            upstream.connect(str(self.socket_path))
        except OSError:
            upstream.close()
            raise
        finally:
            name.unlink(missing_ok=True)  # the socket keeps its name
        return upstream


class FirstBytesProtocol(asyncio.Protocol):
    """A connection with too few bytes so far to distinguish HTTP/1.1 from HTTP/2.

    Takes the arguments of uvicorn's protocols. The limits are those of ``http``: ``head_seconds`` is the time for the
    first bytes.
    """

    def __init__(
        self,
        *,
        config: Any,
        server_state: ServerState,
        app_state: dict[str, Any],
        relay: Relay,
        _loop: asyncio.AbstractEventLoop | None = None,
        http: type[BoundedProtocol] = BoundedProtocol,
    ) -> None:
        self._loop = _loop or asyncio.get_running_loop()
        self._make_http: Callable[[], BoundedProtocol] = lambda: http(
            config=config, server_state=server_state, app_state=app_state, _loop=_loop
        )
        self._http = http
        self._connections: set[Any] = server_state.connections
        self._relay = relay
        self._first = b""
        self._timer: TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        if self._too_many(1):
            transport.abort()
            return
        self._connections.add(self)
        self._timer = self._loop.call_later(self._http.head_seconds, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            return
        self._first += data
        if self._first.startswith(HTTP2_PREFACE):
            self._begin_relay(self._transport)
        elif not HTTP2_PREFACE.startswith(self._first):
            self._leave()
            http = self._make_http()
            self._transport.set_protocol(http)
            http.connection_made(self._transport)
            http.data_received(self._first)

    def shutdown(self) -> None:
        """Close: nothing was asked yet."""
        assert self._transport is not None
        self._transport.close()

    def _begin_relay(self, transport: asyncio.Transport) -> None:
        if self._too_many(_FILES_PER_RELAY - 1):
            transport.abort()
            return
        self._leave()
        client = _ClientEnd(transport, self._connections, self._relay, self._http.idle_write_seconds)
        transport.set_protocol(client)
        client.begin(self._first)

    def _too_many(self, files: int) -> bool:
        """Whether so many more open files are too many for connections; logs it."""
        limit = self._http.most_connections or half_of_open_files()
        if len(self._connections) + self._relay.extra_files + files <= limit:
            return False
        _log.warning("connection.refused", reason="too many connections", limit=limit)
        return True

    def _leave(self) -> None:
        self._connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()


class _End(asyncio.Protocol):
    """One end of a relayed connection: what it receives, the other sends."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._others_transport().write(data)

    def pause_writing(self) -> None:
        self._others_transport().pause_reading()

    def resume_writing(self) -> None:
        self._others_transport().resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None:
            self.other.close()

    def close(self) -> None:
        """Send what is buffered, then close: HTTP/2 knows no half-closed connections."""
        assert self.transport is not None
        self.transport.close()

    def _others_transport(self) -> asyncio.Transport:
        assert self.other is not None
        assert self.other.transport is not None
        return self.other.transport


class _ClientEnd(_End):
    """The client's end, which counts as a connection of uvicorn's until it is closed.

    ``idle_write_seconds`` is the time for a client to read what the network's buffers don't hold.
    """

    def __init__(
        self, transport: asyncio.Transport, connections: set[Any], relay: Relay, idle_write_seconds: float
    ) -> None:
        super().__init__()
        self.transport: asyncio.Transport = transport
        self._connections = connections
        self._relay = relay
        self._idle_write_seconds = idle_write_seconds
        self._write_timer: TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None
        connections.add(self)
        relay.connections.add(self)

    def begin(self, first: bytes) -> None:
        """Connect to the gRPC server, then send it these bytes and all that follow."""
        self.transport.pause_reading()
        self._opening = asyncio.get_running_loop().create_task(self._open(first))

    async def _open(self, first: bytes) -> None:
        client = self.transport.get_extra_info("peername")
        try:
            upstream = self._relay.connect(str(client[0]) if client else "")
        except OSError as error:
            _log.warning("connection.refused", reason="gRPC can't be reached", error=str(error))
            self.transport.abort()
            return
        end = _End()
        end.other = self
        await asyncio.get_running_loop().create_unix_connection(lambda: end, sock=upstream)
        self.other = end
        if self.transport.is_closing():
            end.close()
            return
        self._others_transport().write(first)
        self.transport.resume_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_write_timer()

    def resume_writing(self) -> None:
        self._stop_write_timer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._relay.connections.discard(self)
        self._stop_write_timer()
        super().connection_lost(exc)

    def close(self) -> None:
        super().close()
        if self.transport.get_write_buffer_size():
            self._start_write_timer()

    def shutdown(self) -> None:
        """Do nothing: the gRPC server closes its connections when their calls are answered."""

    def _start_write_timer(self) -> None:
        if self._write_timer is None:
            self._write_timer = asyncio.get_running_loop().call_later(self._idle_write_seconds, self.transport.abort)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

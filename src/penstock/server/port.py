"""The server of the listening port: uvicorn for HTTP, and gRPC's own for connections of HTTP/2."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.types import ASGIApp

from penstock.errors import InvalidParameter
from penstock.server.calls import Calls
from penstock.server.http.app import create_app
from penstock.server.http.protocol import BoundedProtocol
from penstock.server.services import Services
from penstock.settings import Settings

if TYPE_CHECKING:
    from penstock.server.grpc.server import GrpcServer

BACKLOG = 2048
# Longer than the five seconds between two requests of a polling client.
KEEP_ALIVE_SECONDS = 75
# A server prefers the first that a client offers too: with h2 first, clients of HTTP that could do both would choose
# HTTP/2, which is gRPC here. gRPC's clients offer nothing but h2.
_ALPN_PROTOCOLS = ("http/1.1", "h2")


class PortServer(uvicorn.Server):
    """A uvicorn server that starts and drains a gRPC server with itself.

    Without signal handlers: :func:`penstock.server.serve.serve` has them, to clean up after the last answer.
    """

    def __init__(
        self, config: uvicorn.Config, grpc: GrpcServer | None, end_streams: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(config)
        self._grpc = grpc
        self._end_streams = end_streams

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._grpc is not None:
            await self._grpc.start()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._end_streams()  # uvicorn waits for the ends of calls
        if self._grpc is None:
            await super().shutdown(sockets)
            return
        # At once: relayed connections end when gRPC is drained, and uvicorn waits for their end.
        grace = self.config.timeout_graceful_shutdown or 0
        await asyncio.gather(super().shutdown(sockets), self._grpc.stop(grace))


@contextmanager
def port_server(services: Services, calls: Calls) -> Iterator[PortServer]:
    """A server of HTTP and, where it is set so, gRPC; not yet started.

    Raises:
        InvalidParameter: certificate or key is invalid; gRPC has no place for its socket.
    """
    settings = services.settings
    app = create_app(services, calls)
    if not settings.grpc or settings.role == "worker":
        server = PortServer(_config(settings, app, BoundedProtocol), None, services.end_streams)
        app.state.is_stopping = lambda: server.should_exit
        yield server
        return
    # They are not loaded where they aren't needed: they take 20 MiB.
    from penstock.server.grpc.create import grpc_server
    from penstock.server.grpc.relay import FirstBytesProtocol

    with grpc_server(services, calls) as (grpc, relay):
        config = _config(settings, app, partial(FirstBytesProtocol, relay=relay))
        if config.ssl is not None:
            config.ssl.set_alpn_protocols(_ALPN_PROTOCOLS)
        server = PortServer(config, grpc, services.end_streams)
        app.state.is_stopping = lambda: server.should_exit
        yield server


def _config(settings: Settings, app: ASGIApp, make_protocol: Callable[..., asyncio.Protocol]) -> uvicorn.Config:
    protocol: Any = make_protocol  # uvicorn calls it; it need not be a class
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=round(settings.shutdown_grace) or 1,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        backlog=BACKLOG,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise InvalidParameter(
            f"--tls-cert {settings.tls_cert} and --tls-key {settings.tls_key} are not valid: {error}. "
            "Both must be PEM files, and the key must belong to the certificate",
        ) from error
    return config

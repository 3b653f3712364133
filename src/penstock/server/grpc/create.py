"""Create the gRPC server of a process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.errors import InvalidParameter
from penstock.server.calls import Calls
from penstock.server.grpc.methods import grpc_methods
from penstock.server.grpc.relay import MAX_FILE_NAME, Relay
from penstock.server.grpc.server import GrpcServer
from penstock.server.observability.grpc_metrics import GrpcMetrics
from penstock.server.services import Services

_MAX_SOCKET_PATH = 107
"""Bytes that Linux takes as the path of a Unix socket."""


@contextmanager
def grpc_server(services: Services, calls: Calls) -> Iterator[tuple[GrpcServer, Relay]]:
    """A gRPC server of the services, not yet started, and the relay to it, on sockets in a private folder.

    Raises:
        InvalidParameter: the folder of temporary files has too long a path, or can't be written.
    """
    with _socket_folder() as folder:
        relay = Relay(folder)
        server = GrpcServer(
            grpc_methods(services),
            calls,
            services.authentication,
            address=f"unix:{relay.socket_path}",
            metrics=GrpcMetrics(services.registry, lambda: len(relay.connections)),
            trace=services.trace_grpc,
            max_message_bytes=services.settings.max_body_bytes,
        )
        yield server, relay


@contextmanager
def _socket_folder() -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="penstock-")
    except OSError as error:
        raise InvalidParameter(
            f"no folder for gRPC's socket can be made: {error}. Set TMPDIR to a folder that can be written, or start "
            "with --no-grpc"
        ) from error
    with folder as path:
        if len(os.fsencode(path)) + 1 + MAX_FILE_NAME > _MAX_SOCKET_PATH:
            raise InvalidParameter(
                f"the path of gRPC's socket in {path} is too long. Set TMPDIR to a folder with a shorter path, such "
                "as /tmp, or start with --no-grpc"
            )
        yield Path(path)

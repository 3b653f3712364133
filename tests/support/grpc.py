"""A real server of HTTP and gRPC on one port, in a thread of the test, and calls to it without a client library.

::

    with grpc_port(services) as address, grpc.insecure_channel(address) as channel:
        call(channel, "ListDatabases").db_names
"""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc

from penstock.server.calls import Calls
from penstock.server.port import port_server
from penstock.server.services import Services
from penstock.wire.milvus_grpc.stubs import SERVICE, message_types

__all__ = ["call", "credentials", "grpc_port"]


@contextmanager
def grpc_port(services: Services) -> Iterator[str]:
    """The server's host and port."""
    settings = services.settings
    calls = Calls(services.authentication, threads=settings.request_threads, timeout=settings.request_timeout)
    with port_server(services, calls) as server, socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
            calls.close()


def call(
    channel: grpc.Channel,
    method: str,
    *,
    timeout: float | None = 30,
    secret: str = "",
    metadata: Mapping[str, str] | None = None,
    **fields: Any,
) -> Any:
    """The response of a method, whose request has these fields. ``secret`` is an API key or ``user:password``."""
    request_type, response_type = message_types(method)
    rpc: Any = channel.unary_unary(
        f"/{SERVICE}/{method}",
        request_serializer=request_type.SerializeToString,
        response_deserializer=response_type.FromString,
    )
    sent = [*(metadata or {}).items(), *credentials(secret)]
    return rpc(request_type(**fields), timeout=timeout, metadata=sent)


def credentials(secret: str) -> list[tuple[str, str]]:
    """The metadata by which clients of Milvus send a key or ``user:password``."""
    return [("authorization", base64.b64encode(secret.encode()).decode())] if secret else []

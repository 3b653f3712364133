"""Several servers behind one address: each call goes to the next of them.

::

    with penstock.Client("http://balanced", session=balanced_session([a.url, b.url])) as client: ...
    with grpc_balancer([a.url, b.url]) as url: MilvusClient(url)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit

import grpc
import requests
from requests.adapters import HTTPAdapter

__all__ = ["balanced_session", "grpc_balancer"]

_THREADS = 8
_LONGEST = 3600.0


def balanced_session(urls: Sequence[str]) -> requests.Session:
    """A session that sends each request to the next server, whatever its host and port are."""
    session = requests.Session()
    session.mount("http://", _Balancer(urls))
    return session


class _Balancer(HTTPAdapter):
    def __init__(self, urls: Sequence[str]) -> None:
        super().__init__()
        self._urls = cycle(urls)

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        url = urlsplit(str(request.url))
        request.url = url._replace(netloc=urlsplit(next(self._urls)).netloc).geturl()
        return super().send(request, *arguments, **options)


@contextmanager
def grpc_balancer(urls: Sequence[str]) -> Iterator[str]:
    """The address of a gRPC server that forwards each call to the next server."""
    with ExitStack() as stack:
        channels = [stack.enter_context(grpc.insecure_channel(urlsplit(url).netloc)) for url in urls]
        server = grpc.server(ThreadPoolExecutor(_THREADS), [_Forwarder(channels)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


class _Forwarder(grpc.GenericRpcHandler):
    def __init__(self, channels: Sequence[grpc.Channel]) -> None:
        self._channels = cycle(channels)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        method = str(handler_call_details.method)

        def forward(message: bytes, context: grpc.ServicerContext) -> bytes:
            metadata = [(key, value) for key, value in context.invocation_metadata() if not key.startswith("grpc-")]
            rpc: Any = next(self._channels).unary_unary(method)
            seconds = context.time_remaining()  # infinite for a call without a deadline
            answer: bytes = rpc(message, metadata=metadata, timeout=seconds if seconds < _LONGEST else None)
            return answer

        return grpc.unary_unary_rpc_method_handler(forward)

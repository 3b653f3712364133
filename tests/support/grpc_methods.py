"""Methods of the gRPC dialect without a port: a message in, a message out, with real services behind them.

::

    with make_services(tmp_path) as services:
        answer(services, "ListDatabases").db_names
"""

from __future__ import annotations

import base64
from typing import Any

from penstock.server.grpc.methods import grpc_methods
from penstock.server.services import Services
from penstock.wire.milvus_grpc.calls import GrpcCall
from penstock.wire.milvus_grpc.stubs import SERVICE, message_types

__all__ = ["answer"]


def answer(services: Services, method: str, *, secret: str = "", database: str = "", **fields: Any) -> Any:
    """The response of a method, whose request has these fields.

    ``secret`` is an API key or ``user:password``; ``database`` stands in the metadata, as clients send it. Exceptions
    become statuses as on the server.
    """
    request_type, response_type = message_types(method)
    metadata = {"dbname": database} if database else {}
    if secret:
        metadata["authorization"] = base64.b64encode(secret.encode()).decode()
    served = grpc_methods(services)[f"/{SERVICE}/{method}"]
    try:
        reply = served.handler(GrpcCall(message=request_type(**fields).SerializeToString(), metadata=metadata))
    except Exception as error:  # noqa: BLE001 - as the server, which answers all of them
        reply = served.failure(error, "r1")
    assert reply.status == "OK", (reply.status, reply.details)
    return response_type.FromString(reply.content)

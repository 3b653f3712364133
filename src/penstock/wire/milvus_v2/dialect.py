"""The envelope of the Milvus v2 dialect, and how to add a route to it.

A handler takes a :class:`Request` and returns what belongs under ``data``::

    def routes(databases: Databases, v2: MilvusV2) -> tuple[Route, ...]:
        def describe(request: Request) -> object:
            found = databases.get(request.cluster_id, request.fields.required_string("dbName"))
            return {"dbName": found.name, "dbID": found.id}

        return (
            v2.post("/databases/describe", describe, struct="DatabaseReqWithProperties",
                    operation=Operation(summary="Describe a database", tag="databases",
                                        body={"dbName": {"type": "string"}}, required=["dbName"])),
        )

Whatever the handler raises is spelled by the table in :mod:`penstock.wire.milvus_v2.errors`. Keys beside ``data``
(``cost``, ``message``) go out by returning an :class:`Answer`. Then name the module in ``penstock.server.routes``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.errors import PenstockError
from penstock.wire.body import Fields, parse_object, whole_number
from penstock.wire.http import Call, CallTimeout, Operation, Reply, Route, json_reply
from penstock.wire.milvus_v2 import errors

__all__ = ["PREFIX", "Answer", "MilvusV2", "Request"]

PREFIX = "/v2/vectordb"
DEFAULT_DATABASE = "default"
MAX_TIMEOUT = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call of this dialect, its body decoded. ``cluster_id`` is the server's own cluster."""

    call: Call
    fields: Fields
    cluster_id: str

    @property
    def database_header(self) -> str | None:
        return self.call.headers.get("db-name") or None

    @property
    def database(self) -> str:
        """The body's ``dbName``, else the header ``DB-Name``, else ``default``."""
        return self.fields.string("dbName") or self.database_header or DEFAULT_DATABASE


@dataclass(frozen=True, slots=True)
class Answer:
    """``data`` with further keys beside it."""

    data: Any
    beside: Mapping[str, Any] = field(default_factory=dict)


Handler = Callable[[Request], object]


class MilvusV2:
    """The dialect: its routes' prefix, envelope, error numbers and headers.

    ``success_code`` is 0, or 200 as Milvus 2.4.0 to 2.4.2 sent.
    """

    def __init__(self, *, success_code: int = errors.SUCCESS, cluster_id: str) -> None:
        self.success_code = success_code
        self.cluster_id = cluster_id

    def post(self, action: str, handler: Handler, *, struct: str, operation: Operation) -> Route:
        """A route ``POST /v2/vectordb{action}`` whose JSON body must be an object (``{}`` at least).

        ``struct`` is the Go type that error texts name.
        """

        def handle(call: Call) -> Reply:
            fields = parse_object(call.body, struct)
            return self.success(handler(Request(call=call, fields=fields, cluster_id=self.cluster_id)))

        return Route(method="POST", path=PREFIX + action, handler=handle, dialect=self, operation=operation)

    def success(self, result: object) -> Reply:
        """``None`` becomes ``{}``; a :class:`Reply` goes out as it is."""
        if isinstance(result, Reply):
            return result
        answer = result if isinstance(result, Answer) else Answer(result)
        data = {} if answer.data is None else answer.data
        return json_reply({"code": self.success_code, "data": data, **answer.beside})

    def failure(
        self,
        error: Exception,
        request_id: str = "",
        table: Mapping[type[PenstockError], errors.ErrorRow] = errors.MILVUS,
    ) -> Reply:
        if isinstance(error, CallTimeout):
            return json_reply({"code": errors.TIMEOUT, "message": "request timeout"}, status=408)
        if not isinstance(error, PenstockError):
            text = f"internal error; the server's log tells more under request id {request_id}"
            return json_reply({"code": errors.INTERNAL, "message": text}, status=500)
        code, text = errors.code_and_text(error, table)
        return json_reply({"code": code, "message": text})

    def timeout(self, call: Call) -> float | None:
        """Whole seconds from the header ``Request-Timeout``, a day at most; anything else in it is ignored."""
        seconds = whole_number(call.headers.get("request-timeout"))
        return float(min(seconds, MAX_TIMEOUT)) if seconds is not None and seconds > 0 else None

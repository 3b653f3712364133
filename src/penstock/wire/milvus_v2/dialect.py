"""The envelope of the Milvus v2 dialect, and how to add a route to it.

A handler takes a :class:`Request` and returns the value of ``data``::

    def routes(databases: Databases, v2: MilvusV2) -> tuple[Route, ...]:
        def describe(request: Request) -> object:
            database = databases.get(request.cluster_id, request.fields.required_string("dbName"))
            return {"dbName": database.name, "dbID": database.id}

        return (
            v2.post("/databases/describe", describe, struct="DatabaseReqWithProperties", role=Role.READER,
                    operation=Operation(summary="Describe a database", tag="databases",
                                        body={"dbName": {"type": "string"}}, required=["dbName"])),
        )

Exceptions of the handler are rendered by the table in :mod:`penstock.wire.milvus.errors`. To send keys next to
``data`` (``cost``, ``message``), return an :class:`Answer`. Then register the module in
``penstock.server.http.routes``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.access.admission import Admission
from penstock.collections.result_memory import MemoryReservation, release_on_error
from penstock.domain.access import Caller, Role
from penstock.domain.collections import Cluster
from penstock.domain.deadline import DeadlineExceeded
from penstock.domain.names import DEFAULT_DATABASE
from penstock.domain.parameter_values import whole_number
from penstock.errors import PenstockError
from penstock.wire.call_names import call_names
from penstock.wire.decoding import Fields, parse_object
from penstock.wire.http import Call, Operation, Reply, Route, json_reply
from penstock.wire.milvus import errors

PREFIX = "/v2/vectordb"
MAX_TIMEOUT = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call of this dialect, with decoded body, cluster and caller."""

    call: Call
    fields: Fields
    cluster: Cluster
    caller: Caller

    @property
    def cluster_id(self) -> str:
        return self.cluster.id

    @property
    def database_header(self) -> str | None:
        return self.call.headers.get("db-name") or None

    @property
    def database(self) -> str:
        """The body's ``dbName``, else the header ``DB-Name``, else ``default``."""
        return self.fields.string("dbName") or self.database_header or DEFAULT_DATABASE

    @property
    def qualified_name(self) -> tuple[str, str, str]:
        """The cluster's id, the database and the required ``collectionName``."""
        return self.cluster_id, self.database, self.fields.required_string("collectionName")


@dataclass(frozen=True, slots=True)
class Answer:
    """``data`` and further top-level keys; ``held`` as in :class:`penstock.wire.http.Reply`."""

    data: Any
    extra: Mapping[str, Any] = field(default_factory=dict)
    held: MemoryReservation | None = None


Handler = Callable[[Request], object]


class MilvusV2:
    """The dialect: its routes' prefix, envelope, error numbers and headers.

    ``success_code`` is 0, or 200 as Milvus 2.4.0 to 2.4.2 sent. ``error_table`` has the numbers and texts of errors.
    """

    def __init__(
        self,
        admission: Admission,
        *,
        success_code: int = errors.SUCCESS,
        error_table: Mapping[type[PenstockError], errors.ErrorRow] = errors.MILVUS,
    ) -> None:
        self.admission = admission
        self.success_code = success_code
        self.error_table = error_table

    def with_errors(self, error_table: Mapping[type[PenstockError], errors.ErrorRow]) -> MilvusV2:
        """The same dialect with other numbers and texts of errors."""
        return MilvusV2(self.admission, success_code=self.success_code, error_table=error_table)

    @property
    def statuses(self) -> Mapping[int, str]:
        return {
            401: "Missing or invalid credentials.",
            403: "The caller lacks the required role.",
            408: "The call timed out.",
            429: "Too many wrong credentials from this address.",
            500: "Internal error.",
        }

    def post(
        self,
        action: str,
        handler: Handler,
        *,
        struct: str,
        operation: Operation,
        role: Role | None,
        whole_cluster: bool = False,
    ) -> Route:
        """Create a route ``POST /v2/vectordb{action}`` whose JSON body must be an object (``{}`` at least).

        ``struct`` is the Go type that error texts name. ``role`` is required of the caller in the request's database,
        or with ``whole_cluster`` in the cluster; with None the handler does its own authorization.
        """

        def handle(call: Call) -> Reply:
            with self.admission.call(
                action_of(action), authorization=call.authorization, address=call.address
            ) as admitted:
                fields = parse_object(call.body, struct)
                admitted.names = call_names(fields)
                cluster = admitted.enter(fields.string("clusterId"))
                request = Request(call=call, fields=fields, cluster=cluster, caller=admitted.caller)
                admitted.authorize(role, None if whole_cluster else request.database)
                return self.success(handler(request))

        return Route(method="POST", path=PREFIX + action, handler=handle, dialect=self, operation=operation)

    def success(self, result: object) -> Reply:
        """Wrap a handler's result. ``None`` becomes ``{}``; a :class:`Reply` is sent unchanged."""
        if isinstance(result, Reply):
            return result
        answer = result if isinstance(result, Answer) else Answer(result)
        data = {} if answer.data is None else answer.data
        with release_on_error(answer.held):
            return json_reply({"code": self.success_code, "data": data, **answer.extra}, held=answer.held)

    def failure(
        self,
        error: Exception,
        request_id: str = "",
        table: Mapping[type[PenstockError], errors.ErrorRow] | None = None,
    ) -> Reply:
        """Render an error; ``table`` replaces the dialect's own."""
        table = self.error_table if table is None else table
        if isinstance(error, DeadlineExceeded):
            return json_reply({"code": errors.TIMEOUT, "message": "request timeout"}, status=408)
        if not isinstance(error, PenstockError):
            text = f"internal error; the server's log has the details under request id {request_id}"
            return json_reply({"code": errors.INTERNAL, "message": text}, status=500)
        code, text = errors.code_and_text(error, table)
        return json_reply({"code": code, "message": text}, status=errors.status_of(error, table), error=error)

    def timeout(self, call: Call) -> float | None:
        """Whole seconds of the header ``Request-Timeout``, a day at most; other values are ignored."""
        seconds = whole_number(call.headers.get("request-timeout"))
        return float(min(seconds, MAX_TIMEOUT)) if seconds is not None and seconds > 0 else None


def action_of(path: str) -> str:
    """The audit log's action of a route: ``collection.drop`` of ``/collections/drop``."""
    *words, verb = path.strip("/").split("/")
    nouns = [re.sub(r"e?s\Z" if word in ("indexes", "aliases") else r"s\Z", "", word) for word in words]
    nouns = [re.sub(r"ie\Z", "y", noun) for noun in nouns]
    return ".".join([*nouns, verb])

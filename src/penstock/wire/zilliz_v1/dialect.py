"""The envelope of the Zilliz Cloud v1 dialect: ``code`` 200 with ``data``, or another ``code`` with ``message``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.access.admission import Admission
from penstock.domain.deadline import DeadlineExceeded
from penstock.errors import PenstockError
from penstock.wire.http import Call, Reply, json_reply
from penstock.wire.zilliz_v1 import errors

PREFIX = "/v1/vector/collections"
SUCCESS = 200


class ZillizV1:
    """Envelope and errors of the v1 routes. Errors have HTTP 200, as clients drop the body of other statuses."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission

    @property
    def statuses(self) -> Mapping[int, str]:
        return {408: "The call timed out.", 500: "Internal error."}

    def success(self, data: dict[str, Any]) -> Reply:
        return json_reply({"code": SUCCESS, "data": data})

    def failure(self, error: Exception, request_id: str) -> Reply:
        if isinstance(error, DeadlineExceeded):
            text = errors.TEXTS[errors.UNAVAILABLE].format("The call timed out.")
            return json_reply({"code": errors.UNAVAILABLE, "message": text}, status=408)
        if not isinstance(error, PenstockError):
            text = f"Internal error; the server's log has the details under request id {request_id}"
            return json_reply({"code": errors.INTERNAL, "message": text}, status=500)
        code, text = errors.code_and_text(error)
        return json_reply({"code": code, "message": text}, error=error)

    def timeout(self, call: Call) -> float | None:
        """None: this dialect has no header for it."""
        return None

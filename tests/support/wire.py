"""A client of a running server, for tests that look at the bodies of both dialects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.imports import MemoryImports

__all__ = ["V1", "V2", "Server"]

V1 = "/v1/vector/collections/import"
V2 = "/v2/vectordb/jobs/import"


@dataclass(frozen=True)
class Server:
    """A running server, its import service, and a client for it."""

    imports: MemoryImports
    client: httpx.Client
    success_code: int

    def v1_get(self, action: str, **query: object) -> dict[str, Any]:
        reply = self.client.get(f"{V1}/{action}", params={k: str(v) for k, v in query.items()})
        return _body(reply)

    def v1_create(self, body: Mapping[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
        return _body(self.client.post(V1, json=body, headers=headers))

    def v2(self, action: str, body: Mapping[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
        return _body(self.client.post(f"{V2}/{action}", json=body, headers=headers))


def _body(reply: httpx.Response) -> dict[str, Any]:
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    body = reply.json()
    assert isinstance(body, dict)
    assert type(body["code"]) is int
    assert ("data" in body) != ("message" in body)
    return body

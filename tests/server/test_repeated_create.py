"""The header Idempotency-Key, over HTTP, in both dialects."""

from __future__ import annotations

from collections.abc import Mapping

import requests

from tests.support.servers import RunningServer

V2 = "/v2/vectordb/jobs/import/create"
V1 = "/v1/vector/collections/import"


def create(server: RunningServer, path: str, body: Mapping[str, object], key: str) -> dict[str, object]:
    answer = requests.post(server.url + path, json=body, headers={"Idempotency-Key": key}, timeout=30)
    found: dict[str, object] = answer.json()
    return found


def test_one_key_makes_one_job_in_both_dialects(server: RunningServer) -> None:
    (server.import_root / "repeated.jsonl").write_text('{"id": 1, "vector": [1, 2]}\n')
    with server.client() as client:
        client.collections.create("repeated", dimension=2)
    v2 = {"collectionName": "repeated", "files": [["repeated.jsonl"]]}
    v1 = {"clusterId": "in01-local", "collectionName": "repeated", "objectUrl": "repeated.jsonl"}
    first = create(server, V2, v2, "one")
    assert first["code"] == 0
    assert create(server, V2, v2, "one") == first
    assert create(server, V1, v1, "one") == {"code": 200, "data": first["data"]}
    assert create(server, V2, v2, "two")["data"] != first["data"]
    refused = create(server, V2, v2 | {"options": {"timeout": "5m"}}, "one")
    assert refused["code"] == 1100
    assert "belongs to job" in str(refused["message"])
    assert create(server, V1, v1 | {"partitionName": "_default"}, "one")["code"] == 80000
    for key in ("", "x" * 257):
        assert create(server, V2, v2, key)["code"] == 1100
    with server.client() as client:
        assert len(list(client.imports.list("repeated"))) == 2

"""``ttlSeconds`` with a real server: no call shows expired rows, also after a kill."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx

from tests.support.servers import RunningServer, running_server

TTL = 3


class Calls:
    def __init__(self, server: RunningServer) -> None:
        self._url = f"{server.url}/v2/vectordb"

    def __call__(self, action: str, **body: Any) -> Any:
        answer = httpx.post(f"{self._url}/{action}", json=body, timeout=30).json()
        assert answer["code"] == 0, answer
        return answer["data"]

    def imported(self, collection: str, name: str) -> float:
        """Import a file; the time at which its rows had been visible for a moment at most."""
        job = self("jobs/import/create", collectionName=collection, files=[[name]])["jobId"]
        while (state := self("jobs/import/describe", jobId=job))["state"] != "Completed":
            assert state["state"] != "Failed", state
            time.sleep(0.02)
        return time.monotonic()

    def ids(self, collection: str) -> dict[str, list[int]]:
        """The rows that each way of reading finds."""
        target = {"collectionName": collection, "outputFields": ["id"]}
        found = {
            "query": self("entities/query", **target, filter="id >= 0"),
            "page": self("entities/query", **target, limit=100),
            "get": self("entities/get", **target, id=list(range(8))),
            "search": self("entities/search", **target, data=[[1, 0]], limit=100),
            "hybrid": self("entities/hybrid_search", **target, search=[{"data": [[1, 0]], "limit": 100}], limit=100),
        }
        return {call: sorted(int(row["id"]) for row in rows) for call, rows in found.items()}

    def counts(self, collection: str) -> list[int]:
        target = {"collectionName": collection}
        count = self("entities/query", **target, outputFields=["count(*)"])[0]["count(*)"]
        stats = self("collections/get_stats", **target)["rowCount"]
        partition = self("partitions/get_stats", **target, partitionName="_default")["rowCount"]
        index = self("indexes/describe", **target, indexName="vector")[0]["totalRows"]
        return [int(rows) for rows in (count, stats, partition, index)]


def all_found(ids: list[int]) -> dict[str, list[int]]:
    return dict.fromkeys(("query", "page", "get", "search", "hybrid"), ids)


def test_no_call_shows_expired_rows_also_after_a_kill(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for name, first in (("a", 0), ("b", 4)):
        rows = [{"id": first + row, "vector": [1, row]} for row in range(4)]
        (files / f"{name}.json").write_text(json.dumps(rows))
    with running_server(tmp_path, forked=True) as server:
        call = Calls(server)
        for name, params in (("docs", {"ttlSeconds": TTL}), ("kept", {"ttlSeconds": 0})):
            call("collections/create", collectionName=name, dimension=2, params=params)
        call.imported("kept", "a.json")
        committed = call.imported("docs", "a.json")
        assert call.ids("docs") == all_found([0, 1, 2, 3])
        assert call.counts("docs") == [4] * 4
        time.sleep(TTL - (time.monotonic() - committed))
        assert call.ids("docs") == all_found([])
        assert call.counts("docs") == [0] * 4
        committed = call.imported("docs", "b.json")
        assert call.ids("docs") == all_found([4, 5, 6, 7])
        server.kill()
    with running_server(tmp_path, forked=True) as server:
        call = Calls(server)
        time.sleep(max(0.0, TTL - (time.monotonic() - committed)))
        assert call.ids("docs") == all_found([])
        assert call.counts("docs") == [0] * 4
        assert call.ids("kept") == all_found([0, 1, 2, 3])
        assert call.counts("kept") == [4] * 4

"""Penstock through its HTTP API: a server of its own for each measurement."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import requests

from benchmarks.peers.base import Outcome, SearchOutcome, SearchTask, Task, measure_step
from benchmarks.peers.data import FILES, DataSet
from benchmarks.peers.program import OWN, installed_versions, measure_searches, running_program
from penstock import Client
from penstock.version import DISTRIBUTION
from tests.support.servers import running_server

__all__ = ["Penstock"]

POLL = 0.02
SEARCHES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Penstock:
    """``flags`` are those of ``penstock serve``; with ``searches`` the time of a search is measured at the end.

    The state of a job is asked for every ``poll`` seconds, which takes the server some 2 ms of processor time.
    """

    title: str
    does: str
    flags: tuple[str, ...] = ()
    searches: bool = False
    poll: float = POLL
    formats: frozenset[str] = frozenset({"parquet", "json", "jsonl", "csv", "npy"})
    indexes: bool = True

    def versions(self) -> Mapping[str, str]:
        return installed_versions(OWN, (DISTRIBUTION, "pylance"))

    def measure(self, task: Task) -> Outcome:
        rows = task.data.rows
        with (
            running_server(task.folder, "--import-root", str(FILES), *self.flags, workers=None) as server,
            server.client(timeout=600) as client,
        ):
            pid = server.process.pid
            _create(client, "warm", task.data.dim)
            _import(client, self.poll, "warm", task.data.warm, task.data.warm)
            _create(client, "data", task.data.dim)
            load = measure_step(lambda: _import(client, self.poll, "data", task.data), rows, pid)
            index = measure_step(lambda: _index(server.url), rows, pid) if task.index else None
            search_ms = _search_ms(client, task.data.dim) if self.searches else None
            return Outcome(load=load, index=index, search_ms=search_ms)

    def measure_searches(self, task: SearchTask) -> SearchOutcome:
        """By the client of Milvus 2.3, over gRPC, as Milvus is measured."""
        with (
            running_server(task.folder, "--import-root", str(FILES), *self.flags, workers=None) as server,
            running_program("milvus", "milvus", task, {"uri": server.url}) as program,
        ):
            return measure_searches(program, task, server.process.pid, program.process.pid)


def _create(client: Client, name: str, dim: int) -> None:
    fields = [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": dim}},
    ]
    client.collections.create(name, schema={"fields": fields})


def _import(client: Client, poll: float, name: str, *data: DataSet) -> int:
    """From the create call until the job is Completed and the collection counts its rows."""
    paths = [f"{item.path}/" if item.path.is_dir() else str(item.path) for item in data]
    client.imports.wait(client.imports.create(name, paths), poll=poll)
    return client.count(name)


def _index(url: str) -> int:
    """Ask for an index, wait until no row is outside of it."""
    _post(url, "create", {"indexParams": [{"fieldName": "vector", "metricType": "L2", "indexName": "vector"}]})
    while True:
        index = _post(url, "describe", {"indexName": "vector"})["data"][0]
        if index["pendingRows"] == 0:
            return int(index["totalRows"])
        time.sleep(POLL)


def _post(url: str, call: str, body: Mapping[str, Any]) -> Any:
    answer = requests.post(f"{url}/v2/vectordb/indexes/{call}", json={"collectionName": "data", **body}, timeout=60)
    answer.raise_for_status()
    told = answer.json()
    if told["code"]:
        raise RuntimeError(f"indexes/{call}: {told}")
    return told


def _search_ms(client: Client, dim: int) -> float:
    """The median time of a search for the ten nearest rows."""
    times = []
    for vector in np.random.default_rng(7).random((SEARCHES, dim), dtype=np.float32):
        start = time.perf_counter()
        client.search("data", [vector], limit=10)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)

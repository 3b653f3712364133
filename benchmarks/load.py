"""Many small calls on loopback while imports run, and the most calls a second that the server answers.

::

    python -m benchmarks.load                  # 200 clients for a minute, then the saturation test
    python -m benchmarks.load --seconds 10 --clients 50 --saturation 0

Each client makes one call a second: create, list and describe in turn. A call's time counts from when it was due, so
that a server which stalls does not look better by slowing its clients. All clients are in this one process and speak
plain HTTP/1.1 on connections that stay open; their own time is part of what is measured.

All of them list the same page, as people do who watch the same jobs; where such calls wait, the server answers them
together. With ``--own-lists`` no two of them ask the same.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil

from benchmarks.files import write_jsonl
from benchmarks.machine import describe_machine
from penstock import Client
from tests.support.servers import RunningServer, running_server

PREFIX = "/v2/vectordb/jobs/import"
PAGE = 100
# A job that is still at its work when the minute is over: the same file again and again.
REPEATED = 300
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
KINDS = ("create", "list", "describe")
OWN_LIST = "own list"
"""A list call that differs from all others."""


@dataclass
class Tally:
    """Times by kind of call, in seconds, and what went wrong."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)

    @property
    def calls(self) -> int:
        return sum(map(len, self.seconds.values()))


class Connection:
    """One connection that stays open."""

    def __init__(self, url: str) -> None:
        self._host, self._port = urlsplit(url).hostname, urlsplit(url).port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: object) -> bytes:
        """The answer, which says that all is well. Raises OSError, ValueError, asyncio.IncompleteReadError."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, limit=1 << 24)
        reader, writer = self._streams
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        answer_head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(answer_head)
        answer = await reader.readexactly(int(length[1]) if length else 0)
        if not answer_head.startswith(b"HTTP/1.1 200 ") or not answer.startswith(b'{"code":0,'):
            raise ValueError(f"{answer_head!r} {answer[:200]!r}")
        return answer

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


class Caller:
    """Makes calls of each kind; ``jobs`` are the ids that describe calls ask for. No two callers ask alike."""

    def __init__(self, url: str, jobs: list[str], tally: Tally, number: int) -> None:
        self._connection = Connection(url)
        self._jobs = jobs
        self._tally = tally
        self._numbers = itertools.count(number)

    async def call(self, kind: str, due: float) -> None:
        try:
            await self._make(kind)
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            self._tally.errors.append(f"{kind}: {type(error).__name__}: {error}")
        self._tally.seconds[kind].append(time.perf_counter() - due)

    async def _make(self, kind: str) -> None:
        body: dict[str, object]
        if kind == "create":
            body = {"collectionName": "small", "files": [["small.jsonl"]]}
            answer = await self._connection.post(f"{PREFIX}/create", body)
            self._jobs.append(json.loads(answer)["data"]["jobId"])
        elif kind in ("list", OWN_LIST):
            body = {"clusterId": "in01-local", "pageSize": PAGE, "currentPage": 1}
            if kind == OWN_LIST:
                body["call"] = f"{id(self)}-{next(self._numbers)}"  # a key that says nothing to the server
            await self._connection.post(f"{PREFIX}/list", body)
        else:
            job = self._jobs[(next(self._numbers) * 7919) % len(self._jobs)]
            await self._connection.post(f"{PREFIX}/describe", {"jobId": job})

    def close(self) -> None:
        self._connection.close()


async def steady(url: str, jobs: list[str], kinds: tuple[str, ...], clients: int, seconds: float) -> Tally:
    """``clients`` callers, one call a second each, spread evenly over the second."""
    tally = Tally()
    begun = time.perf_counter() + 0.5

    async def client(number: int) -> None:
        caller = Caller(url, jobs, tally, number)
        for second in range(int(seconds)):
            due = begun + second + number / clients
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await caller.call(kinds[(number + second) % len(kinds)], due)
        caller.close()

    await asyncio.gather(*map(client, range(clients)))
    return tally


async def saturated(url: str, jobs: list[str], kinds: tuple[str, ...], seconds: float, connections: int) -> Tally:
    """``connections`` callers, each making its next call when it has the answer to the last one."""
    tally = Tally()
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        caller = Caller(url, jobs, tally, number)
        for kind in itertools.islice(itertools.cycle(kinds), number % len(kinds), None):
            now = time.perf_counter()
            if now >= end:
                break
            await caller.call(kind, now)
        caller.close()

    await asyncio.gather(*map(client, range(connections)))
    return tally


async def memory_of(pid: int, samples: list[float]) -> None:
    """Append the process's memory in MiB every second, until cancelled."""
    process = psutil.Process(pid)
    while True:
        samples.append(process.memory_info().rss / 2**20)
        await asyncio.sleep(1)


def show(tally: Tally, seconds: float) -> None:
    print(f"  {tally.calls:,} calls in {seconds:.0f} s ({tally.calls / seconds:,.0f}/s), {len(tally.errors)} errors")
    for kind, times in sorted(tally.seconds.items()):
        middle, late, worst = (1000 * each for each in np.percentile(times, [50, 99, 100]))
        print(f"  {kind:<9} p50 {middle:6.1f} ms   p99 {late:6.1f} ms   max {worst:6.1f} ms   {len(times):,} calls")
    for text in tally.errors[:3]:
        print(f"  error: {text[:200]}")


def start_imports(client: Client, path: Path) -> Iterator[str]:
    """Two jobs that go on for minutes."""
    for name in ("first", "second"):
        client.collections.create(name, dimension=768)
        yield client.imports.create(name, [[path.name]] * REPEATED).id


async def under_load(
    server: RunningServer, jobs: list[str], kinds: tuple[str, ...], clients: int, seconds: float
) -> None:
    samples: list[float] = []
    process = psutil.Process(server.process.pid)
    before = _used(process)
    watcher = asyncio.create_task(memory_of(server.process.pid, samples))
    tally = await steady(server.url, jobs, kinds, clients, seconds)
    watcher.cancel()
    with suppress(asyncio.CancelledError):
        await watcher
    print(f"{clients} clients, a call a second each, while two imports run; a list page has {PAGE} jobs:")
    show(tally, seconds)
    used = _used(process) - before
    print(f"  the server process used {used / seconds:.2f} of a processor, {1000 * used / tally.calls:.1f} ms a call")
    third = max(1, len(samples) // 3)
    parts = [np.mean(samples[start : start + third]) for start in (0, third, 2 * third)]
    print(f"  server memory by thirds of the time: {', '.join(f'{part:,.0f}' for part in parts)} MiB")


async def to_the_limit(server: RunningServer, jobs: list[str], seconds: float) -> None:
    print("As many calls as it answers, on 32 connections; what is created is imported meanwhile:")
    process = psutil.Process(server.process.pid)
    for kinds in (("list",), (OWN_LIST,), ("describe",), ("create",), KINDS):
        before = _used(process)
        tally = await saturated(server.url, jobs, kinds, seconds, 32)
        print(
            f" {' + '.join(kinds)} ({1000 * (_used(process) - before) / tally.calls:.2f} ms of a processor a call):"
        )
        show(tally, seconds)


def _used(process: psutil.Process) -> float:
    """Seconds of processor time so far."""
    times = process.cpu_times()
    return times.user + times.system


def measure_steady(options: argparse.Namespace) -> None:
    with _server() as (server, client):
        write_jsonl(server.import_root / "large.jsonl", options.rows, 768)
        running = list(start_imports(client, server.import_root / "large.jsonl"))
        jobs = [client.imports.create("small", ["small.jsonl"]).id]
        while not all(client.imports.get(each).total_rows for each in running):
            time.sleep(0.2)  # planning is over when they read
        kinds = tuple(OWN_LIST if each == "list" and options.own_lists else each for each in KINDS)
        asyncio.run(under_load(server, jobs, kinds, options.clients, options.seconds))
        done = sum(1 for _ in client.imports.list("small", state="Completed"))
        ended = [str(client.imports.get(each).state) for each in running]
        for each in running:
            client.imports.abort(each)
        print(f"  the two imports at the end: {', '.join(ended)}; {done:,} of {len(jobs):,} created jobs were done")


def measure_saturation(options: argparse.Namespace) -> None:
    with _server() as (server, client):
        jobs = [client.imports.create("small", ["small.jsonl"]).id for _ in range(PAGE)]
        for job in jobs:
            client.imports.wait(job)
        asyncio.run(to_the_limit(server, jobs, options.saturation))


@contextmanager
def _server() -> Iterator[tuple[RunningServer, Client]]:
    """A fresh server with a collection and a file of one row."""
    with (
        tempfile.TemporaryDirectory() as name,
        running_server(Path(name), "--log-format", "json", workers=None) as server,
        server.client(timeout=60) as client,
    ):
        (server.import_root / "small.jsonl").write_text('{"id": 1, "vector": [1, 2]}\n')
        client.collections.create("small", dimension=2)
        yield server, client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60, help="0 leaves the steady load out")
    parser.add_argument("--saturation", type=float, default=5, help="seconds for each kind of call; 0 leaves it out")
    parser.add_argument("--own-lists", action="store_true", help="no two list calls of the clients are the same")
    parser.add_argument("--rows", type=int, default=10_000, help="rows of the file that the two imports read")
    options = parser.parse_args()
    if options.seconds:
        measure_steady(options)
    if options.saturation:
        measure_saturation(options)
    print(describe_machine())


if __name__ == "__main__":
    main()

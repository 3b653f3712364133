"""Jobs, the kills of servers and workers while they run, and the checks of every row at the end."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Literal, cast

import lance
import requests

import penstock
from penstock.sdk.errors import SdkError
from tests.chaos.crashing_server import CrashPoint
from tests.chaos.processes import Server, start
from tests.chaos.steps import STEPS
from tests.chaos.takeovers import Takeovers

__all__ = ["Campaign"]

ROWS = 1_200
SHARED = range(-500, 0)
"""The ids of rows that each upsert replaces."""
BAD_ROW = 1_111
FLAGS = ["--split-bytes", "16KiB", "--workers", "1", "--max-running-jobs", "64", "--log-level", "warning"]
TAKEOVER_SECONDS = 30.0
_REACHED_SECONDS = 15.0
_SETTLED_SECONDS = 300.0


_OPTIONS = {
    "two-phase": {"auto_commit": "false"},
    "upsert": {"write_mode": "upsert"},
    "reverted": {"write_mode": "upsert"},
}
"""By kind of job."""


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: at a step, or with an empty ``step`` some time after the start of a job."""

    process: str
    step: str = ""
    moment: Literal["before", "after"] = "before"
    call: int = 0
    after: float = 0.0

    @property
    def phase(self) -> str:
        if not self.step:
            return f"{self.process}, at any moment"
        step = STEPS[self.step]
        return f"{step.process}, {step.phase}"


@dataclass(slots=True)
class RequestedJob:
    """A job as it was requested. ``first`` is the id of its first row; ``id`` is "" until a server has answered.

    An "upsert" replaces the rows of :data:`SHARED`, beside rows of its own; a "reverted" one, too, and is reverted
    once it is completed. Each is of a collection of its kind, where nothing else is.
    """

    number: int
    kind: str
    id: str = ""

    @property
    def collection(self) -> str:
        return self.kind if self.kind in ("bad", "upsert", "reverted") else "good"

    @property
    def first(self) -> int:
        return self.number * ROWS


class Campaign:
    """Kills in one data folder. With ``catalog_url`` a second server runs beside the first. It is stopped until the
    first reaches its crash point, and is killed at times, too.

    ``killed`` counts kills by phase, ``missed`` by step the crash points that were not reached, ``outcomes`` the
    final states of jobs; ``rows`` is the number of rows at the end.
    """

    def __init__(self, folder: Path, seed: int, catalog_url: str | None = None, flags: Sequence[str] = ()) -> None:
        self.killed: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.takeovers: list[float] = []
        self.rows = 0
        self._began = time.monotonic()
        self._folder = folder
        self._seed = seed
        self._catalog_url = catalog_url
        self._flags = [*FLAGS, *flags]
        self._chance = random.Random(seed)
        self._jobs: list[RequestedJob] = []
        self._servers: list[Server] = []
        self._peer: Server | None = None
        self._watch: Takeovers | None = None
        (folder / "files").mkdir(parents=True)

    def run(self, kills: int, skip: int = 0) -> None:
        """``skip``: the number of first kills that are left to another campaign."""
        with ExitStack() as stack:
            stack.callback(self._clear)
            self._begin()
            if self._catalog_url is not None:
                self._watch = stack.enter_context(Takeovers(self._catalog_url))
            plan = islice(self._kills(random.Random(self._seed)), skip, None)
            for number in count():
                if self.killed.total() >= kills:
                    break
                # What one round draws depends on its timing; the next rounds must not depend on that.
                self._chance = random.Random(f"{self._seed}/{number}")
                self._run_jobs(next(plan))
            self._settle()

    def _clear(self) -> None:
        for server in self._servers:
            server.kill(with_workers=True)

    # Kills

    def _kills(self, chance: random.Random) -> Iterator[Kill]:
        """All phases in turn, each time in another order; within a phase, its steps in turn."""
        decks: dict[str, list[Kill]] = {}
        phases = sorted({kill.phase for kill in _all_kills(chance)})
        while True:
            for phase in chance.sample(phases, len(phases)):
                if not decks.get(phase):
                    decks[phase] = [kill for kill in _all_kills(chance) if kill.phase == phase]
                    chance.shuffle(decks[phase])
                yield decks[phase].pop()

    def _run_jobs(self, kill: Kill) -> None:
        """Start a server and jobs, and kill it as planned."""
        if self._catalog_url is not None and self._peer is None:
            # One that is stopped while it starts may find its connection cut: then it says so and ends.
            self._peer, _ = self._listening()
        server = self._start(kill)
        url = server.url()
        if kill.step and self._peer is not None:
            # Else it would often claim the job.
            self._peer.stall()
        if url is not None:
            self._ask(url)
        if kill.step:
            self._wait_for_crash(server)
            if self._peer is not None:
                self._peer.wake()
            self._count(kill.phase, server.has_crashed)
            self.missed[kill.step] += not server.has_crashed
        else:
            time.sleep(kill.after)
            if kill.process == "worker":
                self._count(kill.phase, server.kill_a_worker())
        if server.lives:
            # One whose worker was killed goes on for a while; one that has not reached its crash point is killed now.
            time.sleep(self._chance.uniform(0, 0.6))
            self._kill(server, "all" if kill.process == "all" else "server")
        else:
            self._record_death(server)
        if self._peer is not None and self._chance.random() < 0.2:
            self._kill(self._peer, "server")
            self._peer = None

    def _wait_for_crash(self, server: Server) -> None:
        until = time.monotonic() + _REACHED_SECONDS
        while server.lives and not server.has_crashed and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.05)  # between the marker file and the signal

    def _kill(self, server: Server, process: str) -> None:
        if server.lives:
            server.kill(with_workers=process == "all")
            self._count(f"{process}, at any moment")
        self._record_death(server)

    def _count(self, phase: str, died: bool = True) -> None:
        if died:
            self.killed[phase] += 1
            print(f"{time.monotonic() - self._began:6.0f} s  killed: {phase}", flush=True)

    def _record_death(self, server: Server) -> None:
        if self._watch is not None:
            self._watch.died(server.pid)

    def _start(self, kill: Kill | None = None) -> Server:
        name = f"server-{len(self._servers)}"
        crash_point = None
        if kill is not None and kill.step:
            crash_point = CrashPoint(kill.step, kill.moment, kill.call, str(self._folder / f"{name}.died"))
        server = start(self._folder, name, self._flags, self._catalog_url, crash_point)
        self._servers.append(server)
        return server

    def _listening(self) -> tuple[Server, str]:
        server = self._start()
        url = server.url()
        assert url is not None, server.log.read_text()
        return server, url

    # Jobs

    def _begin(self) -> None:
        server, url = self._listening()
        fields = [
            {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
            {"fieldName": "number", "dataType": "Int64"},
            {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}},
        ]
        indexes = [
            {"fieldName": "vector", "indexName": "vector", "metricType": "L2"},
            {"fieldName": "number", "indexName": "number"},
        ]
        with penstock.Client(url) as client:
            for name in ("good", "bad", "upsert", "reverted"):
                client.collections.create(name, schema={"fields": fields}, indexes=indexes)
            # Enough for a real index, so that the jobs to come extend it.
            self._write("base.jsonl", -10_000, 10_000)
            client.imports.wait(client.imports.create("good", ["base.jsonl"]))
            self._write("shared.jsonl", SHARED.start, len(SHARED))
            for name in ("upsert", "reverted"):
                client.imports.wait(client.imports.create(name, ["shared.jsonl"]))
        server.kill()

    def _ask(self, url: str) -> None:
        """New jobs: one or, so that they are published together, three; and one more of another kind now and then.

        A call without an answer is made again later.
        """
        kinds = ["good"] * self._chance.choice([1, 3])
        if self._chance.random() < 0.6:
            kinds.append(self._chance.choice(["bad", "two-phase", "aborted", "upsert", "reverted", "reverted"]))
        for kind in kinds:
            requested = RequestedJob(len(self._jobs), kind)
            self._write(f"{requested.number}.jsonl", requested.first, ROWS, BAD_ROW if kind == "bad" else None)
            if kind in ("upsert", "reverted"):
                self._write(f"{requested.number}.jsonl", requested.first, ROWS, shared=requested.number)
            self._jobs.append(requested)
        self._create_missing(url)
        self._revert_completed(url)
        for job in self._jobs:
            if job.kind == "aborted" and job.number >= len(self._jobs) - 2 and job.id:
                self._abort(url, job.id)

    def _create_missing(self, url: str) -> None:
        """Create the jobs that have no id, by bare calls: the client would repeat them for a minute."""
        for job in self._jobs:
            if not job.id:
                body = {"collectionName": job.collection, "files": [[f"{job.number}.jsonl"]]}
                options = {"options": _OPTIONS[job.kind]} if job.kind in _OPTIONS else {}
                try:
                    reply = requests.post(
                        f"{url}/v2/vectordb/jobs/import/create",
                        json=body | options,
                        headers={"Idempotency-Key": f"{job.number}"},
                        timeout=20,
                    ).json()
                except requests.RequestException:
                    return
                assert reply["code"] == 0, reply
                job.id = reply["data"]["jobId"]

    def _revert_completed(self, url: str) -> None:
        """Begin the revert of jobs of this kind that are completed; calls that fail are made again later."""
        for job in self._jobs:
            if job.kind == "reverted" and job.id:
                try:
                    requests.post(f"{url}/v2/vectordb/jobs/import/revert", json={"jobId": job.id}, timeout=20)
                except requests.RequestException:
                    return

    def _abort(self, url: str, job_id: str) -> None:
        time.sleep(self._chance.uniform(0, 0.3))
        try:
            with penstock.Client(url, timeout=20) as client:
                client.imports.abort(job_id)
        except SdkError:
            return  # too late, or the server was killed: then the job is not aborted

    def _write(self, name: str, first: int, rows: int, bad: int | None = None, shared: int | None = None) -> None:
        """``shared``: also the rows of :data:`SHARED`, with this number."""
        with (self._folder / "files" / name).open("w") as file:
            for row in range(rows):
                vector = [row, 1.0] if row == bad else [row, 1.0, 2.0, 3.0]
                file.write(json.dumps({"id": first + row, "number": row, "vector": vector}) + "\n")
            for key in SHARED if shared is not None else ():
                file.write(json.dumps({"id": key, "number": shared, "vector": [0.0, 1.0, 2.0, 3.0]}) + "\n")

    # Checks

    def _settle(self) -> None:
        """Wait until all jobs have ended, then check every row."""
        server, url = self._listening()
        self._create_missing(url)
        expected = {"good": set(range(-10_000, 0)), "bad": set(), "upsert": set(SHARED), "reverted": set(SHARED)}
        with penstock.Client(url) as client:
            for each in self._jobs:
                job = self._ended(client, each)
                self.outcomes[f"{each.kind}: {job.revert or job.state}"] += 1
                if each.kind == "bad":
                    assert job.state == "Failed", job
                    assert f"row {BAD_ROW}," in (job.reason or ""), job
                elif each.kind == "aborted" and job.state != "Completed":
                    assert job.reason == "aborted by user", job
                elif each.kind == "reverted":
                    assert job.revert == "Reverted", job
                    assert (job.replaced_rows, job.restored_rows) == (len(SHARED), len(SHARED)), job
                else:
                    assert job.state == "Completed", (each, job)
                    assert job.rows == ROWS + (len(SHARED) if each.kind == "upsert" else 0)
                    assert job.replaced_rows in (None, len(SHARED))
                    expected[each.collection] |= set(range(each.first, each.first + ROWS))
            for name, ids in expected.items():
                assert client.count(name) == len(ids), name
            shared = {
                name: client.query(name, filter=f"id in {list(SHARED)}", output_fields=["number"], limit=1000)
                for name in ("upsert", "reverted")
            }
            if self._watch is not None:
                assert self._watch.waiting == []
                self.takeovers = self._watch.seconds
                assert max(self.takeovers, default=0.0) < TAKEOVER_SECONDS
        # The rows of one upsert, or of the first import; the reverted ones have left no trace.
        numbers = {row["number"] for row in shared["upsert"]}
        upserts = {each.number for each in self._jobs if each.kind == "upsert"}
        assert len(numbers) == 1 and numbers <= upserts if upserts else len(numbers) == len(SHARED)
        assert {row["id"]: row["number"] for row in shared["reverted"]} == {
            key: number for number, key in enumerate(SHARED)
        }
        server.kill()
        assert self._stored_ids() == sorted(id for ids in expected.values() for id in ids)
        self.rows = sum(map(len, expected.values()))

    def _ended(self, client: penstock.Client, requested: RequestedJob) -> penstock.ImportJob:
        until = time.monotonic() + _SETTLED_SECONDS
        while (job := client.imports.get(requested.id)).state not in ("Completed", "Failed") or (
            requested.kind == "reverted" and job.revert != "Reverted"
        ):
            if job.state == "Uncommitted":
                client.imports.commit(job)
            if job.state == "Completed":
                self._revert_newest_first(client)
            assert time.monotonic() < until, job
            time.sleep(0.05)
        return job

    def _revert_newest_first(self, client: penstock.Client) -> None:
        """Each of these jobs has replaced rows of the ones before it, if they aren't reverted."""
        kind = [job for job in self._jobs if job.kind == "reverted"]
        for job in client.imports.list("reverted", state="Completed"):
            if job.id in {requested.id for requested in kind} and job.revert is None:
                with suppress(SdkError):  # a later one has to be reverted first, or to be completed
                    client.imports.revert(job)

    def _stored_ids(self) -> list[int]:
        """The ids of all rows, read from the tables without the server."""
        tables = [
            lance.dataset(str(path)) for path in sorted((self._folder / "data" / "collections").glob("*.lance"))
        ]
        assert len(tables) == 4
        return sorted(
            id for table in tables for id in cast("list[int]", table.to_table(columns=["id"])["id"].to_pylist())
        )


def _all_kills(chance: random.Random) -> Iterator[Kill]:
    for name, step in STEPS.items():
        yield Kill(step.process, name, "before", chance.choice(step.calls))
        yield Kill(step.process, name, "after", chance.choice(step.calls))
    for process in ("server", "worker", "all"):
        yield Kill(process, after=chance.uniform(0, 1.2))

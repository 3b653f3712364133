"""Several server processes on one PostgreSQL catalog and one store: who does what, and who goes on when one dies."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from psycopg.rows import dict_row

import penstock
from tests.support.postgres import PostgresServer
from tests.support.servers import PENSTOCK, RunningServer, clean_environment, ended_server, running_server
from tests.support.workers import worker_processes

ROWS = 15_000
FLAGS = ("--split-bytes", "40KiB", "--workers", "1")
TAKEOVER_SECONDS = 30.0
LIMIT = 90.0


@dataclass
class Fleet:
    """Server processes in one folder, with one catalog; the catalog can be looked into."""

    folder: Path
    url: str
    stack: ExitStack = field(default_factory=ExitStack)
    servers: list[RunningServer] = field(default_factory=list)

    def start(self, role: str, forked: bool = True) -> RunningServer:
        name = f"{role}-{len(self.servers)}"
        server = self.stack.enter_context(
            running_server(
                self.folder,
                *FLAGS,
                "--role",
                role,
                env={"PENSTOCK_CATALOG_URL": self.url},
                name=name,
                forked=forked,
            )
        )
        self.servers.append(server)
        return server

    def write(self, name: str, first: int = 0) -> None:
        lines = (json.dumps({"id": first + row, "vector": [row, 1.0, 2.0, 3.0]}) + "\n" for row in range(ROWS))
        (self.folder / "files" / name).write_text("".join(lines))

    def job(self, job_id: str) -> dict[str, Any]:
        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            found = connection.execute("SELECT * FROM job WHERE id = %s", [job_id]).fetchone()
        assert found is not None
        return found

    def staged(self, job_id: str) -> int:
        with psycopg.connect(self.url) as connection:
            found = connection.execute(
                "SELECT count(*) FROM job_split WHERE job_id = %s AND state = 'Staged'", [job_id]
            ).fetchone()
        return found[0] if found else 0

    def who_works_on(self, job_id: str) -> RunningServer:
        """The server that holds the job while it is being read."""
        wait_until(lambda: self.job(job_id)["owner"] is not None and self.staged(job_id) > 0)
        pid = int(str(self.job(job_id)["owner"]).split("-")[-2])
        return next(server for server in self.servers if server.process.pid == pid)

    def logs(self) -> str:
        return "".join(server.log.read_text() for server in self.servers)


@pytest.fixture
def fleet(tmp_path: Path, postgres_url: str) -> Iterator[Fleet]:
    made = Fleet(tmp_path, postgres_url)
    with made.stack:
        yield made


def wait_until(true: Callable[[], bool], limit: float = LIMIT) -> float:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < limit
        time.sleep(0.02)
    return time.monotonic() - began


def every_row_once(client: penstock.Client, rows: int = ROWS) -> bool:
    seams = [start for start in (0, rows // 2, rows - 500) if start >= 0]
    found = [
        row["id"]
        for start in seams
        for row in client.query("docs", filter=f"{start} <= id < {start + 500}", output_fields=["id"], limit=1000)
    ]
    return client.count("docs") == rows and sorted(found) == [
        index for start in seams for index in range(start, start + 500)
    ]


def test_one_answers_and_another_works(fleet: Fleet, postgres: PostgresServer) -> None:
    api, worker = fleet.start("api", forked=False), fleet.start("worker")
    fleet.write("docs.jsonl")
    with api.client() as client:
        client.collections.create("docs", dimension=4)
        job = client.imports.wait(client.imports.create("docs", ["docs.jsonl"]).id, timeout=LIMIT)
        assert job.state == "Completed"
        assert every_row_once(client)
    assert not worker_processes(api.process.pid), "who only answers has no workers"
    assert worker_processes(worker.process.pid)
    assert requests.get(f"{worker.url}/healthz", timeout=10).json() == {"status": "ready"}
    assert "penstock_import_jobs" in requests.get(f"{worker.url}/metrics", timeout=10).text
    for path in ("/v2/vectordb/collections/list", "/docs", "/openapi.json"):
        assert requests.post(worker.url + path, json={}, timeout=10).status_code == 404
    assert api.stop() == worker.stop() == 0
    assert postgres.password not in fleet.logs()


def test_servers_that_share_a_folder_keep_out_one_that_would_have_it_alone(fleet: Fleet) -> None:
    fleet.start("api")
    fleet.start("api")
    alone = ended_server("--data-dir", str(fleet.folder / "data"))
    assert alone.returncode == 1
    assert "is locked by another server" in alone.stderr


def test_a_catalog_that_is_away_makes_a_server_unready_and_its_calls_fail_with_the_reason(
    fleet: Fleet, postgres: PostgresServer
) -> None:
    server = fleet.start("api")
    postgres.drop_database(fleet.url)
    unready = requests.get(f"{server.url}/healthz", timeout=20)
    assert unready.status_code == 503
    assert re.search(r"the catalog postgresql://penstock@\S+ is unavailable", unready.json()["reason"])
    unmeasured = requests.get(f"{server.url}/metrics", timeout=20)
    assert unmeasured.status_code == 503
    assert "is unavailable" in unmeasured.text
    with server.client() as client, pytest.raises(penstock.ImportCallError, match="is unavailable"):
        list(client.imports.list())
    assert postgres.password not in fleet.logs() + unready.text
    assert "Traceback" not in fleet.logs()


def test_a_server_waits_for_a_catalog_that_starts_later(fleet: Fleet, postgres: PostgresServer) -> None:
    postgres.drop_database(fleet.url)
    log = fleet.folder / "early.log"
    with log.open("wb") as output:
        early = subprocess.Popen(
            [PENSTOCK, "serve", "--port", "0", "--role", "api", "--data-dir", fleet.folder / "data"],
            env=clean_environment() | {"PENSTOCK_CATALOG_URL": fleet.url},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: "catalog.waiting" in log.read_text())
        assert "does not exist" in log.read_text()
        postgres.create_database(name=fleet.url.rpartition("/")[2])
        wait_until(lambda: "Penstock listens on" in log.read_text())
        early.send_signal(signal.SIGTERM)
        assert early.wait(LIMIT) == 0
    finally:
        early.kill()
        early.wait()


def test_a_catalog_that_stays_away_ends_the_start_with_the_reason(fleet: Fleet, postgres: PostgresServer) -> None:
    postgres.drop_database(fleet.url)
    flags = ("--data-dir", str(fleet.folder / "data"), "--catalog-startup-timeout", "1s")
    done = ended_server(*flags, env={"PENSTOCK_CATALOG_URL": fleet.url})
    assert done.returncode == 1
    assert re.search(r"Error: the catalog postgresql://penstock@\S+ is unavailable: .*", done.stderr)
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize("role", ["api", "worker"])
def test_a_role_alone_needs_a_catalog_that_can_be_shared(tmp_path: Path, role: str) -> None:
    done = ended_server("--role", role, "--data-dir", str(tmp_path))
    assert done.returncode == 1
    assert "--catalog-url postgresql://" in done.stderr


@pytest.mark.slow
def test_when_a_worker_is_killed_another_goes_on_within_half_a_minute(fleet: Fleet) -> None:
    api = fleet.start("api")
    for _ in range(2):
        fleet.start("worker")
    fleet.write("docs.jsonl")
    with api.client() as client:
        client.collections.create("docs", dimension=4)
        job = client.imports.create("docs", ["docs.jsonl"])
        victim = fleet.who_works_on(job.id)
        before = fleet.job(job.id)
        victim.kill()
        taken = wait_until(lambda: fleet.job(job.id)["epoch"] > before["epoch"])
        assert taken < TAKEOVER_SECONDS
        assert client.imports.wait(job.id, timeout=LIMIT).state == "Completed"
        assert every_row_once(client)
    assert fleet.job(job.id)["epoch"] == before["epoch"] + 1


@contextmanager
def stalled(server: RunningServer) -> Iterator[None]:
    """The process doesn't get on, and doesn't know it."""
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


@pytest.mark.slow
def test_a_worker_that_stalls_and_wakes_up_changes_nothing(fleet: Fleet) -> None:
    api = fleet.start("api")
    for _ in range(2):
        fleet.start("worker")
    fleet.write("docs.jsonl")
    with api.client() as client:
        client.collections.create("docs", dimension=4)
        job = client.imports.create("docs", ["docs.jsonl"])
        sleeper = fleet.who_works_on(job.id)
        with stalled(sleeper):
            assert client.imports.wait(job.id, timeout=LIMIT).state == "Completed"
            ended = fleet.job(job.id)
        wait_until(lambda: "job.lease_lost" in sleeper.log.read_text())
        assert every_row_once(client)
        assert fleet.job(job.id) == ended
        # It works again, now that it is awake.
        others = [server for server in fleet.servers if server not in (sleeper, api)]
        for other in others:
            assert other.stop() == 0
        fleet.write("more.jsonl", first=ROWS)
        more = client.imports.create("docs", ["more.jsonl"])
        assert client.imports.wait(more.id, timeout=LIMIT).state == "Completed"
        assert client.count("docs") == 2 * ROWS

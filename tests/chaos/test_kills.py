"""Servers and workers are killed again and again while jobs run; afterwards every row is there exactly once.

A short run is part of ``make test``; ``make chaos`` makes the long one::

    PENSTOCK_CHAOS_KILLS=200 PENSTOCK_CHAOS_SEED=7 pytest tests/chaos

The seed fixes which step of which job the server dies at, or after how long which process is killed, and so makes a
run repeatable up to the machine's own timing.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import penstock
from penstock.sdk.errors import SdkError
from tests.chaos.crashing_server import STEPS
from tests.support.servers import RunningServer, clean_environment, running_server

KILLS = int(os.environ.get("PENSTOCK_CHAOS_KILLS", "10"))
SEED = int(os.environ.get("PENSTOCK_CHAOS_SEED", "1"))
JOBS = 3
ROWS = 6_000
BAD_ROW = 4_321
ROOT = Path(__file__).parents[2]
FLAGS = ["--split-bytes", "40KiB", "--workers", "2"]
_START_SECONDS = 60.0


@contextmanager
def doomed_server(
    folder: Path, step: str, moment: str, number: int
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A server that kills itself at a step, if it ever comes to it."""
    note = folder / "data" / "server.json"
    note.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.chaos.crashing_server", step, moment, str(number)]
    serve = ["serve", "--port", "0", "--data-dir", str(folder / "data"), "--import-root", str(folder / "files")]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, *serve, *FLAGS], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=clean_environment()
        )
    try:
        yield process, note
    finally:
        process.kill()
        process.wait()


def address(process: subprocess.Popen[bytes], note: Path) -> str | None:
    """Where the server listens, or None when it died before it did."""
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            return None
        if note.exists() and (text := note.read_text()):
            return str(json.loads(text)["url"])
        time.sleep(0.02)
    raise RuntimeError("the server did not start")


class Campaign:
    """Jobs in one data folder, the kills they have to live with, and what must be true in the end."""

    def __init__(self, folder: Path, seed: int, killed: Counter[str]) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.jobs: list[str] = []
        self.killed = killed

    def begin(self) -> None:
        with running_server(self.folder, *FLAGS) as server, server.client() as client:
            for name in ("good", "bad"):
                client.collections.create(name, dimension=4)
            for number in range(JOBS):
                self._write(server, f"good-{number}.jsonl", number, None)
            self._write(server, "bad.jsonl", 0, BAD_ROW)
            self.create(server.url)
            server.kill()
            self.killed["server"] += 1

    def _write(self, server: RunningServer, name: str, number: int, bad: int | None) -> None:
        first = number * ROWS
        with (server.import_root / name).open("w") as file:
            for row in range(ROWS):
                vector = [row, 1.0] if row == bad else [row, 1.0, 2.0, 3.0]
                file.write(json.dumps({"id": first + row, "vector": vector}) + "\n")

    def create(self, url: str) -> None:
        """One job for each file."""
        with penstock.Client(url, timeout=20) as client:
            for number in range(JOBS):
                self.jobs.append(client.imports.create("good", [f"good-{number}.jsonl"]).id)
            self.jobs.append(client.imports.create("bad", ["bad.jsonl"]).id)

    def die_at_a_step(self) -> None:
        step = self.random.choice(sorted(set(STEPS) - {"insert"}))
        moment = self.random.choice(["before", "after"])
        number = self.random.choice([1, 1, 1, 2, 3, 7])
        with doomed_server(self.folder, step, moment, number) as (process, note):
            url = address(process, note)
            until = time.monotonic() + 20
            while url and process.poll() is None and time.monotonic() < until and not self.finished(url):
                time.sleep(0.05)
            if process.poll() == -signal.SIGKILL:
                self.killed[f"{moment} {step}"] += 1

    def kill_after_a_while(self) -> None:
        with running_server(self.folder, *FLAGS) as server:
            time.sleep(self.random.uniform(0, 1.5))
            workers = [
                each
                for each in psutil.Process(server.process.pid).children()
                if "spawn_main" in " ".join(each.cmdline())
            ]
            victim = self.random.choice(["server", "worker", "all"])
            for worker in workers if victim == "all" else workers[:1] if victim == "worker" else []:
                worker.kill()
            if victim == "worker":
                time.sleep(self.random.uniform(0, 1.5))
            server.kill()
            self.killed[victim] += 1

    def finished(self, url: str) -> bool:
        try:
            with penstock.Client(url, timeout=5) as client:
                return all(client.imports.get(each).state in ("Completed", "Failed") for each in self.jobs)
        except SdkError:
            return False

    def settle(self) -> None:
        """Let the jobs end in peace, and look at every row."""
        with running_server(self.folder, *FLAGS) as server, server.client() as client:
            ended = [waited_for(client, each) for each in self.jobs]
            assert [each.state for each in ended] == ["Completed"] * JOBS + ["Failed"], ended
            assert f"row {BAD_ROW}," in (ended[-1].reason or ""), ended[-1].reason
            assert client.collections.stats("bad").rows == 0
            assert client.collections.stats("good").rows == JOBS * ROWS
            for number in range(JOBS):
                first = number * ROWS
                where = f"{first} <= id < {first + ROWS}"
                assert client.count("good", filter=where) == ROWS
            assert len({row["id"] for row in self._sample(client)}) == 3 * 500

    def _sample(self, client: penstock.Client) -> list[dict[str, object]]:
        """Rows around the seams of files and splits, ids only: a doubled id would show."""
        return [
            row
            for start in (0, ROWS - 250, 2 * ROWS - 250)
            for row in client.query("good", filter=f"{start} <= id < {start + 500}", output_fields=["id"], limit=1000)
        ]


def waited_for(client: penstock.Client, job_id: str) -> penstock.ImportJob:
    try:
        return client.imports.wait(job_id, timeout=120)
    except penstock.JobFailed as failed:
        return failed.job


@pytest.mark.timeout(120 + 15 * KILLS)
def test_every_row_is_there_once_whatever_was_killed_when(tmp_path: Path) -> None:
    killed: Counter[str] = Counter()
    rounds = 0
    while killed.total() < KILLS:
        folder = tmp_path / str(rounds)
        folder.mkdir()
        campaign = Campaign(folder, SEED + rounds, killed)
        campaign.begin()
        for _ in range(6):
            campaign.random.choice([campaign.die_at_a_step, campaign.die_at_a_step, campaign.kill_after_a_while])()
        campaign.settle()
        rounds += 1
    print(f"\n{killed.total()} kills in {rounds} rounds: {dict(sorted(killed.items()))}")

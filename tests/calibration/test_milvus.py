"""A real Milvus 2.3.5 and this server answer the same gRPC calls: both with success, or both with an error.

Milvus 2.3 gives most errors the number 65535, later versions one of their own. Where it has one already, it is ours.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.environments import environment_python
from tests.support.servers import running_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
CALLS = Path(__file__).with_name("calls.py")
UNTYPED = 65535
DEPARTURES = {
    "create: no vector": "as Milvus from 2.4 on",
    "create: dim 1": "as Milvus from 2.4 on",
    "search: three elements": "Milvus 2.3 does not look at vectors while a collection is empty",
    "search: bits": "as above",
    "search: broken params": "as above",
    "search: no vectors": "as above",
    "search: broken vectors": "as above",
    "import state: missing": "Milvus 2.3 says how it keeps them: key not found",
}
"""Calls with another outcome or number, and why."""


@pytest.fixture(scope="module")
def python() -> Path:
    lock = ROOT / "benchmarks" / "environments" / "milvus.txt"
    return environment_python(lock, ROOT / ".cache" / "benchmarks" / "environments" / "milvus")


@pytest.fixture(scope="module")
def milvus(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("milvus")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python.with_name("milvus-server"), "--data", folder / "data", "--proxy-port", str(port)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while "Ctrl+C to exit" not in (folder / "log").read_text(errors="replace"):
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, 9)
        server.wait()


def answers(python: Path, address: str) -> dict[str, tuple[int, str]]:
    done = subprocess.run([python, "-I", CALLS, address], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return {label: (number, reason) for label, (number, reason) in json.loads(done.stdout).items()}


def test_calls_have_the_outcome_that_they_have_in_milvus(python: Path, milvus: str, tmp_path: Path) -> None:
    theirs = answers(python, milvus)
    with running_server(tmp_path) as server:
        ours = answers(python, server.url.removeprefix("http://"))
    different = {
        label: f"Milvus: {expected}, Penstock: {ours[label]}"
        for label, expected in theirs.items()
        if bool(expected[0]) != bool(ours[label][0]) or (expected[0] not in (0, UNTYPED, ours[label][0]))
    }
    assert len(theirs) > 150
    assert {label: text for label, text in different.items() if label not in DEPARTURES} == {}
    assert sorted(different) == sorted(DEPARTURES)

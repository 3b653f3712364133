"""A real Milvus 2.3.5, in an environment of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.environments import environment_python

__all__ = ["Milvus", "milvus", "python"]

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Milvus:
    """A running server: its address, and the folder in which it looks for import files."""

    address: str
    storage: Path


@pytest.fixture(scope="module")
def python() -> Path:
    lock = ROOT / "benchmarks" / "environments" / "milvus.txt"
    return environment_python(lock, ROOT / ".cache" / "benchmarks" / "environments" / "milvus")


@pytest.fixture(scope="module")
def milvus(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Milvus]:
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
        yield Milvus(address=f"127.0.0.1:{port}", storage=folder / "data" / "data")
    finally:
        os.killpg(server.pid, 9)
        server.wait()

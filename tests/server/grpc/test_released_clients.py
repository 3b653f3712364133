"""Released clients of Milvus define collections, import files and manage users: ``released_clients.py``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from penstock.cli.main import cli
from tests.support.clients import run_client
from tests.support.servers import RunningServer, running_server

PROGRAM = Path(__file__).with_name("released_clients.py")
FILMS = pa.table(
    {
        "id": pa.array(range(1000, 1005), pa.int64()),
        "title": [f"old film {number}" for number in range(5)],
        "vector": pa.array([[float(number), 0.0, 0.0, 0.0] for number in range(5)], pa.list_(pa.float32())),
    }
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("released"), forked=True) as server:
        pq.write_table(FILMS, server.import_root / "films.parquet")
        yield server


@pytest.fixture(scope="module")
def key(server: RunningServer) -> str:
    made = CliRunner().invoke(cli, ["keys", "create", "ops", "--role", "admin", "--data-dir", str(server.data_dir)])
    assert made.exit_code == 0, made.output
    return made.stdout.strip()


def test_the_installed_client(server: RunningServer, key: str) -> None:
    arguments = [server.url, key, str(server.import_root), "installed"]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


@pytest.mark.clients
@pytest.mark.parametrize(
    "version", ["2.4.9", *(pytest.param(each, marks=pytest.mark.slow) for each in ("2.6.17", "3.0.2"))]
)
def test_a_released_client(server: RunningServer, key: str, version: str) -> None:
    assert run_client(version, PROGRAM, server.url, key, server.import_root, version) == "done\n"

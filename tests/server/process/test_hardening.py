"""What no process of a server needs isn't loaded: it would take time and memory of each."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest

from tests.support.servers import PENSTOCK, clean_environment, running_server


def test_neither_a_server_nor_its_workers_load_pandas(tmp_path: Path) -> None:
    assert version("pandas"), "it is installed, or this shows nothing"
    with running_server(tmp_path, "--workers", "1", "--core-dumps") as server:
        with server.client() as client:
            client.collections.create("docs", dimension=2)
            (tmp_path / "files" / "docs.jsonl").write_text('{"id": 1, "vector": [1, 2]}\n')
            client.imports.wait(client.imports.create("docs", ["docs.jsonl"]))
        process = psutil.Process(server.process.pid)
        loaded = {
            each.pid: {Path(file.path).parts for file in each.memory_maps()}
            for each in (process, *process.children(recursive=True))
        }
        with_lance = [pid for pid, files in loaded.items() if any("lance" in parts for parts in files)]
        assert len(with_lance) >= 2, "the server and a worker, by the libraries that they hold"
        assert not [pid for pid, files in loaded.items() if any("pandas" in parts for parts in files)]


@pytest.mark.parametrize("command", ["users", "keys", "orgs", "audit"])
def test_commands_that_need_no_engine_load_none(tmp_path: Path, command: str) -> None:
    words = [command, "--since", "1h"] if command == "audit" else [command, "list"]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", PENSTOCK, *words, "--data-dir", tmp_path / "data"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "penstock.catalog" in loaded
    assert not loaded & {"lance", "pandas", "pyarrow"}

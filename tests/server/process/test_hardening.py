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


_STARTED = """
import gc, os, signal, sys
from penstock.import_guard import leave_out_unused

leave_out_unused()  # as the command does
import penstock.server.serve as server
from penstock.cli.main import cli

def announce(line):
    print(gc.isenabled(), *sys.modules)
    os.kill(os.getpid(), signal.SIGTERM)

serve = server.serve
server.serve = lambda settings, build_services, _: serve(settings, build_services, announce)
cli(sys.argv[1:])
"""


def test_a_server_starts_without_what_only_later_calls_need(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    places = ["--port", "0", "--data-dir", str(tmp_path / "data"), "--import-root", str(tmp_path / "files")]
    for _ in ("a new catalog", "one that is there"):
        done = subprocess.run(
            [sys.executable, "-c", _STARTED, "serve", *places, "--workers", "1"],
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        collects, *loaded = done.stdout.split()
        assert collects == "True", "the garbage collector runs again once the server answers"
        assert {"lance", "grpc", "sqlalchemy"} <= set(loaded)
        unwanted = {"alembic", "h5py", "jinja2", "mako", "pandas", "pygments", "ray", "rich", "shapely"}
        assert not unwanted & set(loaded)
        assert not [
            name for name in loaded if name.startswith(("penstock.server.backup", "opentelemetry", "psycopg"))
        ]


def test_the_fork_server_of_workers_loads_their_modules_but_not_the_engines_library() -> None:
    program = (
        "import gc, sys, penstock.server.worker_modules\n"
        "assert gc.isenabled() and gc.get_freeze_count()\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    loaded = set(done.stdout.split())
    assert {"pyarrow.dataset", "penstock.imports.tasks"} <= loaded
    assert not loaded & {"lance", "rich", "pandas", "sqlalchemy", "pydantic", "starlette", "grpc", "requests"}


def test_workers_load_nothing_from_the_folder_in_which_the_server_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("numpy", "tenacity", "penstock", "multiprocessing"):
        (tmp_path / f"{name}.py").write_text("import os\nos._exit(7)\n")
    monkeypatch.chdir(tmp_path)
    with running_server(tmp_path) as server, server.client() as client:
        client.collections.create("docs", dimension=2)
        (tmp_path / "files" / "docs.jsonl").write_text('{"id": 1, "vector": [1, 2]}\n')
        assert client.imports.wait(client.imports.create("docs", ["docs.jsonl"])).state == "Completed"


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

"""``penstock serve``: what it says before it runs, and that it stops in order."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.servers import PENSTOCK, RunningServer, clean_environment, ended_server, running_server


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--port", "banana"), "PENSTOCK_PORT"),
        (("--config", "absent.toml"), "the settings file absent.toml cannot be read"),
        (("--import-root", "ftp://bucket"), "ftp://"),
        (("--tls-cert", "cert.pem"), "--tls-cert and --tls-key must be set together"),
    ],
)
def test_settings_that_wont_do(tmp_path: Path, flags: tuple[str, ...], told: str) -> None:
    done = ended_server("--data-dir", str(tmp_path / "data"), *flags)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_an_import_root_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    with running_server(tmp_path, "--import-root", absent) as server:
        told = [line for line in server.log.read_text().splitlines() if "import_root.absent" in line]
    assert len(told) == 1
    assert absent in told[0]


def test_a_server_without_import_roots_says_that_it_can_import_nothing(tmp_path: Path) -> None:
    command = [str(PENSTOCK), "serve", "--data-dir", str(tmp_path / "data"), "--port", "0", "--host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=clean_environment(), check=False)
    assert done.returncode == 1, "it ends for want of a key"
    assert "import_root.none" in done.stderr


def test_a_folder_in_use(server: RunningServer) -> None:
    done = ended_server("--data-dir", str(server.data_dir))
    assert done.returncode == 1
    assert f"locked by another server, process {server.process.pid}" in done.stderr


def test_a_port_in_use(server: RunningServer, tmp_path: Path) -> None:
    done = ended_server("--data-dir", str(tmp_path / "data"), "--port", server.url.rpartition(":")[2])
    assert done.returncode == 1
    assert "Set others with --host and --port" in done.stderr


def test_what_was_imported_is_there_after_a_restart(tmp_path: Path) -> None:
    with running_server(tmp_path, forked=True) as server, server.client() as client:
        client.collections.create("docs", dimension=2)
        path = server.import_root / "docs.json"
        path.write_text('[{"id": 1, "vector": [1, 2]}]')
        client.imports.wait(client.imports.create("docs", [path]))
        assert server.stop() == 0
    assert "server.stopped" in server.log.read_text()
    with running_server(tmp_path, env={"PENSTOCK_LOG_FORMAT": "json"}) as server, server.client() as client:
        assert client.count("docs") == 1
        assert [job.state for job in client.imports.list("docs")] == ["Completed"]

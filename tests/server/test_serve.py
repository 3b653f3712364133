"""A whole server process: where it listens, who may hold the data folder, and how it stops."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import structlog

from penstock.errors import DataFolderInUse, PenstockError
from penstock.server.assembly import build_services
from penstock.server.process.data_dir import lock_data_dir
from penstock.server.serve import serve
from penstock.settings import load_settings
from tests.support.catalogs import opened_catalog, stored_collection
from tests.support.certificates import self_signed

PROGRAM = """
import sys, time
from dataclasses import replace
from pathlib import Path
from penstock.server.assembly import build_services
from penstock.server.serve import serve
from penstock.settings import load_settings
from tests.support.imports import MemoryClusters, MemoryImports

class Slow(MemoryImports):
    def list(self, query):
        print("asked", flush=True)
        time.sleep(1)
        return super().list(query)

def services(settings):
    built = build_services(settings)
    def stop():
        built.stop()
        print("services stopped", flush=True)
    return replace(built, imports=Slow(), clusters=MemoryClusters(), stop=stop)

serve(load_settings(config=Path(sys.argv[1])), services, lambda line: print(line, flush=True))
"""


def write_config(folder: Path, **settings: object) -> Path:
    values = {"data_dir": str(folder / "data"), "port": 0, "log_format": "json", "workers": 1, **settings}
    config = folder / "penstock.toml"
    config.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
    return config


def start(config: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(config)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@contextmanager
def running(config: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = start(config)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Penstock listens on "), process.communicate()
        yield process, line.split()[-1]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, subprocess.Popen[str], str]]:
    """A server that goes on running: its folder, process and address."""
    folder = tmp_path_factory.mktemp("first")
    with running(write_config(folder)) as (process, url):
        yield folder, process, url


@pytest.fixture
def own_logs() -> Iterator[None]:
    """A server sets logging up for its process; give it back to the test run."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def refused(config: Path) -> str:
    """Why a server of these settings, in this process, won't start."""
    with pytest.raises(PenstockError) as caught:
        serve(load_settings(config=config, environment={}), build_services, lambda line: None)
    return str(caught.value)


def test_the_bound_port_is_told(first: tuple[Path, subprocess.Popen[str], str]) -> None:
    folder, process, url = first
    note = json.loads((folder / "data" / "server.json").read_text())
    assert note == {"pid": process.pid, "url": url, "host": "127.0.0.1", "port": httpx.URL(url).port}
    reply = httpx.get(f"{url}/healthz")
    assert reply.json() == {"status": "ready"}
    assert "server" not in reply.headers, "attackers need not know what answers"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert httpx.get(f"{url}/healthz", headers={"x-long": "x" * 40_000}).status_code == 431


@pytest.mark.parametrize("how", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_lets_open_calls_finish(tmp_path: Path, how: signal.Signals) -> None:
    with running(write_config(tmp_path)) as (process, url):
        address = httpx.URL(url)
        with socket.create_connection((address.host, address.port or 0)) as caller:
            caller.sendall(b"POST /v2/vectordb/jobs/import/list HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
            assert process.stdout is not None
            assert process.stdout.readline() == "asked\n"
            process.send_signal(how)
            answer = b"".join(iter(lambda: caller.recv(65536), b""))
        out, errors = process.communicate(timeout=60)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b'{"code":0,"data":{"records":[]}}')
    assert process.returncode == 0
    assert out == "services stopped\n"
    events = [json.loads(line)["event"] for line in errors.splitlines()]
    assert events[-1] == "server.stopped"
    assert not (tmp_path / "data" / "server.json").exists()


@pytest.mark.usefixtures("own_logs")
def test_a_second_server_on_the_folder_stops_and_names_the_first(
    first: tuple[Path, subprocess.Popen[str], str],
) -> None:
    folder, process, url = first
    assert f"is locked by another server, process {process.pid}." in refused(folder / "penstock.toml")
    assert httpx.get(f"{url}/healthz").status_code == 200


@pytest.mark.usefixtures("own_logs")
def test_a_second_server_on_the_catalog_stops_though_its_folder_is_its_own(
    first: tuple[Path, subprocess.Popen[str], str], tmp_path: Path
) -> None:
    folder, process, _ = first
    told = refused(write_config(tmp_path, catalog_url=f"sqlite:///{folder / 'data' / 'catalog.db'}"))
    assert f"catalog.db is locked by another server, process {process.pid}. Stop that one" in told


def test_a_killed_servers_folder_is_free(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with running(config) as (process, _):
        process.kill()
        process.wait()
        with running(config) as (_, url):
            assert httpx.get(f"{url}/healthz").status_code == 200


@pytest.mark.usefixtures("own_logs")
def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = refused(write_config(tmp_path, port=port))
    assert f"cannot listen on 127.0.0.1 port {port}" in told
    assert "--port" in told


def test_tls(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    with running(write_config(tmp_path, tls_cert=str(certificate), tls_key=str(key))) as (_, url):
        assert url.startswith("https://")
        assert httpx.get(f"{url}/healthz", verify=_trust(certificate)).json() == {"status": "ready"}


@pytest.mark.usefixtures("own_logs")
def test_a_key_that_is_no_key(tmp_path: Path) -> None:
    certificate, _ = self_signed(tmp_path)
    told = refused(write_config(tmp_path, tls_cert=str(certificate), tls_key=str(certificate)))
    assert "--tls-cert" in told
    assert "are not valid" in told


@pytest.mark.usefixtures("own_logs")
def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert "cannot be used" in refused(write_config(tmp_path))


@pytest.mark.usefixtures("own_logs")
def test_a_store_that_has_vanished_is_told_and_not_made_anew(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with opened_catalog(tmp_path / "data") as catalog:
        stored_collection(catalog)
    told = refused(write_config(tmp_path))
    assert "collections has none of the 1 tables in the catalog. Mount it" in told
    assert not (tmp_path / "data" / "collections").exists()


def test_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    refusal = pytest.raises(DataFolderInUse, match=f"process {os.getpid()}")
    with lock_data_dir(tmp_path), refusal, lock_data_dir(tmp_path):
        pass
    with lock_data_dir(tmp_path):
        pass


def _trust(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))

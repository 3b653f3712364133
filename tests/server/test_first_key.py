"""The first key is made on the data folder, before or beside a server; a running server learns of it by itself."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from penstock.access.authentication import FRESH_SECONDS
from penstock.cli.main import cli
from tests.support.certificates import self_signed
from tests.support.servers import PENSTOCK, ended_server, running_server
from tests.support.wire import V2

LIMIT = 30.0
"""Of a machine that is busy; the server itself looks twice a second."""


def run(folder: Path, catalog_url: str, *arguments: str) -> Result:
    where = ("--data-dir", str(folder / "data"))
    done = CliRunner().invoke(cli, [*arguments, *where], env={"PENSTOCK_CATALOG_URL": catalog_url})
    assert done.exit_code == 0, done.output
    return done


def code_for(url: str, key: str) -> int:
    code: int = httpx.post(f"{url}{V2}/list", content="{}", headers={"authorization": key}, timeout=30).json()["code"]
    return code


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < end, "it did not become true"
        time.sleep(0.05)


def test_a_running_server_learns_of_keys_and_users(tmp_path: Path, catalog_url: str) -> None:
    assert FRESH_SECONDS < 1
    with running_server(tmp_path, env={"PENSTOCK_CATALOG_URL": catalog_url}, forked=True) as server:
        assert code_for(server.url, "") == 0, "no key yet: everybody on this machine may come in"
        key = run(tmp_path, catalog_url, "keys", "create", "ops", "--role", "admin").stdout.strip()
        until(lambda: code_for(server.url, "") == 1800)
        assert code_for(server.url, key) == 0

        other = run(tmp_path, catalog_url, "keys", "create", "other", "--role", "reader").stdout.strip()
        assert code_for(server.url, other) == 0
        run(tmp_path, catalog_url, "keys", "revoke", "other")
        until(lambda: code_for(server.url, other) == 1800)

        run(tmp_path, catalog_url, "users", "create", "ann", "--role", "reader", "--password", "correct horse")
        assert code_for(server.url, "ann:correct horse") == 0
        run(tmp_path, catalog_url, "users", "set-password", "ann", "--password", "battery staple")
        until(lambda: code_for(server.url, "ann:correct horse") == 1800)
        run(tmp_path, catalog_url, "users", "drop", "ann")
        until(lambda: code_for(server.url, "ann:battery staple") == 1800)

        run(tmp_path, catalog_url, "keys", "revoke", "ops")
        until(lambda: code_for(server.url, key) == 1800)
        assert code_for(server.url, "") == 1800, "to revoke the last key opens no doors"


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_the_first_key_comes_before_the_first_start(tmp_path: Path) -> None:
    """And a server that others can reach starts with it, and with TLS, and not without."""
    certificate, tls_key = self_signed(tmp_path)
    open_to_all = ("--host", "0.0.0.0")
    with_tls = ("--tls-cert", str(certificate), "--tls-key", str(tls_key))
    assert "penstock keys create NAME --role admin" in refusal(tmp_path, *open_to_all, *with_tls)
    made = CliRunner().invoke(cli, ["keys", "create", "ops", "--role", "admin", "--data-dir", str(tmp_path / "data")])
    assert "--tls-cert" in refusal(tmp_path, *open_to_all)
    assert "--auth off is allowed on loopback only" in refusal(tmp_path, *open_to_all, *with_tls, "--auth", "off")
    with running_server(tmp_path, *open_to_all, *with_tls) as server:
        reply = httpx.post(
            f"{server.url}{V2}/list", content="{}", verify=False, headers={"authorization": made.stdout.strip()}
        )
        assert reply.json()["code"] == 0
        assert reply.headers["strict-transport-security"] == "max-age=31536000"
        assert httpx.get(f"{server.url}/healthz", verify=False).json() == {"status": "ready"}


def refusal(folder: Path, *flags: str) -> str:
    """What a server says that won't start."""
    done = ended_server("--data-dir", str(folder / "data"), *flags)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_what_is_made_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Whatever the folder allows that was made for it, and the mask of who starts a server or a command."""
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o755)
    mask = os.umask(0o022)
    try:
        assert subprocess.run([PENSTOCK, "orgs", "create", "acme", "--data-dir", data], timeout=60).returncode == 0
        with running_server(tmp_path, "--workers", "1") as server, server.client() as client:
            (server.import_root / "docs.jsonl").write_text('{"id": 1, "vector": [1, 2]}\n')
            client.collections.create("docs", dimension=2)
            client.imports.wait(client.imports.create("docs", ["docs.jsonl"]))
            made = list(data.rglob("*"))
            assert {"catalog.db", "secret.key", "server.json"} <= {each.name for each in made}
            assert any(each.suffix == ".lance" and each.is_file() for each in made)
            assert [each for each in made if each.stat().st_mode & 0o077] == []
    finally:
        os.umask(mask)

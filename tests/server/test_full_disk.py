"""A disk that is full, and folders that vanish: reads are answered, writes refused, until the cause is gone.

On real small file systems in memory. Mounting them takes the rights of root: where those are missing, what needs them
is skipped.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from penstock.server.health import RESERVE
from tests.support.servers import RunningServer, running_server

LIMIT = 60.0
_SIZE = 96 << 20


def mount(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The data folder of a server below ``tmp_path``, on a disk of its own."""
    folder = tmp_path / "data"
    mount(folder)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left, to the last byte."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)
    assert os.statvfs(folder).f_bavail == 0
    return filler


def health(server: RunningServer) -> tuple[int, dict[str, str]]:
    reply = httpx.get(f"{server.url}/healthz", timeout=30)
    return reply.status_code, reply.json()


def until_health(server: RunningServer, status: int, words: str = "") -> dict[str, str]:
    end = time.monotonic() + LIMIT
    while True:
        code, told = health(server)
        if code == status and words in told.get("reason", ""):
            return told
        assert time.monotonic() < end, f"{code}: {told}"
        time.sleep(0.2)


def test_a_full_disk_lets_a_server_start_for_reading(tmp_path: Path, small_disk: Path) -> None:
    rows = '{"id": 1, "vector": [1, 2]}\n'
    with running_server(tmp_path, forked=True) as server, server.client() as client:
        (server.import_root / "docs.jsonl").write_text(rows)
        client.collections.create("docs", dimension=2)
        client.imports.wait(client.imports.create("docs", ["docs.jsonl"]))
        assert (small_disk / RESERVE).stat().st_size > 0
    filler = fill(small_disk)
    with running_server(tmp_path, ready=503, forked=True) as server, server.client() as client:
        told = until_health(server, 503, "is full")
        assert told["status"] == "read-only"
        assert client.count("docs") == 1
        assert [job.state for job in client.imports.list()] == ["Completed"]
        assert list(client.collections.list()) == ["docs"]
        for refused in (
            lambda: client.imports.create("docs", ["docs.jsonl"]),
            lambda: client.collections.create("more", dimension=2),
        ):
            with pytest.raises(Exception, match=r"is full.*only serves reads"):
                refused()
        filler.unlink()
        until_health(server, 200)
        client.imports.wait(client.imports.create("docs", ["docs.jsonl"]))
        assert client.count("docs") == 2
        assert (small_disk / RESERVE).exists()


def test_a_disk_that_fills_while_the_server_runs(tmp_path: Path, small_disk: Path) -> None:
    with running_server(tmp_path, forked=True) as server, server.client() as client:
        client.collections.create("docs", dimension=2)
        filler = fill(small_disk)
        until_health(server, 503, "is full")
        assert client.count("docs") == 0
        filler.unlink()
        until_health(server, 200)


def test_health_tells_what_vanished_and_that_it_is_back(tmp_path: Path) -> None:
    with running_server(tmp_path, forked=True) as server, server.client() as client:
        client.collections.create("docs", dimension=2)
        for folder, words in (
            (server.import_root, "import root"),
            (server.data_dir / "collections", "none of the 1 tables"),
            (server.data_dir, "data dir"),
        ):
            until_health(server, 200)
            away = folder.rename(tmp_path / "away")
            until_health(server, 503, words)
            if folder.exists():
                folder.rmdir()
            away.rename(folder)
        until_health(server, 200)
        assert client.count("docs") == 0

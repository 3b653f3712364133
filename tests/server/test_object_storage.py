"""Collections in an object store (``--storage-url s3://…``): everything that a server does, on a real S3 server."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import psutil
import pytest

import penstock
from penstock.server.doctor import Health, examine
from penstock.settings import load_settings
from tests.chaos.crashing_server import CrashPoint
from tests.chaos.processes import start
from tests.support.faulty_store import Faults, faulty_store
from tests.support.s3 import S3Server
from tests.support.servers import RunningServer, running_server

ROWS = 3_000
FLAGS = ("--workers", "1", "--split-bytes", "20KiB")
LIMIT = 90.0


def keys(s3: S3Server, secret: str = "the-stores-own-secret") -> dict[str, str]:
    """Settings of the store's own; there are none of import roots."""
    return {
        "PENSTOCK_STORAGE_ENDPOINT": s3.endpoint,
        "PENSTOCK_STORAGE_REGION": "us-east-1",
        "PENSTOCK_STORAGE_ACCESS_KEY": "the-stores-own-key",
        "PENSTOCK_STORAGE_SECRET_KEY": secret,
    }


def write(folder: Path, name: str, first: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    rows = ({"id": first + row, "vector": [row, 1.0, 2.0, 3.0]} for row in range(ROWS))
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def ids(client: penstock.Client) -> list[int]:
    return sorted(
        row["id"]
        for start in range(0, client.count("docs"), 1_000)
        for row in client.query("docs", filter=f"{start} <= id < {start + 1_000}", output_fields=["id"], limit=2_000)
    )


def test_a_life_in_a_bucket(tmp_path: Path, s3: S3Server) -> None:
    bucket = s3.make_bucket()
    flags = (*FLAGS, "--storage-url", f"s3://{bucket}/some/prefix")
    write(tmp_path / "files", "docs.jsonl")
    with running_server(tmp_path, *flags, env=keys(s3)) as server, server.client() as client:
        client.collections.create("docs", dimension=4)
        client.imports.wait(client.imports.create("docs", ["docs.jsonl"]), timeout=LIMIT)
        assert client.count("docs") == ROWS
        assert arguments(server).find("the-stores-own") == -1
    assert not (tmp_path / "data" / "collections").exists()
    kept = s3.keys(bucket)
    assert kept
    assert all(key.startswith("some/prefix/") for key in kept)

    given = {"data_dir": str(tmp_path / "data"), "import_root": (str(tmp_path / "files"),), "storage_url": flags[-1]}
    told = examine(load_settings(given, environment=keys(s3)))
    assert [each for each in told if each.health is not Health.OK and each.check != "disk space"] == []
    assert "can be written" in next(each.found for each in told if each.check == "store")
    lost = examine(load_settings(given | {"storage_url": "s3://no-such-bucket"}, environment=keys(s3)))
    assert "its bucket is missing" in next(each.found for each in lost if each.check == "store")

    with running_server(tmp_path, *flags, env=keys(s3), forked=True) as server, server.client() as client:
        assert ids(client) == list(range(ROWS))
        [hits] = client.search("docs", [[7.0, 1.0, 2.0, 3.0]], limit=1)
        assert [hit.id for hit in hits] == [7]
        server.wait_until_maintained()
        client.collections.drop("docs")
        wait_until(lambda: s3.keys(bucket) == [])
    assert "the-stores-own" not in server.log.read_text()


def arguments(server: RunningServer) -> str:
    process = psutil.Process(server.process.pid)
    return " ".join(word for each in (process, *process.children(recursive=True)) for word in each.cmdline())


def wait_until(true: object) -> None:
    assert callable(true)
    until = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_store_that_will_not_do_ends_the_start_with_one_sentence(tmp_path: Path, s3: S3Server) -> None:
    with faulty_store(s3.endpoint, Faults(ignored=frozenset({"if-none-match"})), seed=1) as forgetful:
        for store, endpoint, reason in (
            ("s3://no-such-bucket/x", s3.endpoint, "s3://no-such-bucket/x does not exist"),
            (f"s3://{s3.make_bucket()}/x", forgetful.url, "does not support conditional writes"),
        ):
            environment = keys(s3) | {"PENSTOCK_STORAGE_ENDPOINT": endpoint}
            with (
                pytest.raises(RuntimeError) as raised,
                running_server(tmp_path, "--storage-url", store, env=environment, forked=True),
            ):
                pass
            [line] = [line for line in str(raised.value).splitlines() if reason in line]
            assert "Traceback" not in str(raised.value)
            assert "the-stores-own" not in str(raised.value), line


COMMIT = [("engine commit", "after")]
OTHERS = [
    ("engine commit", "before"),
    ("save split", "before"),
    ("save split", "after"),
    ("publish group", "before"),
    ("publish group", "after"),
    ("raise version", "before"),
    ("raise version", "after"),
]


@pytest.mark.parametrize(
    ("step", "moment"), [*COMMIT, *(pytest.param(*each, marks=pytest.mark.slow) for each in OTHERS)]
)
def test_a_server_that_dies_on_the_way_to_a_commit(
    tmp_path: Path, s3: S3Server, step: str, moment: Literal["before", "after"]
) -> None:
    flags = (*FLAGS, "--storage-url", f"s3://{s3.make_bucket()}/x")
    write(tmp_path / "files", "docs.jsonl")
    crash_point = CrashPoint(step, moment, 1, str(tmp_path / "died"))
    crashing = start(tmp_path, "crashing", list(flags), None, crash_point, keys(s3))
    try:
        with penstock.Client(str(crashing.url())) as client:
            client.collections.create("docs", dimension=4)
            job = client.imports.create("docs", ["docs.jsonl"])
        crashing.process.join(LIMIT)
        assert crashing.process.exitcode == -signal.SIGKILL
        assert crashing.has_crashed
    finally:
        crashing.kill(with_workers=True)
    with running_server(tmp_path, *flags, env=keys(s3), forked=True) as server, server.client() as client:
        client.imports.wait(job.id, timeout=LIMIT)
        assert ids(client) == list(range(ROWS))


def test_servers_far_apart_share_a_bucket(tmp_path: Path, s3: S3Server, postgres_url: str) -> None:
    """Each has a data folder of its own; what they share is the catalog, the store and the secret key."""
    bucket = s3.make_bucket()
    (tmp_path / "secret.key").write_bytes(b"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
    os.chmod(tmp_path / "secret.key", 0o600)
    flags = (*FLAGS, "--storage-url", f"s3://{bucket}/x", "--encryption-key-file", str(tmp_path / "secret.key"))
    for number in range(6):
        write(tmp_path / "files", f"{number}.jsonl", number * ROWS)
    with ExitStack() as stack:
        clients = []
        for name in ("one", "two"):
            server = stack.enter_context(
                running_server(
                    tmp_path / name,
                    *flags,
                    "--import-root",
                    str(tmp_path / "files"),
                    env=keys(s3) | {"PENSTOCK_CATALOG_URL": postgres_url},
                    forked=True,
                )
            )
            clients.append(stack.enter_context(server.client()))
        clients[0].collections.create("docs", dimension=4)
        jobs = [clients[number % 2].imports.create("docs", [f"{number}.jsonl"]) for number in range(6)]
        for number, job in enumerate(jobs):
            clients[(number + 1) % 2].imports.wait(job.id, timeout=LIMIT)
        for client in clients:
            assert ids(client) == list(range(6 * ROWS))

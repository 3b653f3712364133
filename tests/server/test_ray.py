"""A server whose splits run on a real Ray cluster of several nodes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from penstock import JobFailed
from penstock.cli.main import cli
from tests.support.ray_cluster import RayCluster, ray_cluster
from tests.support.s3 import S3Server
from tests.support.servers import PENSTOCK, RunningServer, clean_environment, running_server

LIMIT = 120.0


def flags(cluster: RayCluster) -> tuple[str, ...]:
    return ("--runner", "ray", "--ray-address", cluster.address, "--split-bytes", "40KiB")


def lines(rows: int, width: int = 4) -> bytes:
    return b"".join(
        json.dumps({"id": row, "vector": [float(row), *[1.0] * (width - 1)]}).encode() + b"\n" for row in range(rows)
    )


def splits(server: RunningServer) -> list[tuple[str, int]]:
    """State and attempts of every split of the only job."""
    with sqlite3.connect(f"file:{server.data_dir / 'catalog.db'}?mode=ro", uri=True) as catalog:
        found = catalog.execute("SELECT state, attempts FROM job_split ORDER BY ordinal").fetchall()
    catalog.close()
    return found


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < end, "it did not become true"
        time.sleep(0.02)


def in_buckets(s3: S3Server, files: Mapping[str, bytes]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Flags and environment of a server whose files and collections are in buckets, each with keys of its own."""
    root, store = s3.make_bucket(), s3.make_bucket()
    for name, text in files.items():
        s3.put(root, name, text)
    environment = {
        **s3.environment,
        "PENSTOCK_STORAGE_ACCESS_KEY": "the-stores-own-key",
        "PENSTOCK_STORAGE_SECRET_KEY": "the-stores-own-secret",
    }
    return ("--import-root", f"s3://{root}", "--storage-url", f"s3://{store}/tables"), environment


def test_the_cluster_reads_and_writes_object_stores_and_bad_rows_are_named(
    tmp_path: Path, ray_nodes: RayCluster, s3: S3Server
) -> None:
    faulty = lines(2000) + b'{"id": 9000, "vector": [1, 2, 3]}\n' + lines(1000)
    places, environment = in_buckets(s3, {"docs.jsonl": lines(3000), "bad.jsonl": faulty})
    with (
        running_server(tmp_path, *flags(ray_nodes), *places, env=environment) as server,
        server.client() as client,
    ):
        client.collections.create("docs", dimension=4)
        good = client.imports.wait(client.imports.create("docs", ["docs.jsonl"]).id, timeout=LIMIT)
        bad = client.imports.create("docs", ["bad.jsonl"])
        with pytest.raises(JobFailed, match=r"bad\.jsonl', row 2000, .*field 'vector'"):
            client.imports.wait(bad.id, timeout=LIMIT)
        assert (good.state, client.count("docs")) == ("Completed", 3000)
    told = server.log.read_text() + "".join(ray_nodes.logs().values())
    assert s3.environment["AWS_SECRET_ACCESS_KEY"] not in told
    assert environment["PENSTOCK_STORAGE_SECRET_KEY"] not in told
    assert not (tmp_path / "data" / "collections").exists()


@pytest.mark.slow
def test_the_cluster_writes_to_the_store_of_the_jobs_own_cluster(
    tmp_path: Path, ray_nodes: RayCluster, s3: S3Server
) -> None:
    """Penstock's clusters, of tenants; the keys for their stores are the server's."""
    places, environment = in_buckets(s3, {"docs.jsonl": lines(3000)})
    theirs = s3.make_bucket()

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli, [*arguments, "--data-dir", str(tmp_path / "data")], env=environment)
        assert done.exit_code == 0, done.output
        return done.stdout.strip()

    run("clusters", "create", "in01-acme", "--org", "acme", "--storage-url", f"s3://{theirs}/acme")
    key = run("keys", "create", "acme", "--org", "acme", "--cluster", "in01-acme", "--role", "writer")
    with (
        running_server(tmp_path, *flags(ray_nodes), *places, env=environment) as server,
        server.client(api_key=key) as client,
    ):
        client.collections.create("docs", dimension=4)
        assert client.imports.wait(client.imports.create("docs", ["docs.jsonl"]).id, timeout=LIMIT).rows == 3000
        assert client.count("docs") == 3000
    kept = s3.keys(theirs)
    assert [name for name in kept if name.startswith("acme/") and "/data/" in name]
    assert s3.keys(places[-1].removeprefix("s3://").partition("/")[0]) == []


@pytest.mark.slow
@pytest.mark.parametrize("where", ["folders", "buckets"])
def test_a_lost_node_costs_only_its_splits_and_every_row_is_there_once(
    tmp_path: Path, where: str, s3: S3Server
) -> None:
    rows = 30_000
    places: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    if where == "buckets":
        places, environment = in_buckets(s3, {"docs.jsonl": lines(rows)})
    with (
        ray_cluster(1, head_cpus=1) as cluster,
        running_server(tmp_path, *flags(cluster), *places, env=environment) as server,
    ):
        if where == "folders":
            (server.import_root / "docs.jsonl").write_bytes(lines(rows))
        with server.client() as client:
            client.collections.create("docs", dimension=4)
            job = client.imports.create("docs", ["docs.jsonl"])
            until(lambda: sum(state == "Staged" for state, _ in splits(server)) >= 4)
            cluster.stall_node(1)
            # The other node goes on; what the stalled one has in hand is all that is left in the end.
            until(lambda: 0 < sum(state != "Staged" for state, _ in splits(server)) <= 2)
            cluster.kill_node(1)
            assert client.imports.wait(job.id, timeout=LIMIT).state == "Completed"
            assert client.count("docs") == rows
            seam = client.query("docs", filter="id < 1000", output_fields=["id"], limit=2000)
            assert sorted(row["id"] for row in seam) == list(range(1000))
        again = [attempts for _, attempts in splits(server) if attempts > 1]
        assert 1 <= len(again) <= 2
        assert set(again) == {2}


@pytest.mark.slow
def test_an_abort_ends_the_tasks_in_the_cluster(tmp_path: Path, ray_nodes: RayCluster) -> None:
    with running_server(tmp_path, *flags(ray_nodes)) as server:
        (server.import_root / "docs.jsonl").write_bytes(lines(30_000))
        with server.client() as client:
            client.collections.create("docs", dimension=4)
            job = client.imports.create("docs", ["docs.jsonl"])
            until(lambda: sum(state == "Staged" for state, _ in splits(server)) >= 2)
            client.imports.abort(job.id)
            with pytest.raises(JobFailed):
                client.imports.wait(job.id, timeout=LIMIT)
            assert client.count("docs") == 0
            (server.import_root / "more.jsonl").write_bytes(lines(100))
            assert client.imports.wait(client.imports.create("docs", ["more.jsonl"]).id, timeout=LIMIT).rows == 100


@pytest.mark.slow
def test_a_cluster_that_is_not_there_ends_the_start_with_the_reason(tmp_path: Path) -> None:
    done = subprocess.run(
        [PENSTOCK, "serve", "--port", "0", "--data-dir", tmp_path, "--runner", "ray", "--ray-address", "127.0.0.1:1"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 1
    assert "can't use the Ray cluster at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr

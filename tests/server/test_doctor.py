"""Examining sound and broken data folders."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from penstock.cli.main import cli
from penstock.server.doctor import CheckResult, Health, examine
from tests.support.http import make_settings
from tests.support.postgres import PostgresServer
from tests.support.s3 import S3Server
from tests.support.servers import RunningServer, running_server


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server that has imported, failed, and was stopped: ``data`` and ``files``."""
    folder = tmp_path_factory.mktemp("used")
    with running_server(folder, forked=True) as server:
        (server.import_root / "docs.jsonl").write_text('{"id": 1, "vector": [1, 2]}\n{"id": 2, "vector": [3, 4]}\n')
        with server.client() as client:
            client.collections.create("docs", dimension=2)
            client.imports.wait(client.imports.create("docs", ["docs.jsonl"]))
    return folder


@pytest.fixture
def folder(used: Path, tmp_path: Path) -> Path:
    """A copy of it to break."""
    return Path(shutil.copytree(used, tmp_path / "copy"))


def findings(folder: Path, **flags: object) -> list[CheckResult]:
    flags = {"import_root": (str(folder / "files"),), **flags}
    return list(examine(make_settings(folder / "data", **flags)))


def bad(folder: Path, **flags: object) -> dict[str, CheckResult]:
    """What isn't well, by the name of the check; the machine's own state left aside."""
    found = [finding for finding in findings(folder, **flags) if finding.health is not Health.OK]
    assert all(each.remedy for each in found)
    return {each.check: each for each in found if each.check != "disk space"}


def table(folder: Path) -> Path:
    (found,) = (folder / "data" / "collections").glob("*.lance")
    return found


def execute(folder: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(folder / "data" / "catalog.db")) as connection, connection:
        connection.execute(statement, values)


def test_a_sound_folder(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (folder / "data").rglob("*.lance*/**/*") if path.is_file()}
    assert bad(folder) == {}
    checks = {finding.check: finding.found for finding in findings(folder)}
    assert {"versions", "clock", "disk space", "secret.key", "integrity", "store", "orphans", "jobs"} <= checks.keys()
    assert "not locked by a server" in checks["data dir"]
    assert "all 1 can be read" in checks["collections"]
    assert "2 rows" in checks["collections"]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_while_a_server_runs(server: RunningServer) -> None:
    found = {
        each.check: each for each in examine(make_settings(server.data_dir, import_root=(str(server.import_root),)))
    }
    assert f"locked by process {server.process.pid}" in found["data dir"].found
    assert not [each for each in found.values() if each.health is Health.FAIL]


def test_no_folder(tmp_path: Path) -> None:
    found = bad(tmp_path / "absent")
    assert found["data dir"].health is Health.FAIL
    assert "--data-dir" in found["data dir"].remedy
    assert found["import root"].health is Health.FAIL
    assert not (tmp_path / "absent").exists()


def test_an_unused_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    found = bad(tmp_path, import_root=())
    assert {name: each.health for name, each in found.items()} == {"catalog": "warn", "import root": "warn"}
    assert list((tmp_path / "data").iterdir()) == []


def test_a_catalog_newer_than_the_program(folder: Path) -> None:
    execute(folder, "UPDATE alembic_version SET version_num = '9999'")
    found = bad(folder)
    assert list(found) == ["catalog"]
    assert "revision 9999" in found["catalog"].found
    assert "newer" in found["catalog"].remedy


def test_a_lost_catalog(folder: Path) -> None:
    (folder / "data" / "catalog.db").unlink()
    assert bad(folder)["catalog"].health is Health.FAIL


def test_a_damaged_catalog(folder: Path) -> None:
    path = folder / "data" / "catalog.db"
    content = bytearray(path.read_bytes())
    content[4096 * 2 : 4096 * 12] = os.urandom(4096 * 10)
    path.write_bytes(content)
    found = bad(folder)
    assert {"catalog", "integrity"} & found.keys()
    assert Health.FAIL in {each.health for each in found.values()}


def test_a_file_that_is_no_catalog(folder: Path) -> None:
    (folder / "data" / "catalog.db").write_bytes(b"nothing of the kind " * 1000)
    assert "not a database" in bad(folder)["catalog"].found


def test_counters_that_disagree(folder: Path) -> None:
    execute(folder, "UPDATE job_counter SET jobs = jobs + 1 WHERE state = 'Completed'")
    assert "1 jobs are Completed, but 2 are counted" in bad(folder)["integrity"].found
    execute(folder, "UPDATE job_counter SET jobs = jobs - 1 WHERE state = 'Completed'")
    execute(folder, "UPDATE job_day SET jobs = 5")
    assert "1 jobs are Completed, but 5 are counted by day" in bad(folder)["integrity"].found


def test_a_missing_table(folder: Path) -> None:
    shutil.rmtree(table(folder))
    found = bad(folder)
    assert "default.docs" in found["collection"].found
    assert "Restart the server" in found["collection"].remedy


def test_an_unreadable_manifest(folder: Path) -> None:
    newest = min((table(folder) / "_versions").glob("*.manifest"))
    newest.write_bytes(b"")
    assert bad(folder)["collection"].health is Health.FAIL


def test_an_unreadable_manifest_of_an_older_version(folder: Path) -> None:
    *_, oldest = sorted((table(folder) / "_versions").glob("*.manifest"))  # their names count down
    oldest.write_bytes(b"nonsense")
    for path in (table(folder) / "data").iterdir():
        os.utime(path, (0, 0))
    found = bad(folder)
    assert found.keys() == {"orphans"}
    assert "default.docs: " in found["orphans"].found


def test_a_table_older_than_was_noted(folder: Path) -> None:
    execute(folder, "UPDATE collection SET version = version + 5")
    assert "was committed" in bad(folder)["collection"].found


def test_a_lost_store(folder: Path) -> None:
    shutil.rmtree(folder / "data" / "collections")
    assert "the catalog has 1 collections" in bad(folder)["store"].found


def test_files_that_belong_to_nothing(folder: Path) -> None:
    orphan = table(folder) / "data" / "left.lance"
    orphan.write_bytes(b"x" * 1000)
    old = time.time() - 3600
    os.utime(orphan, (old, old))
    shutil.copytree(table(folder), folder / "data" / "collections" / "0123456789abcdef.lance")
    found = bad(folder)
    assert "1,000 bytes in orphan files of default.docs" in found["orphans"].found
    assert "0123456789abcdef.lance" in found["strays"].found
    assert orphan.exists()


def test_jobs_that_nobody_works_on(folder: Path) -> None:
    execute(
        folder,
        "UPDATE job SET state = 'Importing', runnable = 1, owner = 'gone', lease_until = ?",
        int((time.time() - 3600) * 1000),
    )
    execute(folder, "DELETE FROM job_counter WHERE state <> 'Completed'")
    execute(folder, "UPDATE job_counter SET state = 'Importing' WHERE state = 'Completed'")
    execute(folder, "DELETE FROM job_day")
    found = bad(folder)
    assert list(found) == ["jobs"]
    assert "(Importing, since " in found["jobs"].found
    assert "Start the server" in found["jobs"].remedy


def test_a_job_of_the_future(folder: Path) -> None:
    execute(folder, "UPDATE job SET created_at = ?", int((time.time() + 3600) * 1000))
    assert "in the future" in bad(folder)["clock"].found


def test_a_folder_that_others_may_read(folder: Path) -> None:
    data = folder / "data"
    data.chmod(0o755)
    assert "data dir" not in bad(folder), "what is in it was made for its owner alone"
    (data / "catalog.db").chmod(0o644)
    found = bad(folder)["data dir"]
    assert "with catalog.db in it" in found.found
    assert found.remedy == f"chmod -R go= {data}"
    data.chmod(0o700)
    assert "data dir" not in bad(folder)


def test_links_that_lead_nowhere(folder: Path) -> None:
    (folder / "data").chmod(0o755)
    (folder / "data" / "old").symlink_to(folder / "unmounted")
    assert (
        bad(folder)["data dir"].found == f"{folder}/data/old is a symbolic link to {folder}/unmounted, "
        "which does not exist"
    )
    (folder / "data").rename(folder / "elsewhere")
    (folder / "data").symlink_to(folder / "unmounted")
    assert "data is a symbolic link to" in bad(folder)["data dir"].found


def test_a_key_that_others_may_read(folder: Path) -> None:
    (folder / "data" / "secret.key").chmod(0o644)
    assert "chmod 600" in bad(folder)["secret.key"].remedy


def test_a_key_that_is_gone_or_broken(folder: Path) -> None:
    path = folder / "data" / "secret.key"
    path.write_bytes(b"short")
    assert bad(folder)["secret.key"].health is Health.FAIL
    path.unlink()
    assert bad(folder)["secret.key"].health is Health.FAIL
    assert not path.exists()


def test_keys_sealed_with_another_key(folder: Path) -> None:
    execute(folder, "INSERT INTO job_secret (job_id, sealed) VALUES (1, ?)", b"sealed elsewhere")
    assert bad(folder)["credentials"].health is Health.FAIL


def test_tenants_that_may_import_each_others_files(folder: Path) -> None:
    def create(*arguments: str) -> None:
        data = ["--data-dir", str(folder / "data")]
        done = CliRunner().invoke(cli, [*arguments, *data], catch_exceptions=False)
        assert done.exit_code == 0, done.output

    create("keys", "create", "ops", "--role", "admin")
    for org in ("ann", "bob"):
        create("clusters", "create", f"in01-{org}", "--org", org)
    create("keys", "create", "look", "--org", "ann", "--role", "reader")
    create("keys", "create", "old", "--org", "ann", "--role", "writer")
    assert bad(folder)["tenants"].found.startswith("the key old (key-")
    create("keys", "revoke", "old")
    create("keys", "create", "ann", "--org", "ann", "--role", "writer", "--root", "ann")
    assert "tenants" not in bad(folder), "who only reads imports nothing, and the operator may read everything"
    assert "tenants" in {finding.check for finding in findings(folder)}
    create("keys", "create", "bob", "--org", "bob", "--role", "writer", "--expires", "1h")
    found = bad(folder)["tenants"]
    assert "the key bob (key-" in found.found
    assert "--root" in found.remedy


def test_missing_roots(folder: Path) -> None:
    found = bad(folder, import_root=(str(folder / "files"), str(folder / "nowhere")))
    assert "nowhere" in found["import root"].found


def test_buckets(folder: Path, s3: S3Server) -> None:
    store = {"s3_endpoint": s3.endpoint, "s3_region": "us-east-1", "s3_access_key": "k", "s3_secret_key": "hush"}
    bucket = s3.make_bucket()
    assert bad(folder, import_root=(f"s3://{bucket}/some/prefix", "s3://"), **store) == {}
    found = bad(folder, import_root=("s3://no-such-bucket-here",), **store)
    assert "no-such-bucket-here" in found["import root"].found
    assert "hush" not in str(found)


# The catalog in PostgreSQL


def test_a_catalog_in_postgresql(tmp_path: Path, postgres: PostgresServer, postgres_url: str) -> None:
    with running_server(tmp_path, env={"PENSTOCK_CATALOG_URL": postgres_url}, forked=True) as server:
        (server.import_root / "docs.jsonl").write_text('{"id": 1, "vector": [1, 2]}\n')
        with server.client() as client:
            client.collections.create("docs", dimension=2)
            client.imports.wait(client.imports.create("docs", ["docs.jsonl"]), timeout=90)
        assert bad(tmp_path, catalog=postgres_url) == {}, "while a server runs"
    checks = {finding.check: finding.found for finding in findings(tmp_path, catalog=postgres_url)}
    assert {"catalog", "integrity", "collections", "store", "orphans", "jobs"} <= checks.keys()
    assert "1 rows" in checks["collections"]
    assert bad(tmp_path, catalog=postgres_url) == {}
    with psycopg.connect(postgres_url) as connection:
        connection.execute("UPDATE job_counter SET jobs = jobs + 1 WHERE state = 'Completed'")
    assert "1 jobs are Completed, but 2 are counted" in bad(tmp_path, catalog=postgres_url)["integrity"].found
    with psycopg.connect(postgres_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    newer = bad(tmp_path, catalog=postgres_url)
    assert list(newer) == ["catalog"]
    assert "revision 9999" in newer["catalog"].found
    postgres.drop_database(postgres_url)
    gone = bad(tmp_path, catalog=postgres_url)
    assert gone["catalog"].health is Health.FAIL
    assert postgres.password not in str([*checks.values(), newer, gone])


def test_an_empty_database(tmp_path: Path, postgres_url: str) -> None:
    (tmp_path / "data").mkdir()
    found = bad(tmp_path, import_root=(), catalog=postgres_url)
    assert "is empty" in found["catalog"].found
    assert found["catalog"].health is Health.WARN


def run(folder: Path, *flags: str) -> tuple[int, str]:
    arguments = ["doctor", "--data-dir", str(folder / "data"), "--import-root", str(folder / "files"), *flags]
    done = CliRunner().invoke(cli, arguments, prog_name="penstock")
    return done.exit_code, done.output


def test_the_command(folder: Path) -> None:
    code, told = run(folder)
    assert code == 0
    assert "ok" in told
    (folder / "data" / "secret.key").chmod(0o640)
    code, told = run(folder)
    assert code == 0  # a warning is no failure
    assert "warn secret.key: " in told
    shutil.rmtree(table(folder))
    code, told = run(folder)
    assert code == 1
    assert "fail collection: default.docs" in told


def test_the_command_for_programs(folder: Path) -> None:
    code, told = run(folder, "--json")
    found = json.loads(told)
    assert code == 0
    assert {"check", "health", "found", "remedy"} == found[0].keys()
    assert {each["health"] for each in found} <= {"ok", "warn"}

"""Migrations, transactions, and what becomes of a database that fails."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from penstock.catalog import Catalog, open_catalog
from penstock.catalog.db import dialects
from penstock.catalog.db.connection import (
    SQLITE_SCHEMA,
    CatalogDatabase,
    current_revision,
    migrations,
    revisions,
)
from penstock.catalog.db.dialects import parse_catalog_url, without_secrets
from penstock.catalog.db.tables import metadata
from penstock.errors import (
    CatalogError,
    CatalogFull,
    CatalogUnavailable,
    DatabaseNotFound,
    InvalidParameter,
    Transient,
)
from tests.support.catalogs import CLUSTER, new_job, stored_collection
from tests.support.migrations import migrated_schema
from tests.support.postgres import PostgresServer


def test_migrations_build_exactly_the_tables_that_the_code_uses(catalog: Catalog) -> None:
    with catalog.database.read() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []


def test_an_empty_sqlite_file_gets_what_the_migrations_make() -> None:
    assert SQLITE_SCHEMA.read_text() == migrated_schema(), "python -m tests.support.migrations --schema"


def test_the_revisions_are_those_of_the_migrations(catalog: Catalog) -> None:
    script = ScriptDirectory.from_config(migrations())
    assert revisions() == [each.revision for each in reversed(list(script.walk_revisions()))]
    with catalog.database.read() as connection:
        assert current_revision(connection) == script.get_current_head()


def test_neither_a_new_nor_a_current_sqlite_catalog_loads_alembic(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from penstock.catalog import open_catalog\n"
        f"for _ in range(2):\n    open_catalog('sqlite:///{tmp_path / 'catalog.db'}', b'A' * 43 + b'=').close()\n"
        "print(sorted({'alembic', 'mako'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_an_sqlite_file_with_tables_of_others_keeps_them(tmp_path: Path) -> None:
    database = CatalogDatabase(f"sqlite:///{tmp_path / 'catalog.db'}")
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE holidays (place TEXT)")
    database.migrate()
    with database.read() as connection:
        assert {"holidays", "job"} <= set(inspect(connection).get_table_names())
    database.close()


def test_migrating_again_changes_nothing(catalog: Catalog) -> None:
    catalog.database.migrate()
    assert [each.name for each in catalog.databases.list("in01-local")] == ["default"]


def test_a_catalog_of_a_newer_program_is_refused_and_left_alone(catalog_url: str) -> None:
    database = CatalogDatabase(catalog_url)
    database.migrate()
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(CatalogError, match="written by a newer version"):
        open_catalog(catalog_url, b"")
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all() == ["9999"]
    database.close()


def test_a_failed_transaction_leaves_nothing(catalog: Catalog) -> None:
    with pytest.raises(ZeroDivisionError), catalog.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM database")
        raise ZeroDivisionError
    assert len(catalog.databases.list("in01-local")) == 1


def test_commits_survive_a_power_loss(tmp_path: Path) -> None:
    database = CatalogDatabase(f"sqlite:///{tmp_path / 'catalog.db'}")
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
    database.close()


# A database that is not there, not whole, or not ours


def test_a_lost_connection_is_transient_and_the_next_call_has_a_fresh_one(
    postgres: PostgresServer, migrated_url: str
) -> None:
    catalog = open_catalog(migrated_url, b"A" * 43 + b"=")
    catalog.clusters.ensure(CLUSTER, "local")
    with (
        pytest.raises(CatalogUnavailable, match="is unavailable") as caught,
        catalog.database.write() as it,
    ):
        postgres.disconnect(migrated_url)
        it.exec_driver_sql("SELECT 1")
    assert isinstance(caught.value, Transient)
    assert [each.name for each in catalog.databases.list(CLUSTER)] == ["default"]
    assert catalog.database.problem() is None
    catalog.close()


def test_connections_to_what_became_a_standby_are_given_up(migrated_url: str) -> None:
    catalog = open_catalog(migrated_url, b"A" * 43 + b"=")
    with catalog.database.read() as connection:  # as of a server that is in recovery since a failover
        connection.exec_driver_sql("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    with pytest.raises(CatalogUnavailable, match="read-only transaction"):
        catalog.clusters.ensure(CLUSTER, "local")
    assert catalog.clusters.ensure(CLUSTER, "local").id == CLUSTER
    catalog.close()


def test_a_long_history_may_take_longer_than_other_statements(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(dialects._POSTGRESQL_LIMITS, "statement_timeout", "300ms")
    catalog = open_catalog(migrated_url, b"A" * 43 + b"=")
    catalog.clusters.ensure(CLUSTER, "local")
    docs = stored_collection(catalog)
    with catalog.database.write() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END'"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER slow AFTER UPDATE OR DELETE ON job FOR EACH STATEMENT EXECUTE FUNCTION slow()"
        )
    catalog.collections.rename(docs, catalog.databases.get(CLUSTER, "default"), "texts")
    catalog.collections.drop(docs.id)
    catalog.collections.forget(docs.id)
    catalog.clusters.drop(CLUSTER)
    assert CLUSTER not in catalog.clusters.ids()
    catalog.close()


def test_a_server_that_is_away_is_named_without_its_password() -> None:
    with pytest.raises(CatalogUnavailable) as caught:
        open_catalog("postgresql://somebody:s3cr3t@127.0.0.1:1/penstock", b"")
    assert "postgresql://somebody@127.0.0.1:1/penstock" in caught.value.message
    assert "s3cr3t" not in repr(caught.value) + repr(caught.value.__cause__)


def test_a_catalog_that_vanished_is_told(catalog: Catalog) -> None:
    problem = "DROP TABLE job_file" if catalog.database.is_shared else "ALTER TABLE job_file RENAME TO gone"
    with catalog.database.write() as connection:
        connection.exec_driver_sql(problem)
    with pytest.raises(CatalogError, match="lacks the tables of this version"):
        catalog.jobs.files(1)


def test_a_file_that_is_no_catalog_is_told(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"holiday pictures" * 1000)
    with pytest.raises(CatalogError, match=r"catalog\.db is damaged or not a catalog"):
        open_catalog(f"sqlite:///{tmp_path / 'catalog.db'}", b"")


def test_a_folder_that_vanished_is_told(tmp_path: Path) -> None:
    with pytest.raises(CatalogUnavailable, match="unable to open database file"):
        open_catalog(f"sqlite:///{tmp_path / 'gone' / 'catalog.db'}", b"")


def test_a_full_disk_is_told_and_leaves_the_catalog_sound(tmp_path: Path) -> None:
    catalog = open_catalog(f"sqlite:///{tmp_path / 'catalog.db'}", b"A" * 43 + b"=")
    catalog.clusters.ensure(CLUSTER, "local")
    docs = stored_collection(catalog)
    with catalog.database.write() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(CatalogFull, match="No space is left"):
        for _ in range(1000):
            catalog.jobs.insert(new_job(docs))
    assert catalog.jobs.live_jobs(docs.id) < 1000
    with catalog.database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    catalog.close()


# URLs


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_is_spelled_in_any_of_the_usual_ways(scheme: str) -> None:
    url = parse_catalog_url(f"{scheme}://me:s3cr3t@db.example/penstock?sslmode=require&password=s3cr3t")
    assert url.drivername == "postgresql+psycopg"
    assert without_secrets(url) == "postgresql://me@db.example/penstock"


@pytest.mark.parametrize("url", ["mysql://me:s3cr3t@db/penstock", "postgresql+asyncpg://me:s3cr3t@db/x", "s3cr3t"])
def test_other_urls_are_refused_without_repeating_their_secrets(url: str) -> None:
    with pytest.raises(InvalidParameter, match="sqlite:///FILE or postgresql://") as caught:
        parse_catalog_url(url)
    assert "s3cr3t" not in str(caught.value)


def test_names_may_hold_what_a_database_cannot(catalog: Catalog) -> None:
    with pytest.raises(DatabaseNotFound):
        catalog.databases.get(CLUSTER, "a\0b")


def test_a_wal_that_could_not_be_purged_is_purged_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = open_catalog(f"sqlite:///{tmp_path / 'catalog.db'}", b"A" * 43 + b"=")
    database, wal = catalog.database, tmp_path / "catalog.db-wal"
    catalog.clusters.ensure("in01-a", "local")
    database.mark_secrets_deleted()
    with monkeypatch.context() as patched:
        patched.setattr(database.engine, "raw_connection", lambda: sqlite3.connect("/no/such/folder/file"))
        with pytest.raises(CatalogUnavailable, match="unable to open database file"):
            database.purge_wal()
    assert wal.stat().st_size > 0
    database.purge_wal()
    assert wal.stat().st_size == 0
    catalog.close()


def test_a_purge_of_the_wal_does_not_wait_for_a_reader_that_takes_long(tmp_path: Path) -> None:
    catalog = open_catalog(f"sqlite:///{tmp_path / 'catalog.db'}", b"A" * 43 + b"=")
    database, wal = catalog.database, tmp_path / "catalog.db-wal"
    with closing(sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM cluster").fetchone()
        catalog.clusters.ensure("in01-a", "local")
        database.mark_secrets_deleted()
        purge = threading.Thread(target=database.purge_wal)
        purge.start()
        purge.join(10)
        assert not purge.is_alive(), "writes wait meanwhile"
        assert wal.stat().st_size > 0
    database.purge_wal()
    assert wal.stat().st_size == 0
    catalog.close()

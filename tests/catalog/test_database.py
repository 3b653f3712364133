"""Migrations and transactions."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from penstock.catalog import Catalog
from penstock.catalog.database import CatalogDatabase
from penstock.catalog.tables import metadata
from penstock.errors import StoreError


def test_migrations_build_exactly_the_tables_that_the_code_uses(catalog: Catalog) -> None:
    with catalog.database.read() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []


def test_migrating_again_changes_nothing(catalog: Catalog) -> None:
    catalog.database.migrate()
    assert [each.name for each in catalog.databases.list("in01-local")] == ["default"]


def test_a_catalog_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    database = CatalogDatabase(f"sqlite:///{tmp_path / 'catalog.db'}")
    database.migrate()
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="written by a newer version"):
        database.migrate()
    database.close()


def test_commits_survive_a_power_loss(catalog: Catalog) -> None:
    with catalog.database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2


def test_a_failed_transaction_leaves_nothing(catalog: Catalog) -> None:
    with pytest.raises(ZeroDivisionError), catalog.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM database")
        raise ZeroDivisionError
    assert len(catalog.databases.list("in01-local")) == 1

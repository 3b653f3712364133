"""A database that was used is as new for the next test, or is dropped."""

from __future__ import annotations

import psycopg

from tests.support.catalogs import CLUSTER, new_job, opened_catalog, stored_collection
from tests.support.migrated_databases import MigratedDatabases


def test_what_a_test_wrote_is_gone(migrated_databases: MigratedDatabases) -> None:
    with migrated_databases.database() as first, opened_catalog(first) as catalog:
        catalog.jobs.insert(new_job(stored_collection(catalog)))
    with migrated_databases.database() as second, psycopg.connect(second) as connection:
        assert second == first
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone() for (name,) in tables}
    assert {name for name, count in rows.items() if count != (0,)} == {"alembic_version"}
    with migrated_databases.database() as third, opened_catalog(third) as catalog:
        assert [each.name for each in catalog.databases.list(CLUSTER)] == ["default"]


def test_one_whose_tables_have_changed_is_not_used_again(migrated_databases: MigratedDatabases) -> None:
    for change in (
        "DROP TABLE job_file",
        "ALTER TABLE job ADD more text",
        "UPDATE alembic_version SET version_num = 'x'",
    ):
        with migrated_databases.database() as changed, psycopg.connect(changed) as connection:
            connection.execute(change)
        with migrated_databases.database() as fresh:
            assert fresh != changed


def test_two_at_a_time_are_two(migrated_databases: MigratedDatabases) -> None:
    with migrated_databases.database() as one, migrated_databases.database() as other:
        assert one != other

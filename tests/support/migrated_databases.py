"""Databases of PostgreSQL for tests of catalogs, used again and again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from cryptography.fernet import Fernet
from psycopg import sql

from penstock.catalog import open_catalog
from tests.support.postgres import PostgresServer

__all__ = ["MigratedDatabases"]


class MigratedDatabases:
    """Databases of a server with all tables of a catalog, and nothing in them, as many as are used at the same time.

    They are emptied after use: to make and drop one takes 75 ms of processor time, and waits for checkpoints.
    """

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._template = server.create_database()
        open_catalog(self._template, Fernet.generate_key()).close()
        with psycopg.connect(self._template) as connection:
            self._shape = _shape(connection)
        self._free: list[str] = []

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of one."""
        url = self._free.pop() if self._free else self._server.create_database(self._template.rpartition("/")[2])
        try:
            yield url
        finally:
            if self._emptied(url):
                self._free.append(url)
            else:
                self._server.drop_database(url)

    def close(self) -> None:
        for url in (*self._free, self._template):
            self._server.drop_database(url)

    def _emptied(self, url: str) -> bool:
        """Whether the database is as new now; it is not where a test has changed its tables, or dropped it."""
        try:
            with psycopg.connect(url) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                if _shape(connection) != self._shape:
                    return False
                # Without foreign keys, so that tables are emptied in any order.
                connection.execute("SET LOCAL session_replication_role = replica")
                for table in _dirty_tables(connection):
                    connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
                connection.execute("SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'")
        except psycopg.Error:
            return False
        return True


def _shape(connection: psycopg.Connection) -> object:
    """The migration, and all columns of tables and indexes."""
    columns = connection.execute(
        "SELECT relname, attname, atttypid FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
        " WHERE relnamespace = 'public'::regnamespace ORDER BY 1, 2"
    )
    return columns.fetchall(), connection.execute("SELECT version_num FROM alembic_version").fetchall()


def _dirty_tables(connection: psycopg.Connection) -> list[str]:
    tables = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
    )
    each = sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})")
    query = sql.SQL(" UNION ALL ").join(each.format(sql.Literal(name), sql.Identifier(name)) for (name,) in tables)
    return [name for (name,) in connection.execute(query)]

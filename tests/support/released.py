"""Catalogs as released versions left them, on either database."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from alembic import command
from sqlalchemy import JSON, Boolean, MetaData, Table
from sqlalchemy.types import TypeEngine

from penstock.catalog.db.connection import CatalogDatabase, migrations

__all__ = ["load_release"]


def load_release(dump: Path, catalog_url: str) -> None:
    """Fill an empty database with the dump of a catalog, in the schema that it was dumped with.

    PostgreSQL gets its schema from the migrations up to that one, and the dump's rows.
    """
    if catalog_url.startswith("sqlite:///"):
        with closing(sqlite3.connect(catalog_url.removeprefix("sqlite:///"))) as connection:
            connection.executescript(dump.read_text())
        return
    database = CatalogDatabase(catalog_url)
    config = migrations()
    database.run_migration(lambda: command.upgrade(config, dump.stem), config)
    tables = MetaData()
    tables.reflect(database.engine)
    with closing(sqlite3.connect(":memory:")) as dumped, database.write() as catalog:
        dumped.row_factory = sqlite3.Row
        dumped.executescript(dump.read_text())
        for table in tables.sorted_tables:
            rows = dumped.execute(f'SELECT * FROM "{table.name}"').fetchall()
            if rows and table.name != "alembic_version":
                catalog.execute(table.insert(), [_row(table, row) for row in rows])
    database.close()


def _row(table: Table, row: sqlite3.Row) -> dict[str, Any]:
    return {name: _value(table.c[name].type, row[name]) for name in row.keys()}  # noqa: SIM118 - a row is no mapping


def _value(type: TypeEngine[Any], value: Any) -> Any:
    """SQLite keeps JSON as text, and booleans as numbers."""
    if value is None:
        return None
    if isinstance(type, JSON):
        return json.loads(value)
    return bool(value) if isinstance(type, Boolean) else value

"""The connection to the catalog's database, its two kinds of transaction, and its migrations."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url

from penstock.errors import StoreError

__all__ = ["CatalogDatabase", "from_millis", "now_millis", "to_millis"]

_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_SECONDS = 30


class CatalogDatabase:
    """A migrated database. ``read`` and ``write`` give connections inside a transaction.

    SQLite: WAL with ``synchronous=FULL`` (a committed job survives a power loss); writers take the write lock at
    ``BEGIN``, one at a time per process, so no transaction fails half-way for a lock.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.engine = _engine(url)
        self._writer = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        if self.url.get_backend_name() != "sqlite":
            with self.engine.begin() as connection:
                yield connection
            return
        with (
            self._writer,
            self.engine.connect().execution_options(penstock_write=True) as connection,
            connection.begin(),
        ):
            yield connection

    def migrate(self) -> None:
        """Bring the schema to this program's version.

        Raises:
            StoreError: the database was written by a newer Penstock.
        """
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        script = ScriptDirectory.from_config(config)
        with self.engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in {each.revision for each in script.walk_revisions()}:
            raise StoreError(
                f"the catalog is at revision {current}, which this version of Penstock doesn't know. "
                "It was written by a newer version: start that one, or use another data folder.",
                revision=current,
            )
        with self.write() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        self.engine.dispose()


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        del record
        # The driver must not begin transactions by itself; "begin" below does.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-65536"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("penstock_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def now_millis() -> int:
    return to_millis(datetime.now(UTC))


def to_millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def from_millis(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)

"""The connection to the catalog's database, its two kinds of transaction, and its migrations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import BigInteger, ColumnElement, Connection, cast, extract, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from penstock.catalog.db.dialects import make_engine, parse_catalog_url, without_secrets
from penstock.catalog.db.errors import translate
from penstock.catalog.db.group_commit import GroupCommit
from penstock.errors import PenstockError, StoreError

__all__ = [
    "SERVER_CLOCK",
    "CatalogDatabase",
    "database_clock",
    "from_millis",
    "migrations",
    "now_millis",
    "to_millis",
    "upsert_insert",
]

_MIGRATIONS = Path(__file__).parents[1] / "migrations"

Result = TypeVar("Result")

_MIGRATING = 0x70656E73
"""The advisory lock of whoever migrates a PostgreSQL catalog."""

SERVER_CLOCK: ColumnElement[int] = cast(func.floor(extract("epoch", func.clock_timestamp()) * 1000), BigInteger)
"""PostgreSQL's own clock; SQLite is in our process and goes by ours. See :func:`database_clock`."""

CHANNEL = "penstock"
"""What PostgreSQL's LISTEN and NOTIFY call the news of the catalog."""


class CatalogDatabase:
    """A migrated database. ``write`` gives a connection inside a transaction, ``read`` one for statements that read.

    SQLite: WAL with ``synchronous=FULL`` (a committed job survives a power loss); writers take the write lock at
    ``BEGIN``, one at a time per process, so no transaction fails half-way for a lock. PostgreSQL: read committed, so
    what a decision rests on is locked (``FOR UPDATE``) or stands in the ``WHERE`` of the write.

    Both raise, besides what SQLAlchemy raises for violated constraints:
        CatalogUnavailable: the database is away or busy.
        StoreFull, StoreError: it has no space left, is damaged, or isn't a catalog.
    """

    def __init__(self, url: str, connections: int = 20) -> None:
        self.url = parse_catalog_url(url)
        self.where = without_secrets(self.url)
        self.engine = make_engine(self.url, connections)
        # Statements that only read are each consistent by themselves: no round trips for transactions on PostgreSQL.
        autocommit = {"isolation_level": "AUTOCOMMIT"} if self.is_shared else {}
        self._reading = self.engine.execution_options(**autocommit)
        self._writer = threading.Lock()
        self._group = GroupCommit(self.write)
        self._traces = threading.Event()
        self._traces.set()  # of a process that was killed, perhaps

    @property
    def is_shared(self) -> bool:
        """Whether several processes may work on this catalog at the same time."""
        return self.url.get_backend_name() == "postgresql"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._told(), self._reading.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Connection]:
        """What isn't ``durable`` may be undone by a power loss, and by nothing else: it waits for no disk of SQLite.

        For figures that are written often and matter little, such as a job's progress; the next durable write takes
        it to the disk.
        """
        if self.is_shared:
            with self._told(), self.engine.begin() as connection:
                yield connection
            return
        with (
            self._told(),
            self._writer,
            self.engine.connect().execution_options(penstock_write=True, penstock_durable=durable) as connection,
            connection.begin(),
        ):
            yield connection

    def run_grouped(self, function: Callable[[Connection], Result]) -> Result:
        """The result of a small write, once it is committed: with those of other threads that come at the same time.

        The function may be called twice, if its first write was undone.
        """
        if not self.is_shared:
            return self._group.run(function)
        with self.write() as connection:  # PostgreSQL groups by itself
            return function(connection)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            translating_errors = translate(error, self.where)
            if translating_errors is error:
                raise
            raise translating_errors from error

    def mark_secrets_deleted(self) -> None:
        """Something was deleted of which no copy may stay; call it once the transaction has ended."""
        self._traces.set()

    def purge_wal(self) -> None:
        """Take copies of what was deleted out of SQLite's log.

        In the database deleted content is overwritten; its log keeps older pages until it is written over.
        """
        if self.is_shared or not self._traces.is_set():
            return
        self._traces.clear()
        with self._told(), self._writer:
            connection = self.engine.raw_connection()
            try:
                busy = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            finally:
                connection.close()
        if busy:  # somebody reads an older state; the next look finds them gone
            self._traces.set()

    def notify(self, connection: Connection) -> None:
        """With the end of this transaction, wake whoever listens in other processes."""
        if self.is_shared:
            connection.execute(select(func.pg_notify(CHANNEL, "")))

    def problem(self) -> str | None:
        """Why the database can't be used at present, or None."""
        try:
            with self.read() as connection:
                connection.execute(select(literal(1)))
        except PenstockError as error:
            return error.message
        return None

    def migrate(self) -> None:
        """Bring the schema to this program's version. Of several processes one does it, the others wait.

        Raises:
            StoreError: the database was written by a newer Penstock.
        """
        config = migrations()
        script = ScriptDirectory.from_config(config)
        with self.read() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in {revision.revision for revision in script.walk_revisions()}:
            raise StoreError(
                f"the catalog {self.where} is at revision {current}, which this version of Penstock doesn't know. "
                "It was written by a newer version: start that one, or use another catalog.",
                revision=current,
            )
        self.run_migration(lambda: command.upgrade(config, "head"), config)

    def run_migration(self, run: Callable[[], object], config: Config) -> None:
        """Run an Alembic command on a connection of this database, in one transaction."""
        with self.write() as connection:
            if self.is_shared:
                connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
                connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATING)))
            config.attributes["connection"] = connection
            run()

    def close(self) -> None:
        self.engine.dispose()


def migrations() -> Config:
    """Alembic's view of this program's migrations."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


def upsert_insert(dialect: str, table: Any) -> Any:
    """An INSERT of a connection's own dialect: the ones that offer ``on_conflict_do_update`` and ``_nothing``."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def database_clock(connection: Connection) -> ColumnElement[int]:
    """Now, in milliseconds since 1970, by the one clock that all who share the catalog see: leases go by it."""
    return SERVER_CLOCK if connection.dialect.name == "postgresql" else literal(now_millis(), BigInteger)


def now_millis() -> int:
    return to_millis(datetime.now(UTC))


def to_millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def from_millis(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)

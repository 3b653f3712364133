"""The connection to the catalog's database: read and write transactions, and migrations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from sqlalchemy import BigInteger, ColumnElement, Connection, cast, extract, func, inspect, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from penstock.catalog.db.commit_hooks import AFTER_COMMIT, AT_COMMIT, READ, undone_together, write_deferred
from penstock.catalog.db.dialects import BUSY_SECONDS, make_engine, parse_catalog_url, without_secrets
from penstock.catalog.db.errors import translate
from penstock.catalog.db.group_commit import GroupCommit
from penstock.catalog.db.read_cache import ReadCache
from penstock.errors import CatalogError, PenstockError

if TYPE_CHECKING:
    from alembic.config import Config

log = structlog.get_logger(__name__)

_MIGRATIONS = Path(__file__).parents[1] / "migrations"

SQLITE_SCHEMA = _MIGRATIONS / "sqlite.sql"
"""What the migrations make of an empty SQLite database; written by ``make migration``."""

Result = TypeVar("Result")

_PURGE_MILLIS = 500
"""How long the purge of the WAL waits for readers."""

_MIGRATING = 0x70656E73
"""PostgreSQL advisory lock: one migration at a time."""

SERVER_CLOCK: ColumnElement[int] = cast(func.floor(extract("epoch", func.clock_timestamp()) * 1000), BigInteger)
"""PostgreSQL's own clock; SQLite runs in this process and uses its clock. See :func:`database_clock`."""

CHANNEL = "penstock"
"""The channel of the catalog's notifications (PostgreSQL's LISTEN and NOTIFY)."""

JOB_CHANNEL = "penstock_job"
"""The channel of changes of single jobs, whose payload is the job's id."""


class CatalogDatabase:
    """A migrated database. ``write`` yields a connection in a transaction, ``read`` one for read-only statements.

    SQLite: WAL with ``synchronous=FULL`` (a committed job survives a power loss); writers take the write lock at
    ``BEGIN``, one at a time per process, so no transaction fails halfway for lack of a lock. PostgreSQL: read
    committed, so what a decision depends on is locked (``FOR UPDATE``) or is in the ``WHERE`` of the write.

    Both raise, in addition to SQLAlchemy's errors for violated constraints:
        CatalogUnavailable: the database is unreachable or busy.
        CatalogFull, CatalogError: it has no space left, is damaged, or isn't a catalog.
    """

    def __init__(self, url: str, connections: int = 20) -> None:
        self.url = parse_catalog_url(url)
        self.where = without_secrets(self.url)
        self.engine = make_engine(self.url, connections)
        # Each reading statement is consistent by itself, so on PostgreSQL no round trips are spent on transactions.
        autocommit = {"isolation_level": "AUTOCOMMIT"} if self.is_shared else {}
        self._reading = self.engine.execution_options(**autocommit)
        self._cache = None if self.is_shared else ReadCache(self.engine)
        self._writer = threading.Lock()
        self._groups = {durable: GroupCommit(partial(self.write, durable=durable)) for durable in (True, False)}
        self._job_listeners: tuple[Callable[[int], None], ...] = ()
        self._wal_has_secrets = threading.Event()
        self._wal_has_secrets.set()  # a killed process may have left some

    @property
    def is_shared(self) -> bool:
        """Whether several processes may work on this catalog at the same time."""
        return self.url.get_backend_name() == "postgresql"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection for statements that read."""
        with self.translated_errors(), self._reading.connect() as connection, connection.begin():
            yield connection

    def read_cached(self, key: Hashable, read: Callable[[Connection], Result]) -> Result:
        """Return what ``read`` returns, or has returned for this key since the last change; PostgreSQL has no cache.

        It may read :data:`~penstock.catalog.db.read_cache.CACHED_TABLES` only: changes of others go unnoticed. The
        value is shared by all callers, which must not change it.
        """

        def run() -> Result:
            with self.read() as connection:
                return read(connection)

        return run() if self._cache is None else self._cache.get(key, run)

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Connection]:
        """Yield a connection in a write transaction, committed at the end of the block.

        Without ``durable`` SQLite doesn't wait for the disk: a power loss, and nothing else, may undo the write. For
        figures that are written often and matter little, such as a job's progress; the next durable write flushes it.
        """
        callbacks: list[Callable[[], None]] = []
        deferred: list[tuple[Callable[[Connection, Sequence[Any]], None], Any]] = []
        options = {
            "penstock_write": True,
            "penstock_durable": durable,
            AFTER_COMMIT: callbacks,
            AT_COMMIT: deferred,
            READ: {},
        }
        with (
            self.translated_errors(),
            nullcontext() if self.is_shared else self._writer,
            self.engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            yield connection
            write_deferred(connection)
        for callback in callbacks:
            try:
                callback()
            except Exception:
                # The write is committed: to report it as failed would have it done again.
                log.exception("catalog.callback_failed")

    def allow_long_statements(self, connection: Connection) -> None:
        """Lift PostgreSQL's limit of a statement's time for this transaction, which writes to a whole history."""
        if self.is_shared:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")

    def after_commit(self, connection: Connection, callback: Callable[[], None]) -> None:
        """Call a function once the write transaction of ``connection`` is committed, and not if it is rolled back.

        After a group commit, the thread that committed calls it.
        """
        connection.get_execution_options()[AFTER_COMMIT].append(callback)

    def run_grouped(self, function: Callable[[Connection], Result], *, durable: bool = True) -> Result:
        """Run a small write in a group commit with those of other threads; returns its result once committed.

        The function may be called twice, if its first write was rolled back. ``durable`` is as in :meth:`write`.
        """
        if not self.is_shared:
            return self._groups[durable].run(partial(undone_together, function))
        with self.write(durable=durable) as connection:  # PostgreSQL groups by itself
            return function(connection)

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Translate the errors of statements within the context, as :meth:`read` and :meth:`write` do."""
        try:
            yield
        except SQLAlchemyError as error:
            translated = translate(error, self.where)
            if translated is error:
                raise
            raise translated from error

    def mark_secrets_deleted(self) -> None:
        """Note that secrets were deleted, of which the WAL may have copies; call it after the transaction's end."""
        self._wal_has_secrets.set()

    def purge_wal(self) -> None:
        """Truncate SQLite's WAL, to erase its copies of deleted secrets.

        In the database file deleted content is overwritten; the WAL keeps older pages until it is overwritten. Raises
        as :meth:`write`.
        """
        if self.is_shared or not self._wal_has_secrets.is_set():
            return
        self._wal_has_secrets.clear()
        busy = True
        try:
            with self.translated_errors(), self._writer, self.engine.connect() as connection:
                # Writes wait meanwhile, and some readers take long: a backup, the checks of penstock doctor.
                connection.exec_driver_sql(f"PRAGMA busy_timeout={_PURGE_MILLIS}")
                try:
                    busy = bool(connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar())
                finally:
                    connection.exec_driver_sql(f"PRAGMA busy_timeout={1000 * BUSY_SECONDS}")
        finally:
            if busy:  # it failed, or a reader uses an older snapshot; the next purge tries again
                self._wal_has_secrets.set()

    def notify(self, connection: Connection) -> None:
        """Notify the listeners in other processes when this transaction commits."""
        if self.is_shared:
            connection.execute(select(func.pg_notify(CHANNEL, "")))

    def notify_job(self, connection: Connection, job_id: int) -> None:
        """Notify the listeners to job changes when this transaction commits: on PostgreSQL those of all processes.

        Allowed in :meth:`run_grouped`: a notification of a write that is rolled back makes listeners read in vain.
        """
        if self.is_shared:
            connection.execute(select(func.pg_notify(JOB_CHANNEL, str(job_id))))
        elif self._job_listeners:
            self.after_commit(connection, partial(self._call_job_listeners, job_id))

    def listen_to_jobs(self, callback: Callable[[int], None]) -> None:
        """Call a function with a job's id after each commit that changes it, in the committing thread.

        For SQLite, where all changes come from this process; on PostgreSQL
        :class:`penstock.catalog.db.notifications.NotificationListener` receives them.
        """
        self._job_listeners = (*self._job_listeners, callback)

    def _call_job_listeners(self, job_id: int) -> None:
        for callback in self._job_listeners:
            callback(job_id)

    def problem(self) -> str | None:
        """Check the database: why it can't be used now, or None."""
        try:
            with self.read() as connection:
                connection.execute(select(literal(1)))
        except PenstockError as error:
            return error.message
        return None

    def migrate(self) -> None:
        """Migrate the schema to this program's version. Of several processes one does it, the others wait.

        Raises:
            CatalogError: a newer version of Penstock wrote the database.
        """
        with self.read() as connection:
            current = current_revision(connection)
        known = revisions()
        if current == known[-1]:
            return
        if current is not None and current not in known:
            raise CatalogError(
                f"the catalog {self.where} is at revision {current}, which is unknown to this version of Penstock. "
                "It was written by a newer version: start that one, or use another catalog.",
                revision=current,
            )
        if not self.is_shared and self._create_schema():
            return
        # Only here: Alembic takes a tenth of a second to load, and most starts find the newest revision.
        from alembic import command

        config = migrations()
        self.run_migration(lambda: command.upgrade(config, "head"), config)

    def _create_schema(self) -> bool:
        """Create this version's schema in a SQLite database without tables; False if it has any."""
        with self.write() as connection:
            if inspect(connection).get_table_names():
                return False
            for statement in SQLITE_SCHEMA.read_text().split("\n\n"):
                connection.exec_driver_sql(statement)
        return True

    def run_migration(self, run: Callable[[], object], config: Config) -> None:
        """Run an Alembic command on a connection of this database, in one transaction."""
        with self.write() as connection:
            self.allow_long_statements(connection)
            if self.is_shared:
                connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATING)))
            config.attributes["connection"] = connection
            run()

    def close(self) -> None:
        if self._cache is not None:
            self._cache.close()
        self.engine.dispose()


def revisions() -> list[str]:
    """The revisions of this program's migrations, oldest first: their files begin with them."""
    return sorted(file.name.partition("_")[0] for file in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def current_revision(connection: Connection) -> str | None:
    """Read the revision of a database's schema; None without a catalog."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return revision


def migrations() -> Config:
    """Alembic's configuration for this program's migrations."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


def upsert_insert(dialect: str, table: Any) -> Any:
    """The dialect's INSERT, which has ``on_conflict_do_update`` and ``on_conflict_do_nothing``."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def database_clock(connection: Connection) -> ColumnElement[int]:
    """Now, in milliseconds since 1970, by the one clock that all processes of a catalog share: leases use it."""
    return SERVER_CLOCK if connection.dialect.name == "postgresql" else literal(now_millis(), BigInteger)


def now_millis() -> int:
    return to_millis(datetime.now(UTC))


def to_millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def from_millis(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)

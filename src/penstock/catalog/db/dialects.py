"""SQLAlchemy engines for the catalog's two databases, SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
from typing import Any

import orjson
from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from penstock.errors import InvalidParameter
from penstock.extras import require_extra

BUSY_SECONDS = 30
_POOL_SECONDS = 10
_SPARE_CONNECTIONS = 4
_SQLITE_CONNECTIONS = 64
"""As many threads may work on jobs and calls at the same time. Opening one takes as long as ten statements."""

_SQLITE_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "cache_size=-65536",
    # Overwrites deleted content, such as the encrypted credentials of a job at its end.
    "secure_delete=ON",
)
_POSTGRESQL_CONNECT = {
    "application_name": "penstock",
    "connect_timeout": 5,
    # A host that vanishes without closing the connection is detected within half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
_READ_ONLY = "25006"
"""PostgreSQL's error for a write to a standby."""
_POSTGRESQL_LIMITS = {
    "statement_timeout": "30s",
    "lock_timeout": "15s",
    # A process or machine that stalls in a transaction holds locks: shorter than a lease, others wait for them.
    "idle_in_transaction_session_timeout": "10s",
}


def parse_catalog_url(text: str) -> URL:
    """Parse a user's URL to SQLAlchemy's: ``sqlite:///…``, ``postgresql://…``.

    Raises:
        InvalidParameter: the URL is malformed or of another database, or the driver isn't installed.
    """
    usage = "Use sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        # The text may contain a password: the message has neither it nor the error.
        raise InvalidParameter(f"the URL of the catalog is not valid. {usage}") from error
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        return url
    if url.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise InvalidParameter(f"{url.drivername} is not supported for the catalog. {usage}", driver=url.drivername)
    require_extra("postgresql", "psycopg", reason="a catalog in PostgreSQL needs its driver")
    return url.set(drivername="postgresql+psycopg")


def without_secrets(url: URL) -> str:
    """Render the URL for messages and logs: without password and parameters."""
    return URL.create(
        url.get_backend_name(), username=url.username, host=url.host, port=url.port, database=url.database
    ).render_as_string()


def make_engine(url: URL, connections: int) -> Engine:
    """Create an engine, with at most ``connections`` to PostgreSQL; those to SQLite are only open files."""
    if url.get_backend_name() == "sqlite":
        return _sqlite(url)
    return _postgresql(url, connections)


def run_in_driver(connection: Connection, statement: str) -> None:
    """Run a statement of SQLite that has no result, such as SAVEPOINT, in a tenth of the time SQLAlchemy takes."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    try:
        driver.execute(statement)
    except sqlite3.Error as error:
        raise DBAPIError.instance(statement, None, error, sqlite3.Error) from error


def _sqlite(url: URL) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        # Each thread that is busy has its own; beyond the pool they are opened and closed for every statement.
        pool_size=_SQLITE_CONNECTIONS,
        max_overflow=_SQLITE_CONNECTIONS,
        pool_use_lifo=True,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        # orjson for speed: a list of jobs parses two JSON columns of each.
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        del record
        # The driver must not begin transactions itself; "begin" below does.
        connection.isolation_level = None
        for pragma in _SQLITE_PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Each statement that reads is consistent by itself, as on PostgreSQL.
        options = connection.get_execution_options()
        if options.get("penstock_write", False):
            run_in_driver(connection, f"PRAGMA synchronous={'FULL' if options['penstock_durable'] else 'NORMAL'}")
            run_in_driver(connection, "BEGIN IMMEDIATE")

    return engine


def _postgresql(url: URL, connections: int) -> Engine:
    from psycopg.types.string import StrDumper

    class NoNul(StrDumper):
        """Replace U+0000, which PostgreSQL's text can't store and any caller may send in a name or a path."""

        def dump(self, obj: str) -> Any:
            return super().dump(obj.replace("\0", "\ufffd"))

    spare = min(_SPARE_CONNECTIONS, connections - 1)
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=connections - spare,
        max_overflow=spare,
        pool_timeout=_POOL_SECONDS,
        pool_pre_ping=True,
        connect_args={name: value for name, value in _POSTGRESQL_CONNECT.items() if name not in url.query},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        del record
        connection.adapters.register_dumper(str, NoNul)
        connection.autocommit = True
        for name, value in _POSTGRESQL_LIMITS.items():
            connection.execute(f"SET {name} = '{value}'")
        connection.autocommit = False

    @event.listens_for(engine, "handle_error")
    def leave_standby(context: ExceptionContext) -> None:
        # After a failover, connections to what was the primary are open still, and answer to a ping.
        if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
            context.is_disconnect = True

    return engine

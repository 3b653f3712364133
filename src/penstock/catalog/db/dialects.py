"""SQLAlchemy engines for the two databases that a catalog may live in."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import orjson
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from penstock.errors import InvalidParameter

__all__ = ["make_engine", "parse_catalog_url", "without_secrets"]

_BUSY_SECONDS = 30
_POOL_SECONDS = 10
_SPARE_CONNECTIONS = 4

_SQLITE_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "cache_size=-65536",
    # What is deleted is overwritten: the sealed credentials of a job at its end, for one.
    "secure_delete=ON",
)
_POSTGRESQL_CONNECT = {
    "application_name": "penstock",
    "connect_timeout": 5,
    # A host that is gone without a word is noticed within half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
_POSTGRESQL_LIMITS = {
    "statement_timeout": "30s",
    "lock_timeout": "15s",
    # A process that stalls within a transaction, or its machine, holds locks: others wait for them less than a lease.
    "idle_in_transaction_session_timeout": "10s",
}


def parse_catalog_url(text: str) -> URL:
    """The SQLAlchemy URL for what a user writes: ``sqlite:///…``, ``postgresql://…``.

    Raises:
        InvalidParameter: no such URL, another database, or the driver isn't installed.
    """
    known = "It is sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        # The text may hold a password: it isn't repeated, and neither is the error.
        raise InvalidParameter(f"the catalog's URL can't be read. {known}") from error
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        return url
    if url.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise InvalidParameter(f"no catalog can be kept in {url.drivername}. {known}", driver=url.drivername)
    if find_spec("psycopg") is None:
        raise InvalidParameter("a catalog in PostgreSQL needs its driver: pip install 'penstock-import[postgresql]'")
    return url.set(drivername="postgresql+psycopg")


def without_secrets(url: URL) -> str:
    """The URL for messages and logs: no password, no parameters."""
    return URL.create(
        url.get_backend_name(), username=url.username, host=url.host, port=url.port, database=url.database
    ).render_as_string()


def make_engine(url: URL, connections: int) -> Engine:
    """An engine with at most ``connections`` connections to PostgreSQL; those to SQLite are only open files."""
    if url.get_backend_name() == "sqlite":
        return _sqlite(url)
    return _postgresql(url, connections)


def _sqlite(url: URL) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
        # A list of jobs reads two such texts of each.
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        del record
        # The driver must not begin transactions by itself; "begin" below does.
        connection.isolation_level = None
        for pragma in _SQLITE_PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get("penstock_write", False):
            connection.exec_driver_sql("BEGIN")
            return
        connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if options['penstock_durable'] else 'NORMAL'}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _postgresql(url: URL, connections: int) -> Engine:
    from psycopg.types.string import StrDumper

    class NoNul(StrDumper):
        """PostgreSQL's texts can't hold U+0000, which any caller may send as part of a name or a path."""

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

    return engine

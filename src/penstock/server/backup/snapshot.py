"""A moment of a server: the versions of all tables, and a snapshot of the catalog that belongs to them."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess  # nosec B404
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sqlalchemy import URL, Connection, or_, select, text
from sqlalchemy.exc import OperationalError

from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase, current_revision
from penstock.catalog.db.dialects import run_in_driver
from penstock.domain.jobs import LIVE_STATES, SplitState
from penstock.engines.lance.layout.tables import TableRoot
from penstock.errors import CatalogError, CatalogUnavailable, InvalidParameter

_LIST_THREADS = 16
_MOST_LOCKED_SECONDS = 10.0
"""Calls that write wait for the lock: well below the time after which they fail."""
_LOCK_ATTEMPT_SECONDS = 0.05
_LOCK_SECONDS = 30.0
_PROGRAM_SECONDS = 24 * 3600.0
_MANIFEST = re.compile(r"(\d{20})\.manifest")


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePlace:
    """A live collection's table: its id, and the store as the catalog names it."""

    id: str
    store: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The catalog at one moment, read through ``connection``, and the newest version of each table then.

    ``versions`` has no entry for a table without files. ``staged`` are the names of staged files by table.
    """

    connection: Connection
    revision: str
    places: Sequence[TablePlace]
    versions: Mapping[str, int]
    staged: Mapping[str, Sequence[str]] = field(default_factory=dict)
    exported: str | None = None


@contextmanager
def take_snapshot(database: CatalogDatabase, root: Callable[[str], TableRoot]) -> Iterator[Snapshot]:
    """Take a snapshot; it ends with the context. ``root`` gives the tables of a store.

    Raises:
        CatalogUnavailable: the catalog stayed locked by others, or can't be reached any more.
        CatalogError: listing the versions of all tables took too long, or the user may not lock the tables.
    """
    with database.translated_errors(), _reading(database) as reader:
        with _no_writes(database):
            begun = time.monotonic()
            # The first statement fixes what this transaction sees.
            revision = current_revision(reader) or ""
            exported = str(reader.scalar(text("SELECT pg_export_snapshot()"))) if database.is_shared else None
            places = _places(reader)
            roots = {place.store: root(place.store) for place in places}
            with ThreadPoolExecutor(_LIST_THREADS) as pool:
                found = list(pool.map(partial(_version_of, roots, begun), places))
        versions = {place.id: version for place, version in zip(places, found, strict=True) if version is not None}
        yield Snapshot(
            connection=reader,
            revision=revision,
            places=places,
            versions=versions,
            staged=_staged_files(reader),
            exported=exported,
        )


def _version_of(roots: Mapping[str, TableRoot], begun: float, place: TablePlace) -> int | None:
    """The newest version of a table, from the names of its manifests; None for a table without one."""
    if time.monotonic() - begun > _MOST_LOCKED_SECONDS:
        raise CatalogError(
            f"listing the versions of all tables takes more than {_MOST_LOCKED_SECONDS:.0f} s, which would block the "
            "servers. Stop them, and back up again"
        )
    names = roots[place.store].files(place.id).names("_versions")
    # Lance counts down from 2**64 - 1.
    matches = [_MANIFEST.fullmatch(name.rpartition("/")[2]) for name in names]
    return max((2**64 - 1 - int(match[1]) for match in matches if match), default=None)


@contextmanager
def _reading(database: CatalogDatabase) -> Iterator[Connection]:
    """A connection that sees one moment of the catalog, from its first statement to the end of the context."""
    isolation = {"isolation_level": "REPEATABLE READ"} if database.is_shared else {}
    with database.engine.connect().execution_options(**isolation) as connection, connection.begin():
        if database.is_shared:
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        else:
            run_in_driver(connection, "BEGIN")  # else each statement would see a moment of its own
        yield connection


@contextmanager
def _no_writes(database: CatalogDatabase) -> Iterator[None]:
    """Hold a lock that no write to the catalog passes; reads do."""
    if not database.is_shared:
        with database.write():
            yield
        return
    names = ", ".join(f'"{name}"' for name in sorted(tables.metadata.tables))
    until = time.monotonic() + _LOCK_SECONDS
    with database.engine.connect() as connection:
        while True:
            transaction = connection.begin()
            try:
                # All at once or none: waiting for one while holding others could end in a deadlock.
                connection.exec_driver_sql(f"LOCK TABLE {names} IN SHARE MODE NOWAIT")
                break
            except OperationalError as error:
                transaction.rollback()
                if time.monotonic() > until:
                    raise CatalogUnavailable(
                        f"the catalog {database.where} could not be locked within {_LOCK_SECONDS:.0f} s: other "
                        "transactions kept writing. Back up at a quieter time"
                    ) from error
                time.sleep(_LOCK_ATTEMPT_SECONDS)
        try:
            yield
        finally:
            transaction.rollback()


def _places(connection: Connection) -> Sequence[TablePlace]:
    collection, cluster = tables.collection.c, tables.cluster.c
    rows = connection.execute(
        select(collection.id, cluster.store)
        .join(tables.cluster, cluster.id == collection.cluster_id)
        .where(collection.dropped_at.is_(None))
        .order_by(collection.id)
    )
    return [TablePlace(id=row.id, store=row.store) for row in rows]


def _staged_files(connection: Connection) -> Mapping[str, Sequence[str]]:
    """Names of the files of finished splits whose rows may still be published, by collection."""
    job, split = tables.job.c, tables.job_split.c
    live = job.state.in_([state.value for state in sorted(LIVE_STATES)])
    rows = connection.execute(
        select(job.collection_id, split.staged)
        .join(tables.job, job.id == split.job_id)
        .where(or_(job.has_staged_files.is_(True), live), split.state == SplitState.STAGED.value)
    )
    names: dict[str, list[str]] = {}
    for row in rows:
        if row.staged is not None:  # the splits of a dry run have staged nothing
            names.setdefault(row.collection_id, []).extend(row.staged["note"].get("files", {}))
    return names


def save_catalog(database: CatalogDatabase, snapshot: Snapshot, target: Path) -> None:
    """Write the catalog of a snapshot into a file: an SQLite database, or a dump of ``pg_dump``.

    Raises:
        InvalidParameter: there is no ``pg_dump``.
        CatalogError: it failed; the message has what it printed.
    """
    if database.is_shared:
        run_postgresql(
            "pg_dump",
            database.url,
            *("--format", "custom", "--no-owner", "--no-privileges", "--file", str(target)),
            *("--snapshot", str(snapshot.exported)),
        )
        return
    source = snapshot.connection.connection.driver_connection
    assert isinstance(source, sqlite3.Connection)
    with closing(sqlite3.connect(target)) as copy:
        source.backup(copy)  # within the transaction of the snapshot
        copy.execute("PRAGMA journal_mode=DELETE")


def run_postgresql(program: str, url: URL, *arguments: str) -> None:
    """Run a client program of PostgreSQL; the password goes by its environment.

    Raises:
        InvalidParameter: the program is not installed.
        CatalogError: it failed; the message has what it printed.
    """
    if shutil.which(program) is None:
        raise InvalidParameter(
            f"the catalog is in PostgreSQL, and its program {program} is not on the path. Install PostgreSQL's "
            "client programs, of the server's version or a newer one",
            program=program,
        )
    environment = dict(os.environ)
    if url.password:
        environment["PGPASSWORD"] = str(url.password)
    # `URL.set` keeps what is None.
    address = url._replace(drivername="postgresql", password=None).render_as_string(hide_password=False)
    command = [program, "--dbname", address, *arguments]
    done = subprocess.run(  # noqa: S603 - a list of arguments; the address was parsed  # nosec B603
        command, env=environment, capture_output=True, text=True, timeout=_PROGRAM_SECONDS, check=False
    )
    if done.returncode:
        raise CatalogError(f"{program} failed: {done.stderr.strip()[:2000]}", program=program)

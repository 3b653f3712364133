"""Read-only diagnostics of a catalog: revision, consistency, abandoned jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, func, inspect, select, text

from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase, current_revision, from_millis, now_millis, revisions
from penstock.catalog.db.dialects import run_in_driver
from penstock.domain.jobs import FINAL_STATES, JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """The schema revision. ``found`` is None for a database without a catalog; ``head`` is this program's."""

    found: str | None
    head: str
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingJob:
    id: int
    state: JobState
    since: datetime
    owner: str | None = None


def revision_of(database: CatalogDatabase) -> Revision:
    """Read the revision of the database's schema."""
    known = revisions()
    with database.read() as connection:
        current = current_revision(connection)
    return Revision(found=current, head=known[-1], known=current is None or current in known)


def problems_of(database: CatalogDatabase) -> Sequence[str]:
    """Check the database (SQLite's ``quick_check``), its tables and the counters of jobs; returns the problems."""
    with database.read() as connection:
        if database.url.get_backend_name() == "sqlite":
            run_in_driver(connection, "BEGIN")  # the counters are of the same moment as the jobs
            problems = [str(scalar) for scalar in connection.execute(text("PRAGMA quick_check(20)")).scalars()]
            if problems != ["ok"]:
                return problems
        missing = sorted(set(tables.metadata.tables) - set(inspect(connection).get_table_names()))
        if missing:
            return [f"tables are missing: {', '.join(missing)}"]
        actual = _per_state(connection, tables.job, func.count())
        total, by_day = (
            _per_state(connection, table, func.sum(table.c.jobs)) for table in (tables.job_counter, tables.job_day)
        )
    return [
        f"{actual.get(state, 0):,} jobs are {state}, but {counters.get(state, 0):,} are counted{how}"
        for counters, how, states in ((total, "", JobState), (by_day, " by day", FINAL_STATES))
        for state in sorted(states)
        if actual.get(state, 0) != counters.get(state, 0)
    ]


def _per_state(connection: Connection, table: Table, number: ColumnElement[Any]) -> Mapping[str, int]:
    rows = connection.execute(select(table.c.state, number).group_by(table.c.state)).all()
    return {state: int(jobs) for state, jobs in rows}


def abandoned_jobs(database: CatalogDatabase, seconds: float) -> Sequence[WaitingJob]:
    """Runnable jobs whose lease expired more than ``seconds`` ago."""
    job = tables.job.c
    until = now_millis() - int(seconds * 1000)
    query = select(job.id, job.state, job.owner, job.lease_until).where(
        job.runnable.is_(True), job.lease_until < until
    )
    with database.read() as connection:
        rows = connection.execute(query.order_by(job.id)).all()
    return [
        WaitingJob(id=row.id, state=JobState(row.state), since=from_millis(row.lease_until), owner=row.owner)
        for row in rows
    ]


def uncommitted_jobs(database: CatalogDatabase, seconds: float) -> Sequence[WaitingJob]:
    """Jobs created more than ``seconds`` ago that wait for their commit."""
    job = tables.job.c
    until = now_millis() - int(seconds * 1000)
    query = select(job.id, job.created_at).where(job.state == JobState.UNCOMMITTED.value, job.created_at < until)
    with database.read() as connection:
        rows = connection.execute(query.order_by(job.id)).all()
    return [WaitingJob(id=row.id, state=JobState.UNCOMMITTED, since=from_millis(row.created_at)) for row in rows]


def jobs_with_staged_files(database: CatalogDatabase) -> tuple[int, int]:
    """Count the ended jobs that still have staged files, and the bytes of these."""
    job, split = tables.job.c, tables.job_split.c
    query = (
        select(split.job_id, split.staged)
        .join(tables.job, job.id == split.job_id)
        .where(job.has_staged_files.is_(True), split.staged.is_not(None))
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    return len({row.job_id for row in rows}), sum(int(row.staged["size"]) for row in rows if row.staged)


def newest_job(database: CatalogDatabase) -> datetime | None:
    """The creation time of the newest job; None if there are no jobs."""
    with database.read() as connection:
        newest = connection.execute(select(func.max(tables.job.c.created_at))).scalar_one()
    return None if newest is None else from_millis(newest)


def sealed_secrets(database: CatalogDatabase) -> Sequence[bytes]:
    """Encrypted credentials of up to ten unfinished jobs."""
    with database.read() as connection:
        return connection.execute(select(tables.job_secret.c.sealed).limit(10)).scalars().all()


def database_time(database: CatalogDatabase) -> datetime | None:
    """The time of the database server's clock; None for SQLite, which uses this machine's."""
    if database.url.get_backend_name() == "sqlite":
        return None
    with database.read() as connection:
        now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return now

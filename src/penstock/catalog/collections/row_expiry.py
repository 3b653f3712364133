"""Row expiry: when jobs committed into collections with a time to live, and which rows have expired.

The job table can't serve this: a job is deleted after its retention, its rows are not. An entry here stays until the
job's rows are expired and deleted. See docs/decisions/0013-time-to-live.md.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, or_, select, update

from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase, database_clock, upsert_insert
from penstock.catalog.db.tables import job_commit
from penstock.domain.collections import Collection
from penstock.domain.expiry import Expiry
from penstock.domain.jobs import JobState

_COMMITTED = tuple(state for state in JobState if state.is_committed)


def record_commits(connection: Connection, collection_id: str) -> None:
    """Record when the jobs committed that were not recorded, as their collection had no time to live until now.

    A job that has ended committed about then, one that is committing or indexing now. Rows of jobs that the catalog
    no longer has count from their job's creation.
    """
    job = tables.job.c
    commits = select(job.collection_id, job.id, func.coalesce(job.finished_at, database_clock(connection))).where(
        job.collection_id == collection_id, job.state.in_([state.value for state in _COMMITTED])
    )
    connection.execute(
        upsert_insert(connection.dialect.name, job_commit)
        .from_select(["collection_id", "job_id", "committed_at"], commits)
        .on_conflict_do_nothing(index_elements=["collection_id", "job_id"])
    )


class RowExpiryRepository:
    """Commit times of jobs, for the time to live of their rows."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def begin(self, collection_id: str, job_id: int) -> None:
        """Record a job before its rows become visible: they don't expire until :meth:`committed` sets their time."""
        with self._database.write() as connection:
            connection.execute(
                upsert_insert(connection.dialect.name, job_commit)
                .values(collection_id=collection_id, job_id=job_id)
                .on_conflict_do_nothing(index_elements=["collection_id", "job_id"])
            )

    def committed(self, collection_id: str, job_id: int) -> None:
        """Start the time to live of a job's rows, unless it has started."""
        column = job_commit.c
        with self._database.write() as connection:
            connection.execute(
                update(job_commit)
                .where(column.collection_id == collection_id, column.job_id == job_id, column.committed_at.is_(None))
                .values(committed_at=database_clock(connection))
            )

    def of(self, collection: Collection) -> Expiry | None:
        """Which rows are expired now; None for a collection without a time to live."""
        ttl = collection.settings.ttl_seconds
        if ttl is None:
            return None
        column = job_commit.c
        with self._database.read() as connection:
            now = int(connection.execute(select(database_clock(connection))).scalar_one())
            cutoff = max(now - 1000 * ttl, 0)
            late = connection.execute(
                select(column.job_id).where(
                    column.collection_id == collection.id,
                    column.job_id < Expiry(cutoff=cutoff).before,
                    or_(column.committed_at.is_(None), column.committed_at > cutoff),
                )
            ).scalars()
            return Expiry(cutoff=cutoff, late=tuple(late))

    def forget(self, collection_id: str, expiry: Expiry) -> None:
        """Delete the entries of jobs whose expired rows have been deleted."""
        column = job_commit.c
        with self._database.write() as connection:
            connection.execute(
                delete(job_commit).where(column.collection_id == collection_id, column.committed_at <= expiry.cutoff)
            )

    def next_in(self, collection: Collection) -> float | None:
        """Seconds until the next rows expire, negative if expired rows are not yet deleted; None: no rows."""
        ttl = collection.settings.ttl_seconds
        if ttl is None:
            return None
        with self._database.read() as connection:
            oldest, now = connection.execute(
                select(func.min(job_commit.c.committed_at), database_clock(connection)).where(
                    job_commit.c.collection_id == collection.id
                )
            ).one()
        return None if oldest is None else (oldest - now) / 1000 + ttl

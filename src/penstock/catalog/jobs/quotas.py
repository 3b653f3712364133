"""Quotas of orgs, and limits of unfinished jobs per collection and per cluster: usage and enforcement.

Unfinished jobs are counted when a job is created, running jobs when one is claimed
(:mod:`penstock.catalog.jobs.fair_scheduling`), bytes when a job is planned: only then are the sizes of its files
known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, Select, bindparam, func, select, update

from penstock.catalog.db import tables
from penstock.catalog.db.commit_hooks import read_once, write_at_commit
from penstock.catalog.db.connection import SERVER_CLOCK, CatalogDatabase, database_clock, now_millis, upsert_insert
from penstock.catalog.jobs.counters import uncommitted_live_jobs
from penstock.catalog.jobs.fair_scheduling import running_jobs
from penstock.domain.ids import DAY_MILLIS
from penstock.domain.jobs import FINAL_STATES, ImportJob
from penstock.domain.quotas import JobLimits, Quota, Usage
from penstock.errors import LimitExceeded, OrgNotFound, QuotaExceeded

_org, _usage, _counter = tables.org.c, tables.org_usage.c, tables.job_counter.c

# Built once, every create call needs them: building such a statement takes longer than running it.
_ORG_OF = (
    select(tables.org)
    .join(tables.cluster, tables.cluster.c.org_id == _org.id)
    .where(tables.cluster.c.id == bindparam("cluster_id"))
)
_IS_LIVE = _counter.state.not_in([state.value for state in sorted(FINAL_STATES)])
LIVE_JOBS = select(func.coalesce(func.sum(_counter.jobs), 0)).where(
    _counter.collection_id == bindparam("collection_id"), _IS_LIVE
)
_LIVE_JOBS_OF_CLUSTER = select(func.coalesce(func.sum(_counter.jobs), 0)).where(
    _counter.cluster_id == bindparam("cluster_id"), _IS_LIVE
)
_LIVE_JOBS_OF_ORG = (
    select(func.coalesce(func.sum(_counter.jobs), 0))
    .join(tables.cluster, tables.cluster.c.id == _counter.cluster_id)
    .where(tables.cluster.c.org_id == bindparam("org_id"), _IS_LIVE)
)
_LOCKED_CLUSTER = (
    select(tables.cluster.c.id).where(tables.cluster.c.id == bindparam("cluster_id")).with_for_update(key_share=True)
)
_BYTES = select(_usage.bytes).where(_usage.org_id == bindparam("org_id"), _usage.day == bindparam("day"))


class QuotaRepository:
    """Read and set quotas of orgs, and read their usage."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def get(self, org_id: str) -> Quota:
        """The org's own quota; a None in it means the server's default. Raises OrgNotFound."""
        with self._database.read() as connection:
            row = connection.execute(select(tables.org).where(_org.id == org_id)).one_or_none()
        if row is None:
            raise OrgNotFound(f"there is no org {org_id}", org=org_id)
        return Quota(jobs=row.max_jobs, running_jobs=row.max_running_jobs, daily_bytes=row.max_daily_bytes)

    def set(self, org_id: str, quota: Quota) -> None:
        """Set the org's own quota. Raises OrgNotFound."""
        with self._database.write() as connection:
            changed = connection.execute(
                update(tables.org)
                .where(_org.id == org_id)
                .values(max_jobs=quota.jobs, max_running_jobs=quota.running_jobs, max_daily_bytes=quota.daily_bytes)
            ).rowcount
            if changed != 1:
                raise OrgNotFound(f"there is no org {org_id}", org=org_id)
            self._database.notify(connection)  # a job that the old quota held back may start now

    def usage(self, org_id: str) -> Usage:
        """The org's current usage; zeros for an unknown org."""
        with self._database.read() as connection:
            day = connection.execute(select(database_clock(connection))).scalar_one() // DAY_MILLIS
            return Usage(
                jobs=int(connection.execute(_LIVE_JOBS_OF_ORG, {"org_id": org_id}).scalar_one()),
                running_jobs=running_jobs(connection, org_id),
                daily_bytes=connection.execute(_BYTES, {"org_id": org_id, "day": day}).scalar_one_or_none() or 0,
            )


def enforce_quota(connection: Connection, cluster_id: str, quota: Quota, size: int = 0) -> None:
    """Check, in the transaction that adds an unfinished job, that the org of the cluster may have one more.

    Args:
        quota: default for orgs without their own.
        size: bytes of the job's files, as far as known by now; they are charged when the job is planned.

    Raises:
        QuotaExceeded: the org has reached its limit of jobs, or has no bytes left today.
    """
    org = _org_now(connection, cluster_id)
    if org is None:
        return  # the insert into a missing cluster fails by itself
    if limit := _limit(org.max_jobs, quota.jobs):
        # A concurrent create call of the org waits until this job is counted.
        connection.execute(select(_org.id).where(_org.id == org.id).with_for_update(key_share=True))
        live = _count_live(
            connection, _LIVE_JOBS_OF_ORG, {"org_id": org.id}, lambda cluster, _: _is_of(connection, cluster, org.id)
        )
        if live >= limit:
            raise QuotaExceeded(
                f"{live:,} jobs of the org {org.name} are unfinished, the limit is {limit:,} (max_jobs_per_org). "
                "Try again when one has finished; one job can import many files",
                limit="max_jobs_per_org",
                value=limit,
                present=live,
            )
    if limit := _limit(org.max_daily_bytes, quota.daily_bytes):
        today = {"org_id": org.id, "day": org.now // DAY_MILLIS}
        present = connection.execute(_BYTES, today).scalar_one_or_none() or 0
        if present >= limit or present + size > limit:
            raise _no_bytes_left(org, org.now, limit, present, size)


def record_usage(connection: Connection, job: ImportJob, charged: int, size: int, quota: Quota) -> int:
    """Charge the bytes of a job's files to its org's day, in the transaction that stores its plan.

    Bytes that an earlier plan of the job was charged for don't count again, on whichever day that was.
    Returns what the job has been charged for then.

    Raises:
        QuotaExceeded: the org has fewer bytes left today.
    """
    more = size - charged
    if more <= 0:
        return charged
    org, dialect = _org_now(connection, job.cluster_id), connection.dialect.name
    assert org is not None, "a cluster with jobs is not dropped"
    limit = _limit(org.max_daily_bytes, quota.daily_bytes)
    today = {"org_id": org.id, "day": org.now // DAY_MILLIS}
    if not limit:
        write_at_commit(connection, _add_usage, [{**today, "bytes": more}])
        return size
    limited = _addition(dialect, is_limited=True).returning(_usage.bytes)
    if more > limit or connection.execute(limited, {**today, "bytes": more, "most": limit}).first() is None:
        present = connection.execute(_BYTES, today).scalar_one_or_none() or 0
        raise _no_bytes_left(org, org.now, limit, present, more)
    return size


def _add_usage(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    connection.execute(
        _addition(connection.dialect.name, is_limited=False),
        # All transactions lock the rows in the same order.
        sorted(rows, key=lambda row: (row["org_id"], row["day"])),
    )


def _org_now(connection: Connection, cluster_id: str) -> Row[Any] | None:
    """The org of a cluster, and the time as :func:`database_clock`; the same for all writes of a transaction."""

    def read() -> Row[Any] | None:
        values = {"cluster_id": cluster_id, "now": now_millis()}
        return connection.execute(_org_and_clock(connection.dialect.name), values).one_or_none()

    return read_once(connection, ("org", cluster_id), read)


# Cached, every job needs them: building such a statement takes longer than running it.


@lru_cache
def _org_and_clock(dialect: str) -> Any:
    clock = SERVER_CLOCK if dialect == "postgresql" else bindparam("now", type_=BigInteger)
    return _ORG_OF.add_columns(clock.label("now"))


@lru_cache
def _addition(dialect: str, *, is_limited: bool) -> Any:
    """Add bytes to a day of an org, if at most ``most`` come together."""
    statement = upsert_insert(dialect, tables.org_usage)
    total = _usage.bytes + statement.excluded.bytes
    return statement.on_conflict_do_update(
        index_elements=["org_id", "day"],
        set_={"bytes": total},
        where=total <= bindparam("most") if is_limited else None,
    )


def _limit(own: int | None, default: int | None) -> int:
    """The effective limit; 0 is no limit."""
    return (default if own is None else own) or 0


def _no_bytes_left(org: Row[Any], now: int, limit: int, present: int, size: int) -> QuotaExceeded:
    midnight = (now // DAY_MILLIS + 1) * DAY_MILLIS
    seconds = -(-(midnight - now) // 1000)
    when = datetime.fromtimestamp(midnight / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")
    files = f", and the files of this job have {size:,}" if size else ""
    too_large = f"Try again at {when}, when the next day begins"
    if size > limit:
        too_large = "That exceeds the quota of a whole day: split the job, or ask for a larger quota"
    return QuotaExceeded(
        f"the org {org.name} has imported {present:,} bytes today, the limit per day is {limit:,} "
        f"(max_daily_bytes_per_org){files}. {too_large}",
        limit="max_daily_bytes_per_org",
        value=limit,
        present=present,
        **({} if size > limit else {"seconds": seconds}),
    )


def lock_cluster(connection: Connection, cluster_id: str, limits: JobLimits) -> None:
    """If jobs of the cluster are limited, make concurrent inserts of its jobs wait for this transaction."""
    if limits.cluster is not None:
        connection.execute(_LOCKED_CLUSTER, {"cluster_id": cluster_id})


def enforce_job_limits(
    connection: Connection, cluster_id: str, collection_id: str, collection: str, limits: JobLimits
) -> None:
    """Check the limits after the new job has been counted.

    On PostgreSQL its counter must be written: a concurrent transaction that counts a job of the collection waits for
    the row's lock, so no two jobs get the last place.

    Raises:
        LimitExceeded: the collection or its cluster had reached its limit.
    """
    if limits.collection is not None:
        live = _count_live(
            connection, LIVE_JOBS, {"collection_id": collection_id}, lambda _, other: other == collection_id
        )
        _refuse_beyond(limits.collection, live, f"collection {collection}", "max_jobs_per_collection")
    if limits.cluster is not None:
        live = _count_live(
            connection, _LIVE_JOBS_OF_CLUSTER, {"cluster_id": cluster_id}, lambda other, _: other == cluster_id
        )
        _refuse_beyond(limits.cluster, live, "the cluster", "max_jobs_per_cluster")


def _count_live(
    connection: Connection, query: Select[Any], of: Mapping[str, str], is_counted: Callable[[str, str], bool]
) -> int:
    """Count unfinished jobs as they will be at the commit: those stored, and what the transaction changes."""

    def read() -> int:
        return int(connection.execute(query, of).scalar_one())

    stored = read_once(connection, ("live jobs", *of.items()), read)
    return stored + uncommitted_live_jobs(connection, is_counted)


def _is_of(connection: Connection, cluster_id: str, org_id: str) -> bool:
    org = _org_now(connection, cluster_id)
    return org is not None and bool(org.id == org_id)


def _refuse_beyond(most: int, live: int, whose: str, setting: str) -> None:
    if live <= most:
        return
    raise LimitExceeded(
        f"The number of jobs has reached the limit: {live - 1} jobs of {whose} are unfinished ({setting} = {most}). "
        "Try again when some have finished; one job can import many files",
        limit=setting,
        value=most,
    )

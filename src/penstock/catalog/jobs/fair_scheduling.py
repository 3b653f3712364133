"""Fair scheduling: round-robin over orgs, within the limits of running jobs per cluster and per org.

Orgs are ordered by when their last job was claimed, so one that has waited is served before any other is served
twice. Within an org the oldest job comes first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, and_, bindparam, func, or_, select, update

from penstock.catalog.db import tables
from penstock.catalog.db.connection import SERVER_CLOCK, now_millis
from penstock.domain.jobs import ImportJob, JobState
from penstock.domain.quotas import Quota
from penstock.domain.write_modes import WriteMode

COMPANION = "+"
"""Ends the owner of the lease of a job that runs along with another one: it counts towards no limit."""

_CANDIDATES = 16
"""The first of these is claimed, unless another transaction has locked that job's row."""
_WAITING = 256


def free(now: ColumnElement[int]) -> ColumnElement[bool]:
    """The condition that a job is runnable, due, and without a valid lease."""
    job = tables.job.c
    return and_(job.runnable.is_(True), job.run_after <= now, or_(job.lease_until.is_(None), job.lease_until < now))


def claimable_jobs(
    connection: Connection, max_running: int | None, quota: Quota, *, one_each: bool = False
) -> Sequence[int]:
    """The ids of the jobs that may be claimed, at most one per cluster, in scheduling order.

    One index lookup per cluster and per running job, however many jobs wait.

    Args:
        max_running: limit of running jobs per cluster; None: no limit.
        quota: default for orgs without their own.
        one_each: leave out orgs that have a job running.
    """
    clusters, orgs = _full(connection, max_running, quota, one_each)
    values = {"clusters": clusters, "orgs": orgs, "now": now_millis()}
    return list(connection.execute(_next_jobs(connection.dialect.name), values).scalars())


def jobs_to_run_along(connection: Connection, job: ImportJob, quota: Quota, most: int) -> Sequence[int]:
    """The ids of Pending jobs of a job's collection, the oldest first, at most ``most``; none if its org is limited.

    Only those that append: for jobs that replace rows it matters which one is first. Looks through
    the first :data:`_WAITING` jobs of the cluster only. Locks the rows of those it returns.
    """
    (owner,) = connection.execute(_OWNERS, {"clusters": [job.cluster_id]}).all()
    if (quota.running_jobs if owner.max_running_jobs is None else owner.max_running_jobs) or 0:
        return []
    values = {
        "leader": job.id,
        "cluster": job.cluster_id,
        "collection": job.collection_id,
        "most": most,
        "now": now_millis(),
    }
    return list(connection.execute(_waiting_jobs(connection.dialect.name), values).scalars())


def running_jobs(connection: Connection, org_id: str) -> int:
    """Count the org's jobs that are leased."""
    running = _running_by_cluster(connection)
    return sum(
        running[row.id] for row in connection.execute(_OWNERS, {"clusters": sorted(running)}) if row.org_id == org_id
    )


def mark_served(connection: Connection, cluster_id: str) -> None:
    """Move the cluster's org to the end of the scheduling order."""
    connection.execute(_MOVE_ORG_TO_END, {"served": cluster_id})


def _full(
    connection: Connection, max_running: int | None, quota: Quota, one_each: bool
) -> tuple[list[str], list[str]]:
    """The clusters and the orgs that have reached their limit of running jobs."""
    running = _running_by_cluster(connection)
    owners = connection.execute(_OWNERS, {"clusters": sorted(running)}).all() if running else []
    by_org: Counter[str] = Counter()
    for row in owners:
        by_org[row.org_id] += running[row.id]
    default = quota.running_jobs or 0
    limits = {row.org_id: default if row.max_running_jobs is None else row.max_running_jobs for row in owners}
    return (
        sorted(cluster_id for cluster_id, jobs in running.items() if max_running is not None and jobs >= max_running),
        sorted(org_id for org_id, jobs in by_org.items() if one_each or 0 < limits[org_id] <= jobs),
    )


def _running_by_cluster(connection: Connection) -> Counter[str]:
    """Count running jobs by cluster id; an expired lease doesn't count."""
    return Counter(connection.execute(_leased_jobs(connection.dialect.name), {"now": now_millis()}).scalars())


# Built once, schedulers poll with them: building such a statement takes longer than running it.


def _clock(dialect: str) -> ColumnElement[int]:
    """As :func:`penstock.catalog.db.connection.database_clock`, but this process's time is the parameter ``now``."""
    return SERVER_CLOCK if dialect == "postgresql" else bindparam("now", type_=BigInteger)


@lru_cache
def _leased_jobs(dialect: str) -> Select[Any]:
    # No join with the clusters: SQLite would then scan all jobs of each.
    job = tables.job.c
    return select(job.cluster_id).where(
        job.owner.is_not(None), job.owner.not_like(f"%{COMPANION}"), job.lease_until >= _clock(dialect)
    )


_OWNERS = (
    select(tables.cluster.c.id, tables.cluster.c.org_id, tables.org.c.max_running_jobs)
    .join(tables.org, tables.org.c.id == tables.cluster.c.org_id)
    .where(tables.cluster.c.id.in_(bindparam("clusters", expanding=True)))
)


@lru_cache
def _next_jobs(dialect: str) -> Select[Any]:
    job, cluster, org = tables.job.c, tables.cluster.c, tables.org.c
    oldest = select(job.id).where(job.cluster_id == cluster.id, free(_clock(dialect))).order_by(job.id).limit(1)
    places = (
        select(org.turn, org.id.label("org_id"), oldest.scalar_subquery().label("job_id"))
        .join(tables.cluster, cluster.org_id == org.id)
        .where(
            cluster.id.not_in(bindparam("clusters", expanding=True)),
            org.id.not_in(bindparam("orgs", expanding=True)),
        )
        .subquery()
    )
    return (
        select(places.c.job_id)
        .where(places.c.job_id.is_not(None))
        .order_by(places.c.turn, places.c.org_id, places.c.job_id)
        .limit(_CANDIDATES)
    )


@lru_cache
def _waiting_jobs(dialect: str) -> Select[Any]:
    job, is_free = tables.job.c, free(_clock(dialect))
    first = select(job.id).where(job.cluster_id == bindparam("cluster"), is_free).order_by(job.id).limit(_WAITING)
    return (
        select(job.id)
        .where(
            job.id.in_(first),
            is_free,
            job.id != bindparam("leader"),
            job.collection_id == bindparam("collection"),
            job.state == JobState.PENDING.value,
            func.coalesce(job.options["write_mode"].as_string(), "").in_(["", WriteMode.APPEND.value]),
        )
        .order_by(job.id)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True)
    )


_MOVE_ORG_TO_END = (
    update(tables.org)
    .where(
        tables.org.c.id
        == select(tables.cluster.c.org_id).where(tables.cluster.c.id == bindparam("served")).scalar_subquery()
    )
    .values(turn=select(func.max(tables.org.alias("others").c.turn) + 1).scalar_subquery())
)

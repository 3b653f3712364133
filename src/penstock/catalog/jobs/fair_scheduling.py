"""Which job is begun next: orgs take turns, and neither a cluster nor an org has more jobs running than it may.

Orgs stand in the order in which their last jobs were begun, so one that has waited is served before any other is
served twice. Within an org the oldest job comes first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, and_, bindparam, func, or_, select, update

from penstock.catalog.db import tables
from penstock.catalog.db.connection import SERVER_CLOCK, now_millis
from penstock.domain.quotas import Quota

__all__ = ["claimable_jobs", "free", "mark_served", "running_jobs"]

_CANDIDATES = 16
"""The first of these is taken, unless somebody else is changing that very job at the moment."""


def free(now: ColumnElement[int]) -> ColumnElement[bool]:
    """Somebody should be working on the job, and nobody is."""
    job = tables.job.c
    return and_(job.runnable.is_(True), job.run_after <= now, or_(job.lease_until.is_(None), job.lease_until < now))


def claimable_jobs(
    connection: Connection, most: int | None, quota: Quota, *, one_each: bool = False
) -> Sequence[int]:
    """The ids of the jobs that may be begun, at most one of each cluster, whose turn it is first.

    One look into an index for each cluster and for each running job, however many jobs wait.

    Args:
        most: jobs of a cluster that may be worked on at a time; None for any number.
        quota: of orgs that have none of their own.
        one_each: leave out orgs of which a job is being worked on.
    """
    clusters, orgs = _full(connection, most, quota, one_each)
    values = {"clusters": clusters, "orgs": orgs, "now": now_millis()}
    return list(connection.execute(_places(connection.dialect.name), values).scalars())


def running_jobs(connection: Connection, org_id: str) -> int:
    """How many jobs of the org are being worked on."""
    held = _running_by_cluster(connection)
    return sum(
        held[row.id] for row in connection.execute(_OWNERS, {"clusters": sorted(held)}) if row.org_id == org_id
    )


def mark_served(connection: Connection, cluster_id: str) -> None:
    """The cluster's org has been served: all others come before it."""
    connection.execute(_GIVE_TURN, {"served": cluster_id})


def _full(connection: Connection, most: int | None, quota: Quota, one_each: bool) -> tuple[list[str], list[str]]:
    """The clusters and the orgs that have as many jobs running as they may."""
    held = _running_by_cluster(connection)
    owners = connection.execute(_OWNERS, {"clusters": sorted(held)}).all() if held else []
    by_org: Counter[str] = Counter()
    for row in owners:
        by_org[row.org_id] += held[row.id]
    default = quota.running_jobs or 0
    limits = {row.org_id: default if row.max_running_jobs is None else row.max_running_jobs for row in owners}
    return (
        sorted(each for each, jobs in held.items() if most is not None and jobs >= most),
        sorted(each for each, jobs in by_org.items() if one_each or 0 < limits[each] <= jobs),
    )


def _running_by_cluster(connection: Connection) -> Counter[str]:
    """A lease that ran out counts no longer."""
    return Counter(connection.execute(_held(connection.dialect.name), {"now": now_millis()}).scalars())


# Schedulers ask these all the time. Making such a statement anew takes longer than running it.


def _clock(dialect: str) -> ColumnElement[int]:
    """As :func:`penstock.catalog.db.connection.database_clock`, but our time is the parameter ``now``."""
    return SERVER_CLOCK if dialect == "postgresql" else bindparam("now", type_=BigInteger)


@lru_cache
def _held(dialect: str) -> Select[Any]:
    # Alone: with the clusters joined to it, SQLite looks through all jobs of each.
    job = tables.job.c
    return select(job.cluster_id).where(job.owner.is_not(None), job.lease_until >= _clock(dialect))


_OWNERS = (
    select(tables.cluster.c.id, tables.cluster.c.org_id, tables.org.c.max_running_jobs)
    .join(tables.org, tables.org.c.id == tables.cluster.c.org_id)
    .where(tables.cluster.c.id.in_(bindparam("clusters", expanding=True)))
)


@lru_cache
def _places(dialect: str) -> Select[Any]:
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


_GIVE_TURN = (
    update(tables.org)
    .where(
        tables.org.c.id
        == select(tables.cluster.c.org_id).where(tables.cluster.c.id == bindparam("served")).scalar_subquery()
    )
    .values(turn=select(func.max(tables.org.alias("others").c.turn) + 1).scalar_subquery())
)

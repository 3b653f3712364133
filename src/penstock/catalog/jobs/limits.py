"""Limits of unfinished jobs per collection and per cluster, enforced in the transaction that adds a job."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, func, select

from penstock.catalog.db import tables
from penstock.domain.jobs import FINAL_STATES
from penstock.domain.quotas import JobLimits
from penstock.errors import LimitExceeded

__all__ = ["LIVE_JOBS", "enforce_job_limits", "lock_cluster"]

_counter = tables.job_counter.c
_LIVE = _counter.state.not_in([state.value for state in sorted(FINAL_STATES)])

# Built once, every create call needs them: building such a statement takes longer than running it.
LIVE_JOBS = select(func.coalesce(func.sum(_counter.jobs), 0)).where(
    _counter.collection_id == bindparam("collection_id"), _LIVE
)
_LIVE_JOBS_OF_CLUSTER = select(func.coalesce(func.sum(_counter.jobs), 0)).where(
    _counter.cluster_id == bindparam("cluster_id"), _LIVE
)
_LOCKED_CLUSTER = (
    select(tables.cluster.c.id).where(tables.cluster.c.id == bindparam("cluster_id")).with_for_update(key_share=True)
)


def lock_cluster(connection: Connection, cluster_id: str, limits: JobLimits) -> None:
    """If jobs of the cluster are limited, make concurrent inserts of its jobs wait for this transaction."""
    if limits.cluster is not None:
        connection.execute(_LOCKED_CLUSTER, {"cluster_id": cluster_id})


def enforce_job_limits(
    connection: Connection, cluster_id: str, collection_id: str, collection: str, limits: JobLimits
) -> None:
    """Check the limits after the new job has been counted.

    A concurrent transaction that counts a job of the collection waits for the counter's row lock, so no two jobs get
    the last place.

    Raises:
        LimitExceeded: the collection or its cluster had reached its limit.
    """
    if limits.collection is not None:
        live = connection.execute(LIVE_JOBS, {"collection_id": collection_id}).scalar_one()
        _refuse_beyond(limits.collection, int(live), f"collection {collection}", "max_jobs_per_collection")
    if limits.cluster is not None:
        live = connection.execute(_LIVE_JOBS_OF_CLUSTER, {"cluster_id": cluster_id}).scalar_one()
        _refuse_beyond(limits.cluster, int(live), "the cluster", "max_jobs_per_cluster")


def _refuse_beyond(most: int, live: int, whose: str, setting: str) -> None:
    if live <= most:
        return
    raise LimitExceeded(
        f"The number of jobs has reached the limit: {live - 1} jobs of {whose} are unfinished ({setting} = {most}). "
        "Try again when some have finished; one job can import many files",
        limit=setting,
        value=most,
    )

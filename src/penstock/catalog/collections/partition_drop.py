"""Dropping a partition while jobs write into it: either such a job is seen here, or it doesn't see the partition."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select

from penstock.catalog.db import tables
from penstock.domain.jobs import ImportJob, JobState
from penstock.domain.names import DEFAULT_PARTITION
from penstock.errors import PartitionNotFound

__all__ = ["PartitionJobs", "drop_partition", "jobs_of_partition", "lock_partition_for_commit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionJobs:
    """Of the jobs into one partition: how many are before their commit, which is in it, and how many were."""

    before: int
    committing: int | None
    committed: int


def jobs_of_partition(connection: Connection, collection_id: str, name: str) -> PartitionJobs:
    job = tables.job.c
    rows = connection.execute(
        select(job.state, func.count().label("jobs"), func.min(job.id).label("first"))
        .where(job.collection_id == collection_id, job.partition == name)
        .group_by(job.state)
    ).all()
    found = {JobState(row.state): row for row in rows}
    committing = found.get(JobState.COMMITTING)
    return PartitionJobs(
        before=sum(row.jobs for state, row in found.items() if not state.is_final and not state.is_committed),
        committing=None if committing is None else committing.first,
        committed=sum(row.jobs for state, row in found.items() if state.is_committed),
    )


def lock_partition_for_commit(connection: Connection, job: ImportJob) -> None:
    """Keep the partition that a job is about to commit into from being dropped within this transaction.

    Raises:
        PartitionNotFound: it was dropped before.
    """
    if job.partition in (None, "", DEFAULT_PARTITION):
        return
    column = tables.partition.c
    held = connection.execute(
        select(column.number)
        .where(column.collection_id == job.collection_id, column.name == job.partition)
        .with_for_update(read=True)
    ).one_or_none()
    collection = tables.collection.c
    live = select(collection.id).where(collection.id == job.collection_id, collection.dropped_at.is_(None))
    if held is None and connection.execute(live).one_or_none() is not None:
        raise PartitionNotFound(
            f"partition {job.partition} of collection {job.collection} dropped", partition=job.partition
        )


def drop_partition(connection: Connection, collection_id: str, name: str, seen: PartitionJobs) -> bool:
    """Remove the name of a partition whose rows are gone, unless a job has or may have brought new ones.

    ``seen`` is from before the rows were removed. False: nothing was changed; the jobs are to be ended, or waited
    for, and the rows removed again.
    """
    column = tables.partition.c
    # The name first: a job that is about to commit holds it, and what it says of itself is seen after that.
    with connection.begin_nested() as attempt:
        connection.execute(delete(tables.partition).where(column.collection_id == collection_id, column.name == name))
        now = jobs_of_partition(connection, collection_id, name)
        if now.before or now.committing or now.committed != seen.committed:
            attempt.rollback()
            return False
    return True

"""Drop a partition while jobs write into it: either the drop sees the job, or the job doesn't see the partition."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select

from penstock.catalog.db import tables
from penstock.catalog.jobs.loaded_files import forget_partition_files
from penstock.domain.jobs import ImportJob, JobState
from penstock.domain.names import DEFAULT_PARTITION
from penstock.errors import PartitionNotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionJobs:
    """The jobs into one partition: how many are before their intent, the id of a committing one, how many past it.

    A revert may bring rows back into any partition: a job of the collection that is being reverted counts as
    committing, and ``reverted`` counts those that are.
    """

    before: int
    committing: int | None
    committed: int
    reverted: int = 0


def jobs_of_partition(connection: Connection, collection_id: str, name: str) -> PartitionJobs:
    """Count the jobs into a partition by their commit."""
    job = tables.job.c
    rows = connection.execute(
        select(job.state, func.count().label("jobs"), func.min(job.id).label("first"))
        .where(job.collection_id == collection_id, job.partition == name)
        .group_by(job.state)
    ).all()
    reverts = connection.execute(
        select(job.state, func.count().label("jobs"), func.min(job.id).label("first"))
        .where(job.collection_id == collection_id, job.state.in_([JobState.REVERTING.value, JobState.REVERTED.value]))
        .group_by(job.state)
    ).all()
    by_state = {JobState(row.state): row for row in rows}
    reverts_by_state = {JobState(row.state): row for row in reverts}
    committing = by_state.get(JobState.COMMITTING) or reverts_by_state.get(JobState.REVERTING)
    reverted = reverts_by_state.get(JobState.REVERTED)
    return PartitionJobs(
        before=sum(row.jobs for state, row in by_state.items() if not state.is_final and not state.is_committed),
        committing=None if committing is None else committing.first,
        committed=sum(row.jobs for state, row in by_state.items() if state.is_committed),
        reverted=0 if reverted is None else reverted.jobs,
    )


def lock_partition_for_commit(connection: Connection, job: ImportJob) -> None:
    """Lock the partition that a job is about to commit into, so that it isn't dropped during this transaction.

    Raises:
        PartitionNotFound: it has been dropped.
    """
    if job.partition in (None, "", DEFAULT_PARTITION):
        return
    column = tables.partition.c
    partition = connection.execute(
        select(column.number)
        .where(column.collection_id == job.collection_id, column.name == job.partition)
        .with_for_update(read=True)
    ).one_or_none()
    collection = tables.collection.c
    live = select(collection.id).where(collection.id == job.collection_id, collection.dropped_at.is_(None))
    if partition is None and connection.execute(live).one_or_none() is not None:
        raise PartitionNotFound(
            f"partition {job.partition} of collection {job.collection} dropped", partition=job.partition
        )


def lock_partitions_for_revert(connection: Connection, job: ImportJob) -> None:
    """Lock the partitions that a revert may bring rows back into: a drop comes before this transaction, or after."""
    column = tables.partition.c
    connection.execute(
        select(column.number).where(column.collection_id == job.collection_id).with_for_update(read=True)
    ).all()


def drop_partition(connection: Connection, collection_id: str, name: str, seen: PartitionJobs) -> bool:
    """Remove the name of a partition whose rows are deleted, unless a job has added or may add new ones.

    ``seen`` is from before the rows were deleted. False: nothing was changed; the caller must end the jobs or wait
    for them, then delete the rows again.
    """
    column = tables.partition.c
    # Delete the name first: a job that is about to commit has it locked, so its state is read after that.
    with connection.begin_nested() as attempt:
        connection.execute(delete(tables.partition).where(column.collection_id == collection_id, column.name == name))
        now = jobs_of_partition(connection, collection_id, name)
        if now.before or now.committing or (now.committed, now.reverted) != (seen.committed, seen.reverted):
            attempt.rollback()
            return False
    forget_partition_files(connection, collection_id, name)
    return True

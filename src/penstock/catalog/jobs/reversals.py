"""Reverts of completed jobs: their beginning, and what must be known of other jobs for them."""

from __future__ import annotations

from sqlalchemy import func, literal_column, or_, select

from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase
from penstock.catalog.jobs.outbox import WebhookOutbox
from penstock.catalog.jobs.rows import JOB_COLUMNS, job_of
from penstock.catalog.jobs.transitions import Guard, JobTransitions
from penstock.domain.audit import AuditEntry
from penstock.domain.jobs import ImportJob, JobState
from penstock.domain.write_modes import WriteMode, WriteOptions

_HAS_REPLACED = tables.job.c.replaced_rows.is_distinct_from(literal_column("0"))
"""The job has replaced rows, or it is unknown whether it has: the condition of an index."""
_IS_PUBLISHED = tables.job.c.state.in_(
    [state.value for state in (JobState.INDEXING, JobState.COMPLETED, JobState.REVERTING)]
)


class ReversalRepository:
    """Begin reverts; find the jobs and versions that matter for them."""

    def __init__(self, database: CatalogDatabase, outbox: WebhookOutbox) -> None:
        self._database = database
        self._transitions = JobTransitions(database, outbox)

    def begin(self, job: ImportJob, intent_version: int, *, audit: AuditEntry | None = None) -> ImportJob:
        """Move a Completed job to Reverting; ``intent_version`` is a version of its table from before the revert.

        Raises:
            JobStateConflict: the job isn't Completed (any more).
        """
        with self._database.write() as connection:
            return self._transitions.transition(
                connection,
                job,
                JobState.REVERTING,
                Guard.REOPEN,
                audit=audit,
                finished_at=None,
                stage="reverting",
                intent_version=intent_version,
            )

    def replacing_after(self, job: ImportJob) -> int | None:
        """The newest job that may have replaced rows of ``job``, as it published later and isn't reverted."""
        column = tables.job.c
        of_collection = select(*JOB_COLUMNS).where(column.collection_id == job.collection_id, column.id != job.id)
        published = of_collection.where(
            _HAS_REPLACED, _IS_PUBLISHED, column.published_version > (job.published_version or 0)
        )
        committing = of_collection.where(column.state == JobState.COMMITTING.value)
        with self._database.read() as connection:
            newest = connection.execute(published.order_by(column.published_version.desc()).limit(1)).one_or_none()
            jobs = [job_of(row) for row in connection.execute(committing).all()]
        # What a committing job replaces is recorded only after its commit, which may just have happened.
        replacing = [found.id for found in jobs if WriteOptions.of(found.options).mode is not WriteMode.APPEND]
        return newest.id if newest is not None else max(replacing, default=None)

    def version_to_keep(self, collection_id: str, finished_since: int) -> int | None:
        """The oldest version of a table with rows that a revert may bring back; None if there is no such version.

        They may come back for jobs that are unfinished, or finished since a time (milliseconds since 1970).
        """
        column = tables.job.c
        query = select(func.min(column.published_version)).where(
            column.collection_id == collection_id,
            _HAS_REPLACED,
            _IS_PUBLISHED,
            or_(column.finished_at.is_(None), column.finished_at > finished_since),
        )
        with self._database.read() as connection:
            published = connection.execute(query).scalar_one_or_none()
        return None if published is None else int(published) - 1

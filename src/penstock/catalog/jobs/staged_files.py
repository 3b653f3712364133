"""What jobs have staged and nobody will publish: whose it is, and taking it away from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import null, or_, select, update

from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase
from penstock.catalog.jobs.rows import JOB_COLUMNS, job_of
from penstock.domain.jobs import LIVE_STATES, ImportJob, JobState, SplitState

__all__ = ["StagedFileRepository"]


class StagedFileRepository:
    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def find(self, failed_before: int) -> Sequence[ImportJob]:
        """Aborted jobs, and those that failed before a time (milliseconds), whose staged files are still there."""
        job = tables.job.c
        aborted = job.state == JobState.ABORTED.value
        with self._database.read() as connection:
            rows = connection.execute(
                select(*JOB_COLUMNS).where(
                    job.has_staged_files.is_(True), or_(aborted, job.finished_at <= failed_before)
                )
            ).all()
        return [job_of(row) for row in rows]

    def take(self, job_id: int) -> Sequence[Any]:
        """What a failed or aborted job had staged, for deletion: from now on a retry stages it again."""
        split = tables.job_split.c
        with self._database.write() as connection:
            taken = connection.execute(
                update(tables.job)
                .where(
                    tables.job.c.id == job_id,
                    tables.job.c.has_staged_files.is_(True),
                    tables.job.c.state.in_([JobState.FAILED.value, JobState.ABORTED.value]),
                )
                .values(has_staged_files=False)
            ).rowcount
            if not taken:
                return []
            where = (split.job_id == job_id, split.state == SplitState.STAGED.value)
            staged = connection.execute(select(split.staged).where(*where).order_by(split.ordinal)).scalars().all()
            connection.execute(
                update(tables.job_split).where(*where).values(state=SplitState.PENDING.value, staged=null())
            )
        return staged

    def staged_of(self, collection_id: str) -> Sequence[Any]:
        """What the jobs of a collection have staged and not published; also what an ended one still has."""
        job, split = tables.job.c, tables.job_split.c
        unpublished = or_(job.has_staged_files.is_(True), job.state.in_([each.value for each in sorted(LIVE_STATES)]))
        with self._database.read() as connection:
            return (
                connection.execute(
                    select(split.staged)
                    .join(tables.job, job.id == split.job_id)
                    .where(job.collection_id == collection_id, unpublished, split.state == SplitState.STAGED.value)
                )
                .scalars()
                .all()
            )

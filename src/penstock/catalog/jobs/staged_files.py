"""Staged files of ended jobs that won't be published: find them, and hand them to the cleanup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import null, or_, select, update

from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase
from penstock.catalog.jobs.rows import JOB_COLUMNS, job_of
from penstock.domain.jobs import LIVE_STATES, ImportJob, JobState, SplitState


class StagedFileRepository:
    """Find staged files that can be deleted."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def find(self, failed_before: int) -> Sequence[ImportJob]:
        """Return jobs with staged files that were aborted, or failed before a time (milliseconds since 1970)."""
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
        """Return what a failed or aborted job has staged, for deletion, and mark its splits Pending for a retry."""
        split = tables.job_split.c
        with self._database.write() as connection:
            changed = connection.execute(
                update(tables.job)
                .where(
                    tables.job.c.id == job_id,
                    tables.job.c.has_staged_files.is_(True),
                    tables.job.c.state.in_([JobState.FAILED.value, JobState.ABORTED.value]),
                )
                .values(has_staged_files=False)
            ).rowcount
            if not changed:
                return []
            where = (split.job_id == job_id, split.state == SplitState.STAGED.value)
            staged = connection.execute(select(split.staged).where(*where).order_by(split.ordinal)).scalars().all()
            connection.execute(
                update(tables.job_split).where(*where).values(state=SplitState.PENDING.value, staged=null())
            )
        return _without_dry_runs(staged)

    def staged_of(self, collection_id: str) -> Sequence[Any]:
        """Return what the jobs of a collection have staged and not published, ended jobs included."""
        job, split = tables.job.c, tables.job_split.c
        live = job.state.in_([state.value for state in sorted(LIVE_STATES)])
        unpublished = or_(job.has_staged_files.is_(True), live)
        with self._database.read() as connection:
            staged = (
                connection.execute(
                    select(split.staged)
                    .join(tables.job, job.id == split.job_id)
                    .where(job.collection_id == collection_id, unpublished, split.state == SplitState.STAGED.value)
                )
                .scalars()
                .all()
            )
        return _without_dry_runs(staged)


def _without_dry_runs(staged: Sequence[Any]) -> Sequence[Any]:
    """Leave out the splits of dry runs, which have staged nothing."""
    return [note for note in staged if note is not None]

"""Retention: delete jobs that ended long ago, in small batches, so that other writers don't wait."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, delete, select

from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase
from penstock.catalog.jobs.counters import subtract_deleted

_BATCH = 500


class RetentionRepository:
    """Delete old jobs from the catalog."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def forget_jobs(self, cluster_id: str, finished_before: int, keep: int, batch: int = _BATCH) -> int:
        """Delete up to ``batch`` finished jobs of a cluster with their files and splits; returns how many.

        Args:
            finished_before: milliseconds since 1970.
            keep: number of the cluster's newest jobs that stay, however old they are.

        Jobs with staged files stay until the cleanup has deleted these.
        """
        job = tables.job.c
        with self._database.write() as connection:
            where = [
                job.cluster_id == cluster_id,
                job.finished_at < finished_before,
                job.has_staged_files.is_(False),
                *_older_than_kept(connection, cluster_id, keep),
            ]
            rows = connection.execute(
                select(job.id, job.database_id, job.collection_id, job.state)
                .where(*where)
                .order_by(job.finished_at)
                .limit(batch)
                .with_for_update(skip_locked=True)
            ).all()
            if not rows:
                return 0
            ids = [row.id for row in rows]
            for table in tables.PARTS_OF_JOB:
                connection.execute(delete(table).where(table.c.job_id.in_(ids)))
            connection.execute(delete(tables.job).where(job.id.in_(ids)))
            subtract_deleted(
                connection, [(row.id, cluster_id, row.database_id, row.collection_id, row.state) for row in rows]
            )
        return len(ids)


def _older_than_kept(connection: Connection, cluster_id: str, keep: int) -> list[ColumnElement[bool]]:
    if keep == 0:
        return []
    job = tables.job.c
    oldest_kept = connection.execute(
        select(job.id).where(job.cluster_id == cluster_id).order_by(job.id.desc()).offset(keep - 1).limit(1)
    ).scalar_one_or_none()
    return [job.id < (0 if oldest_kept is None else oldest_kept)]

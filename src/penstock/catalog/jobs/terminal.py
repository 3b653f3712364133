"""Side effects of a job's end: its deadline, files, credentials and staged files."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, select, update

from penstock.catalog.db import tables
from penstock.catalog.db.connection import now_millis
from penstock.domain.jobs import FileState, JobState, SplitState

__all__ = ["end_job", "ending_values"]


def ending_values(then: JobState) -> dict[str, Any]:
    """The columns of the job that every transition to ``then`` sets."""
    values: dict[str, Any] = {}
    if then.is_final:
        values |= {"finished_at": now_millis(), "stage": ""}
    if then.is_final or then.is_committed:
        values["deadline"] = None
    return values


def end_job(connection: Connection, job_id: int, state: JobState) -> None:
    """End each file of an ended job, as completed or failed, and delete the job's credentials.

    If it failed or was aborted, the staged files of its splits stay, for a retry or the cleanup.
    """
    connection.execute(delete(tables.job_secret).where(tables.job_secret.c.job_id == job_id))
    if state is not JobState.COMPLETED:
        split = tables.job_split.c
        staged = select(split.ordinal).where(split.job_id == job_id, split.state == SplitState.STAGED.value)
        connection.execute(
            update(tables.job).where(tables.job.c.id == job_id, staged.exists()).values(has_staged_files=True)
        )
    file = tables.job_file.c
    if state is JobState.COMPLETED:
        values = {"state": FileState.COMPLETED.value, "progress": 100}
    else:
        values = {"state": FileState.FAILED.value}
    connection.execute(
        update(tables.job_file)
        .where(file.job_id == job_id, file.finished_at.is_(None))
        .values(finished_at=now_millis(), **values)
    )

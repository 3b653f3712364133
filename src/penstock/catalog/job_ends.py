"""What changes together with a job's state: the counters of jobs, and at its end its files and its secret."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, delete, select, update

from penstock.catalog import tables
from penstock.catalog.database import insert_or, now_millis
from penstock.domain.jobs import FileState, ImportJob, JobState, SplitState

__all__ = ["count", "end_job", "ending_values", "recount", "tally"]

_COUNTED = ("cluster_id", "database_id", "collection_id", "state")


def ending_values(then: JobState) -> dict[str, Any]:
    """The columns of the job that a move to ``then`` sets, whoever makes it."""
    values: dict[str, Any] = {}
    if then.is_final:
        values |= {"finished_at": now_millis(), "stage": ""}
    if then.is_final or then.is_committed:
        values["deadline"] = None
    return values


def count(
    connection: Connection, cluster_id: str, database_id: int, collection_id: str, state: JobState, change: int
) -> None:
    tally(connection, [(cluster_id, database_id, collection_id, state.value, change)])


def recount(connection: Connection, job: ImportJob, then: JobState) -> None:
    of = (job.cluster_id, job.database_id, job.collection_id)
    tally(connection, [(*of, job.state.value, -1), (*of, then.value, 1)])


def tally(connection: Connection, changes: Sequence[tuple[str, int, str, str, int]]) -> None:
    """Change counters: cluster, database, collection, state, and by how much.

    Always in the same order, so that no two transactions wait for each other's counters.
    """
    names = (*_COUNTED, "jobs")
    rows = [dict(zip(names, each, strict=True)) for each in sorted(changes)]
    connection.execute(_tally(connection.dialect.name), rows)


# Each move of a job asks for it, and making the statement takes longer than running it.
@lru_cache
def _tally(dialect: str) -> Any:
    counter = tables.job_counter
    statement = insert_or(dialect, counter)
    return statement.on_conflict_do_update(
        index_elements=_COUNTED, set_={"jobs": counter.c.jobs + statement.excluded.jobs}
    )


def end_job(connection: Connection, job_id: int, state: JobState) -> None:
    """With the job, each of its files ends: completed, or stopped where it was. Its secret is wiped.

    Where it failed or was aborted, the staged files of its splits stay for the tidier, or for a retry.
    """
    connection.execute(delete(tables.job_secret).where(tables.job_secret.c.job_id == job_id))
    if state is not JobState.COMPLETED:
        split = tables.job_split.c
        staged = select(split.ordinal).where(split.job_id == job_id, split.state == SplitState.STAGED.value)
        connection.execute(
            update(tables.job).where(tables.job.c.id == job_id, staged.exists()).values(leftovers=True)
        )
    file = tables.job_file.c
    if state is JobState.COMPLETED:
        ended = {"state": FileState.COMPLETED.value, "progress": 100}
    else:
        ended = {"state": FileState.FAILED.value}
    connection.execute(
        update(tables.job_file)
        .where(file.job_id == job_id, file.finished_at.is_(None))
        .values(finished_at=now_millis(), **ended)
    )

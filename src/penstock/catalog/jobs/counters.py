"""Counters of jobs, updated in the transactions that change the jobs: the total of a list needs no scan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, select, tuple_

from penstock.catalog.db import tables
from penstock.catalog.db.connection import upsert_insert
from penstock.domain.ids import day_of
from penstock.domain.jobs import FINAL_STATES, ImportJob, JobState

__all__ = ["add_job", "apply_transition", "forget"]

_DATABASE_OF_JOB = select(tables.job.c.database_id).where(tables.job.c.id == bindparam("id"))


def add_job(connection: Connection, cluster_id: str, database_id: int, collection_id: str) -> None:
    """Count a new Pending job."""
    _add(connection, tables.job_counter, {(cluster_id, database_id, collection_id, JobState.PENDING.value): 1})


def apply_transition(connection: Connection, job: ImportJob, then: JobState) -> None:
    """Move a job from the counter of its state to that of the next; by day only final states are counted.

    The caller has updated the job's row, and so locked it.
    """
    # A rename of its collection into another database may have moved the job since it was read.
    database_id = connection.execute(_DATABASE_OF_JOB, {"id": job.id}).scalar_one()
    of = (job.cluster_id, database_id, job.collection_id)
    changes = ((job.state, -1), (then, 1))
    _add(connection, tables.job_counter, {(*of, state.value): change for state, change in changes})
    day = day_of(job.id)
    final_changes = {(*of, state.value, day): change for state, change in changes if state in FINAL_STATES}
    if final_changes:
        _add(connection, tables.job_day, final_changes)


def forget(connection: Connection, ended: Iterable[tuple[int, str, int, str, str]]) -> None:
    """Subtract ended jobs that are deleted: id, cluster, database, collection and state of each."""
    states: Counter[tuple[Any, ...]] = Counter()
    days: Counter[tuple[Any, ...]] = Counter()
    for job_id, *of in ended:
        states[tuple(of)] -= 1
        days[(*of, day_of(job_id))] -= 1
    for table, changes in ((tables.job_counter, states), (tables.job_day, days)):
        _add(connection, table, changes)
        connection.execute(delete(table).where(table.c.jobs == 0, tuple_(*table.primary_key).in_(sorted(changes))))


def _add(connection: Connection, table: Table, changes: Mapping[tuple[Any, ...], int]) -> None:
    """Add to counters, sorted by key: all transactions lock the rows in the same order, so there are no deadlocks."""
    names = [column.name for column in table.primary_key]
    rows = [{**dict(zip(names, key, strict=True)), "jobs": changes[key]} for key in sorted(changes)]
    connection.execute(_addition(connection.dialect.name, table), rows)


# Cached, each transition needs it: building the statement takes longer than running it.
@lru_cache
def _addition(dialect: str, table: Table) -> Any:
    statement = upsert_insert(dialect, table)
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key), set_={"jobs": table.c.jobs + statement.excluded.jobs}
    )

"""Counters of jobs by state, so that neither the total of a list nor a limit needs a scan.

They are written at the commit of the transactions that change the jobs, by one statement for all jobs of a group
commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table, delete, tuple_

from penstock.catalog.db import tables
from penstock.catalog.db.commit_hooks import unwritten, write_at_commit
from penstock.catalog.db.connection import upsert_insert
from penstock.domain.ids import day_of
from penstock.domain.jobs import FINAL_STATES, ImportJob, JobState

_Change = tuple[str, int, str, str, int, int]
"""Cluster, database, collection, state and day of jobs, and by how many they change."""


def count_created(connection: Connection, job: ImportJob) -> None:
    """Count a job that is inserted."""
    write_at_commit(connection, _count, [_change(job, job.state, 1)])


def count_transition(connection: Connection, job: ImportJob, to: JobState) -> None:
    """Move a job from the counter of its state to that of the next; by day only final states are counted."""
    write_at_commit(connection, _count, [_change(job, job.state, -1), _change(job, to, 1)])


def uncommitted_live_jobs(connection: Connection, is_counted: Callable[[str, str], bool]) -> int:
    """By how many unfinished jobs the transaction changes counters that it has not written yet.

    ``is_counted`` chooses their clusters and collections.
    """
    return sum(
        change
        for cluster_id, _, collection_id, state, _, change in unwritten(connection, _count)
        if JobState(state) not in FINAL_STATES and is_counted(cluster_id, collection_id)
    )


def subtract_deleted(connection: Connection, ended: Iterable[tuple[int, str, int, str, str]]) -> None:
    """Subtract ended jobs that are deleted: id, cluster, database, collection and state of each."""
    states: Counter[tuple[Any, ...]] = Counter()
    days: Counter[tuple[Any, ...]] = Counter()
    for job_id, *key in ended:
        states[tuple(key)] -= 1
        days[(*key, day_of(job_id))] -= 1
    for table, changes in ((tables.job_counter, states), (tables.job_day, days)):
        _add(connection, table, changes)
        connection.execute(delete(table).where(table.c.jobs == 0, tuple_(*table.primary_key).in_(sorted(changes))))


def _change(job: ImportJob, state: JobState, change: int) -> _Change:
    return (job.cluster_id, job.database_id, job.collection_id, state.value, day_of(job.id), change)


def _count(connection: Connection, changes: Sequence[_Change]) -> None:
    states: Counter[tuple[Any, ...]] = Counter()
    days: Counter[tuple[Any, ...]] = Counter()
    for *key, state, day, change in changes:
        states[*key, state] += change
        if JobState(state) in FINAL_STATES:
            days[*key, state, day] += change
    for table, sums in ((tables.job_counter, states), (tables.job_day, days)):
        _add(connection, table, {key: change for key, change in sums.items() if change})


def _add(connection: Connection, table: Table, changes: Mapping[tuple[Any, ...], int]) -> None:
    """Add to counters, sorted by key: all transactions lock the rows in the same order, so there are no deadlocks."""
    names = [column.name for column in table.primary_key]
    rows = [{**dict(zip(names, key, strict=True)), "jobs": changes[key]} for key in sorted(changes)]
    if rows:
        connection.execute(_addition(connection.dialect.name, table), rows)


# Cached, each transition needs it: building the statement takes longer than running it.
@lru_cache
def _addition(dialect: str, table: Table) -> Any:
    statement = upsert_insert(dialect, table)
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key), set_={"jobs": table.c.jobs + statement.excluded.jobs}
    )

"""List jobs: filtered, newest first, paged, with the total from counters where possible.

Every filter is answered from an index in the index's own order, however many jobs there are: a list of several states
is the merge of one list per state, and a job's id contains its creation time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    func,
    or_,
    select,
    union_all,
)

from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase
from penstock.catalog.jobs.rows import JOB_COLUMNS, job_of
from penstock.domain.ids import DAY_MILLIS, first_id_at, millis_of
from penstock.domain.jobs import LIVE_STATES, ImportJob, JobState

_END = 2**63 - 1
"""Greater than any id."""

SEARCHED_JOBS = 10_000
"""A search for a text reads each job and the names of its files: 30 ms for these many."""

_MOST_BRANCHES = 100
"""SQLite merges at most 500 lists. Beyond this, for callers with very many databases, the query sorts instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Select jobs. ``before`` is a job id, exclusive; times are milliseconds since 1970.

    ``finished_since`` leaves out jobs that ended before it; unfinished jobs stay. ``database_ids``, unless None,
    restricts the list to the databases that the caller may see.
    """

    cluster_id: str
    database_id: int | None = None
    database_ids: tuple[int, ...] | None = None
    collection_id: str | None = None
    states: tuple[JobState, ...] = ()
    created_after: int | None = None
    created_before: int | None = None
    finished_since: int | None = None
    before: int | None = None


class JobList:
    """Pages and totals of filtered jobs."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def page(self, job_filter: JobFilter, *, limit: int, offset: int = 0) -> Sequence[ImportJob]:
        """Return at most ``limit`` jobs after the first ``offset``, newest first.

        With ``finished_since``, if more than ``offset + limit`` jobs match, those that ended last are returned.
        """
        first, end = _ids_of(job_filter)
        values = {"first": first, "end": end if job_filter.before is None else min(end, job_filter.before)}
        if job_filter.finished_since is not None:
            values["finished_since"] = job_filter.finished_since
        query = _page(_shape(job_filter), limit, offset)
        with self._database.read() as connection:
            # all(): fetching row by row takes twice as long.
            rows = connection.execute(query, values).all()
        return [job_of(row) for row in rows]

    def search(
        self, job_filter: JobFilter, text: str, *, limit: int, offset: int = 0
    ) -> tuple[Sequence[ImportJob], int]:
        """Search the newest :data:`SEARCHED_JOBS` of the jobs that match for a text, whatever its case.

        The text is part of the reason, of the collection's name or of a file's, or the id. Returns at most ``limit``
        jobs after the first ``offset``, newest first, and how many there are.
        """
        first, end = _ids_of(job_filter)
        values = {"first": first, "end": end if job_filter.before is None else min(end, job_filter.before)}
        page = _page(_shape(job_filter), SEARCHED_JOBS, 0).subquery()
        in_files = select(tables.job_file.c.job_id).where(
            tables.job_file.c.job_id == page.c.id, tables.job_file.c.name.icontains(text, autoescape=True)
        )
        matches = or_(
            page.c.reason.icontains(text, autoescape=True),
            page.c.collection.icontains(text, autoescape=True),
            cast(page.c.id, Text) == text,
            in_files.exists(),
        )
        columns = [page.c[column.name] for column in JOB_COLUMNS]
        jobs = select(*columns).where(matches).order_by(page.c.id.desc()).limit(limit).offset(offset)
        with self._database.read() as connection:
            rows = connection.execute(jobs, values).all()
            total = connection.execute(select(func.count()).select_from(page).where(matches), values).scalar_one()
        return [job_of(row) for row in rows], int(total)

    def total(self, job_filter: JobFilter) -> int:
        """Count the jobs that match, ignoring ``before``."""
        query, values = _total(job_filter)
        with self._database.read() as connection:
            return int(connection.execute(query, values).scalar_one())

    def by_state(self, job_filter: JobFilter) -> Mapping[JobState, int]:
        """Count the jobs that match by their state, ignoring ``before``; states without jobs are left out."""
        if job_filter.created_after is None and job_filter.created_before is None:
            with self._database.read() as connection:
                rows = connection.execute(_by_state(_shape(job_filter))).all()
            return {JobState(state): int(jobs) for state, jobs in rows if jobs}
        states = job_filter.states or tuple(JobState)
        totals = {state: self.total(replace(job_filter, states=(state,))) for state in states}
        return {state: jobs for state, jobs in totals.items() if jobs}


@lru_cache(maxsize=128)
def _by_state(shape: JobFilter) -> Select[Any]:
    """The totals over all time by state, from the counters."""
    counter = tables.job_counter.c
    return (
        select(counter.state, func.sum(counter.jobs)).where(*_counter_scope(counter, shape)).group_by(counter.state)
    )


def _total(job_filter: JobFilter) -> tuple[Select[Any], dict[str, int]]:
    """The query of :meth:`JobList.total` and its parameters."""
    shape, (first, end) = _shape(job_filter), _ids_of(job_filter)
    if job_filter.finished_since is not None:
        return _scan(shape), {"first": first, "end": end, "finished_since": job_filter.finished_since}
    if job_filter.created_after is None and job_filter.created_before is None:
        return _all(shape), {}
    days = [_nearest_day(job_id) for job_id in (first, end)]
    if days[0] >= days[1]:
        return _scan(shape), {"first": first, "end": end}
    bounds = [first_id_at(day * DAY_MILLIS) for day in days]
    values = {"first_day": days[0], "end_day": days[1], "first": bounds[0], "end": bounds[1]}
    # Of a day that the filter cuts, the shorter part is counted, then added or subtracted.
    for name, start, stop in (("head", first, bounds[0]), ("tail", bounds[1], end)):
        values |= {f"{name}_sign": 1 if start < stop else -1}
        values |= {f"{name}_first": min(start, stop), f"{name}_end": max(start, stop)}
    return _by_days(shape), values


def _ids_of(job_filter: JobFilter) -> tuple[int, int]:
    """The half-open id range of the filter's creation times."""
    after, before = job_filter.created_after, job_filter.created_before
    return 0 if after is None else first_id_at(after), _END if before is None else first_id_at(before)


def _nearest_day(job_id: int) -> int:
    return (millis_of(job_id) + DAY_MILLIS // 2) // DAY_MILLIS


def _shape(job_filter: JobFilter) -> JobFilter:
    """The cache key of a filter's query: the filter without its numbers, which are bound as parameters.

    Clients that poll send the same filter again and again, and building such a query takes as long as running it.
    """
    since = None if job_filter.finished_since is None else 0
    return replace(job_filter, created_after=None, created_before=None, before=None, finished_since=since)


@lru_cache(maxsize=128)
def _page(shape: JobFilter, limit: int, offset: int) -> Select[Any]:
    branches = _branches(shape)
    ids = branches[0]
    if len(branches) > 1:
        ids = _merged([branch.limit(limit + offset) for branch in branches])
        ids = ids.order_by(ids.selected_columns[0].desc())
    page = ids.limit(limit).offset(offset).subquery()
    return select(*JOB_COLUMNS).join(page, page.c.id == tables.job.c.id).order_by(tables.job.c.id.desc())


@lru_cache(maxsize=128)
def _all(shape: JobFilter) -> Select[Any]:
    """The total over all time, from the counters."""
    return select(_counted(tables.job_counter, shape))


@lru_cache(maxsize=128)
def _by_days(shape: JobFilter) -> Select[Any]:
    """The total of a time range: counters of whole days, plus unfinished jobs, plus or minus both partial days."""
    day = tables.job_day.c.day
    total = _counted(tables.job_day, shape, day >= bindparam("first_day"), day < bindparam("end_day"))
    live = tuple(state for state in sorted(LIVE_STATES) if not shape.states or state in shape.states)
    if live:
        total += _number(*_where(replace(shape, states=live)))
    for name in ("head", "tail"):
        sign = bindparam(f"{name}_sign", type_=Integer)
        total += sign * _number(*_where(shape, bindparam(f"{name}_first"), bindparam(f"{name}_end")))
    return select(total)


@lru_cache(maxsize=128)
def _scan(shape: JobFilter) -> Select[Any]:
    """The total by an index scan, one entry per job."""
    where = _where(shape)
    if shape.finished_since is None:
        return select(_number(*where))
    job = tables.job.c
    live = _number(job.cluster_id == shape.cluster_id, *where, job.finished_at.is_(None))
    return select(live + _number(*where, job.finished_at >= bindparam("finished_since")))


def _number(*where: ColumnElement[bool]) -> ColumnElement[int]:
    return select(func.count()).select_from(tables.job).where(*where).scalar_subquery()


def _counted(table: Table, shape: JobFilter, *where: ColumnElement[bool]) -> ColumnElement[int]:
    counter = table.c
    where = (*where, *_counter_scope(counter, shape))
    return select(func.coalesce(func.sum(counter.jobs), 0)).where(*where).scalar_subquery()


def _counter_scope(counter: Any, shape: JobFilter) -> Sequence[ColumnElement[bool]]:
    """The conditions of a filter on the columns of a table of counters."""
    where = [counter.cluster_id == shape.cluster_id]
    if shape.database_id is not None:
        where.append(counter.database_id == shape.database_id)
    if shape.database_ids is not None:
        where.append(counter.database_id.in_(shape.database_ids))
    if shape.collection_id is not None:
        where.append(counter.collection_id == shape.collection_id)
    if shape.states:
        where.append(counter.state.in_([state.value for state in shape.states]))
    return where


def _merged(branches: Sequence[Select[Any]]) -> Select[Any]:
    """UNION ALL of the branches' ids. Each keeps its own order and limit, for which SQLite needs a subquery."""
    return select(union_all(*(select(branch.subquery().c.id) for branch in branches)).subquery().c.id)


def _branches(shape: JobFilter) -> list[Select[Any]]:
    """Disjoint queries of ids that together match all jobs; each reads one index in that index's order."""
    job = tables.job.c
    ids, newest = select(job.id), job.id.desc()
    if shape.finished_since is not None:
        scopes = _one_by_one(shape)
        if len(scopes) > _MOST_BRANCHES:
            scopes = [shape]
        live = (job.cluster_id == shape.cluster_id, job.finished_at.is_(None))
        recent = job.finished_at >= bindparam("finished_since")
        return [
            *(ids.where(*live, *_where(scope)).order_by(newest) for scope in scopes),
            *(ids.where(*_where(scope), recent).order_by(job.finished_at.desc()) for scope in scopes),
        ]
    states: list[tuple[JobState, ...]] = [(state,) for state in sorted(set(shape.states))] or [()]
    branches = [replace(database_shape, states=state) for database_shape in _one_by_one(shape) for state in states]
    if len(branches) > _MOST_BRANCHES:
        branches = [shape]
    return [ids.where(*_where(branch)).order_by(newest) for branch in branches]


def _one_by_one(shape: JobFilter) -> list[JobFilter]:
    """One filter per visible database, unless the filter names a database or a collection."""
    if not shape.database_ids or shape.database_id is not None or shape.collection_id is not None:
        return [shape]
    return [replace(shape, database_id=database_id) for database_id in shape.database_ids]


def _where(
    shape: JobFilter, first: ColumnElement[int] | None = None, end: ColumnElement[int] | None = None
) -> Sequence[ColumnElement[bool]]:
    """The conditions of a filter: its narrowest scope, its states, and ids from ``first`` (incl.) to ``end`` (excl.).

    The narrowest scope implies the wider ones (a collection is in one cluster) and has an index."""
    job = tables.job.c
    if shape.collection_id is not None:
        scope = job.collection_id == shape.collection_id
    elif shape.database_id is not None:
        scope = job.database_id == shape.database_id
    elif shape.database_ids is not None:
        scope = job.database_id.in_(shape.database_ids)
    else:
        scope = job.cluster_id == shape.cluster_id
    states = [state.value for state in shape.states]
    state = [job.state == states[0]] if len(states) == 1 else [job.state.in_(states)] if states else []
    bounds = [job.id >= (bindparam("first") if first is None else first)]
    bounds.append(job.id < (bindparam("end") if end is None else end))
    return [scope, *state, *bounds]

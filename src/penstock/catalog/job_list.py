"""Listing jobs: filtered, newest first, paged, with the total taken from counters where they can tell it.

Every filter is answered from an index in the index's own order, however many jobs there are: a list of several states
is the merge of one list per state, and a job's id tells when it was created.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, func, select, true, union_all

from penstock.catalog import tables
from penstock.catalog.database import CatalogDatabase
from penstock.catalog.job_rows import JOB_COLUMNS, job_of
from penstock.domain.ids import DAY_MILLIS, first_id_at
from penstock.domain.jobs import LIVE_STATES, ImportJob, JobState

__all__ = ["JobFilter", "JobList"]

_MOST_BRANCHES = 100
"""SQLite merges 500 lists at most. Who may see very many databases waits for a sort instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs. ``before`` is a job id, exclusive; times are milliseconds since 1970.

    ``finished_since`` leaves out jobs that ended before it; unfinished jobs stay. ``database_ids``, unless None, are
    all the databases that the list may tell of.
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
    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def page(self, wanted: JobFilter, *, limit: int, offset: int = 0) -> Sequence[ImportJob]:
        """At most ``limit`` jobs after the first ``offset``, newest first.

        With ``finished_since``, where more than ``offset + limit`` jobs match, those that ended last are taken.
        """
        query = _page(wanted, limit, offset)
        with self._database.read() as connection:
            rows = connection.execute(query).all()  # one by one they take twice as long
        return [job_of(row) for row in rows]

    def total(self, wanted: JobFilter) -> int:
        """How many jobs match, ``before`` left aside."""
        query = _total(replace(wanted, before=None))
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())


# Who watches jobs asks the same again and again, and building such a query takes as long as running it.
@lru_cache(maxsize=128)
def _page(wanted: JobFilter, limit: int, offset: int) -> Select[Any]:
    branches = _branches(wanted)
    ids = branches[0]
    if len(branches) > 1:
        ids = _merged([each.limit(limit + offset) for each in branches])
        ids = ids.order_by(ids.selected_columns[0].desc())
    page = ids.limit(limit).offset(offset).subquery()
    return select(*JOB_COLUMNS).join(page, page.c.id == tables.job.c.id).order_by(tables.job.c.id.desc())


@lru_cache(maxsize=128)
def _total(wanted: JobFilter) -> Select[Any]:
    if wanted.finished_since is not None:
        return select(_scanned(wanted))
    if wanted.created_after is None and wanted.created_before is None:
        return select(_counted(tables.job_counter, wanted))
    # Days are counted already, but for their jobs that have not ended. Of a day that the filter cuts, the shorter
    # part is read, to be added or taken away.
    start, end = wanted.created_after or 0, wanted.created_before
    first, last = _nearest_day(start), None if end is None else _nearest_day(end)
    if last is not None and last <= first:
        return select(_scanned(wanted))
    day = tables.job_day.c.day
    total = _counted(tables.job_day, wanted, day >= first, *([] if last is None else [day < last]))
    live = tuple(each for each in sorted(LIVE_STATES) if not wanted.states or each in wanted.states)
    days = replace(
        wanted, created_after=first * DAY_MILLIS, created_before=None if last is None else last * DAY_MILLIS
    )
    if live:
        total += _scanned(replace(days, states=live))
    total = _corrected(total, wanted, start, first * DAY_MILLIS)
    if end is not None and last is not None:
        total = _corrected(total, wanted, last * DAY_MILLIS, end)
    return select(total)


def _nearest_day(millis: int) -> int:
    return (millis + DAY_MILLIS // 2) // DAY_MILLIS


def _corrected(total: ColumnElement[int], wanted: JobFilter, start: int, end: int) -> ColumnElement[int]:
    """``total`` with the jobs from ``start`` to ``end``, or without those from ``end`` to ``start``."""
    if start == end:
        return total
    part = _scanned(replace(wanted, created_after=min(start, end), created_before=max(start, end)))
    return total + part if start < end else total - part


def _scanned(wanted: JobFilter) -> ColumnElement[int]:
    """How many jobs match, by reading an index entry of each."""
    where = [_scope(wanted), *_state(wanted), *_between(wanted)]
    if wanted.finished_since is None:
        return _number(*where)
    job = tables.job.c
    return _number(job.cluster_id == wanted.cluster_id, *where, job.finished_at.is_(None)) + _number(
        *where, job.finished_at >= wanted.finished_since
    )


def _number(*where: ColumnElement[bool]) -> ColumnElement[int]:
    return select(func.count()).select_from(tables.job).where(*where).scalar_subquery()


def _counted(table: Table, wanted: JobFilter, *where: ColumnElement[bool]) -> ColumnElement[int]:
    counter = table.c
    where = (*where, counter.cluster_id == wanted.cluster_id)
    if wanted.database_id is not None:
        where += (counter.database_id == wanted.database_id,)
    if wanted.database_ids is not None:
        where += (counter.database_id.in_(wanted.database_ids),)
    if wanted.collection_id is not None:
        where += (counter.collection_id == wanted.collection_id,)
    if wanted.states:
        where += (counter.state.in_([each.value for each in wanted.states]),)
    return select(func.coalesce(func.sum(counter.jobs), 0)).where(*where).scalar_subquery()


def _merged(branches: Sequence[Select[Any]]) -> Select[Any]:
    """The ids of all branches. Each keeps its own order and limit, for which SQLite wants it wrapped."""
    return select(union_all(*(select(each.subquery().c.id) for each in branches)).subquery().c.id)


def _branches(wanted: JobFilter) -> list[Select[Any]]:
    """Queries of ids that share no job and together give all; each reads one index in that index's order."""
    job = tables.job.c
    ids, newest, between = select(job.id), job.id.desc(), list(_between(wanted))
    scopes = [_scope(each) for each in _one_by_one(wanted)]
    if wanted.finished_since is not None:
        if len(scopes) > _MOST_BRANCHES:
            scopes = [_scope(wanted)]
        between += _state(wanted)
        live = (job.cluster_id == wanted.cluster_id, job.finished_at.is_(None))
        recent = job.finished_at >= wanted.finished_since
        return [
            *(ids.where(*live, scope, *between).order_by(newest) for scope in scopes),
            *(ids.where(scope, *between, recent).order_by(job.finished_at.desc()) for scope in scopes),
        ]
    states = [job.state == each.value for each in sorted(set(wanted.states))] or [true()]
    if len(scopes) * len(states) > _MOST_BRANCHES:
        scopes, states = [_scope(wanted)], [and_(true(), *_state(wanted))]
    return [ids.where(scope, state, *between).order_by(newest) for scope in scopes for state in states]


def _one_by_one(wanted: JobFilter) -> list[JobFilter]:
    """A filter for each of the databases that the list may tell of, where it asks for no one of them."""
    if not wanted.database_ids or wanted.database_id is not None or wanted.collection_id is not None:
        return [wanted]
    return [replace(wanted, database_id=each) for each in wanted.database_ids]


def _scope(wanted: JobFilter) -> ColumnElement[bool]:
    """The narrowest condition alone, which tells the others and has an index: a collection is in one cluster."""
    job = tables.job.c
    if wanted.collection_id is not None:
        return job.collection_id == wanted.collection_id
    if wanted.database_id is not None:
        return job.database_id == wanted.database_id
    if wanted.database_ids is not None:
        return job.database_id.in_(wanted.database_ids)
    return job.cluster_id == wanted.cluster_id


def _state(wanted: JobFilter) -> list[ColumnElement[bool]]:
    return [tables.job.c.state.in_([each.value for each in wanted.states])] if wanted.states else []


def _between(wanted: JobFilter) -> Iterator[ColumnElement[bool]]:
    job = tables.job.c
    if wanted.created_after is not None:
        yield job.id >= first_id_at(wanted.created_after)
    before = [first_id_at(wanted.created_before)] if wanted.created_before is not None else []
    if wanted.before is not None:
        before.append(wanted.before)
    if before:
        yield job.id < min(before)

"""Listing jobs: filtered, newest first, paged, with the total taken from counters where they can tell it.

Every filter is answered from an index in the index's own order, however many jobs there are: a list of several states
is the merge of one list per state, and a job's id tells when it was created.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, false, func, select, union_all

from penstock.catalog import tables
from penstock.catalog.database import CatalogDatabase
from penstock.catalog.job_rows import JOB_COLUMNS, job_of
from penstock.domain.ids import DAY_MILLIS, first_id_at
from penstock.domain.jobs import LIVE_STATES, ImportJob, JobState

__all__ = ["JobFilter", "JobList"]


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
        query = _total(wanted)
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
        return select(_how_many(_branches(wanted, paged=False)))
    if wanted.created_after is None and wanted.created_before is None:
        return select(_counted(tables.job_counter, wanted))
    # Whole days are counted already, but for their jobs that have not ended; what lies at either end is short.
    first = 0 if wanted.created_after is None else -(-wanted.created_after // DAY_MILLIS)
    last = None if wanted.created_before is None else wanted.created_before // DAY_MILLIS
    if last is not None and last <= first:
        return select(_how_many(_branches(wanted, paged=False)))
    day = tables.job_day.c.day
    days = _counted(tables.job_day, wanted, day >= first, *([] if last is None else [day < last]))
    start, end = first * DAY_MILLIS, None if last is None else last * DAY_MILLIS
    live = [each for each in sorted(LIVE_STATES) if not wanted.states or each in wanted.states]
    rest = [replace(wanted, created_after=start, created_before=end, states=tuple(live))] if live else []
    if wanted.created_after is not None:
        rest.append(replace(wanted, created_before=start))
    if end is not None:
        rest.append(replace(wanted, created_after=end))
    return select(days + _how_many([branch for each in rest for branch in _branches(each, paged=False)]))


def _how_many(branches: Sequence[Select[Any]]) -> ColumnElement[int]:
    ids = _merged([each.order_by(None) for each in branches])
    return select(func.count()).select_from(ids.subquery()).scalar_subquery()


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


def _branches(wanted: JobFilter, *, paged: bool = True) -> list[Select[Any]]:
    """Queries of ids that share no job and together give all; each reads one index in that index's order."""
    between = list(_between(wanted, paged=paged))
    return [each for scope in _scopes(wanted) for each in _branches_in([scope, *between], wanted)]


def _branches_in(common: list[ColumnElement[bool]], wanted: JobFilter) -> list[Select[Any]]:
    job = tables.job.c
    ids = select(job.id)
    newest = job.id.desc()
    if wanted.finished_since is None:
        states = sorted(set(wanted.states))
        if not states:
            return [ids.where(*common).order_by(newest)]
        return [ids.where(*common, job.state == each.value).order_by(newest) for each in states]
    if wanted.states:
        common.append(job.state.in_([each.value for each in wanted.states]))
    return [
        ids.where(job.cluster_id == wanted.cluster_id, *common, job.finished_at.is_(None)).order_by(newest),
        ids.where(*common, job.finished_at >= wanted.finished_since).order_by(job.finished_at.desc()),
    ]


def _scopes(wanted: JobFilter) -> list[ColumnElement[bool]]:
    """The narrowest conditions alone, which tell the others and have an index: a collection is in one cluster."""
    job = tables.job.c
    if wanted.collection_id is not None:
        return [job.collection_id == wanted.collection_id]
    if wanted.database_id is not None:
        return [job.database_id == wanted.database_id]
    if wanted.database_ids is None:
        return [job.cluster_id == wanted.cluster_id]
    return [job.database_id == each for each in wanted.database_ids] or [false()]


def _between(wanted: JobFilter, *, paged: bool) -> Iterator[ColumnElement[bool]]:
    job = tables.job.c
    if wanted.created_after is not None:
        yield job.id >= first_id_at(wanted.created_after)
    before = [first_id_at(wanted.created_before)] if wanted.created_before is not None else []
    if paged and wanted.before is not None:
        before.append(wanted.before)
    if before:
        yield job.id < min(before)

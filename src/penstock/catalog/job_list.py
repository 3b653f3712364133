"""Listing jobs: filtered, newest first, paged, with the total taken from counters where they can tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select

from penstock.catalog import tables
from penstock.catalog.database import CatalogDatabase
from penstock.catalog.job_rows import job_of
from penstock.domain.jobs import LIVE_STATES, ImportJob, JobState

__all__ = ["JobFilter", "JobList"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs. ``before`` is a job id, exclusive; times are milliseconds since 1970.

    ``finished_since`` leaves out jobs that ended before it; unfinished jobs stay.
    """

    cluster_id: str
    database_id: int | None = None
    collection_id: str | None = None
    states: Sequence[JobState] = ()
    created_after: int | None = None
    created_before: int | None = None
    finished_since: int | None = None
    before: int | None = None


class JobList:
    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def page(self, wanted: JobFilter, *, limit: int, offset: int = 0) -> Sequence[ImportJob]:
        """At most ``limit`` jobs after the first ``offset``, newest first."""
        job = tables.job.c
        # Skipping through the index alone keeps deep pages cheap; only the page's rows are then read.
        ids = select(job.id).where(*_conditions(wanted)).order_by(job.id.desc()).limit(limit).offset(offset)
        with self._database.read() as connection:
            rows = connection.execute(
                select(tables.job).where(job.id.in_(ids.subquery().select())).order_by(job.id.desc())
            ).all()
        return [job_of(row) for row in rows]

    def total(self, wanted: JobFilter) -> int:
        """How many jobs match, ``before`` left aside."""
        if wanted.created_after or wanted.created_before or wanted.finished_since:
            query = select(func.count()).select_from(tables.job).where(*_conditions(wanted, before=False))
        else:
            counter = tables.job_counter.c
            query = select(func.coalesce(func.sum(counter.jobs), 0)).where(*_where(wanted, counter))
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())


def _where(wanted: JobFilter, column: Any) -> list[ColumnElement[bool]]:
    """The conditions that the jobs and their counters share."""
    where: list[ColumnElement[bool]] = [column.cluster_id == wanted.cluster_id]
    if wanted.database_id is not None:
        where.append(column.database_id == wanted.database_id)
    if wanted.collection_id is not None:
        where.append(column.collection_id == wanted.collection_id)
    if wanted.states:
        where.append(column.state.in_([each.value for each in wanted.states]))
    return where


def _conditions(wanted: JobFilter, *, before: bool = True) -> list[ColumnElement[bool]]:
    job = tables.job.c
    where = _where(wanted, job)
    if wanted.created_after is not None:
        where.append(job.created_at >= wanted.created_after)
    if wanted.created_before is not None:
        where.append(job.created_at < wanted.created_before)
    if wanted.finished_since is not None:
        live = job.state.in_([each.value for each in sorted(LIVE_STATES)])
        where.append(or_(live, job.finished_at >= wanted.finished_since))
    if before and wanted.before is not None:
        where.append(job.id < wanted.before)
    return where

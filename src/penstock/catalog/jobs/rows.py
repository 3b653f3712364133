"""Rows of the job tables as the domain's values."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sqlalchemy import Row

from penstock.catalog.db import tables
from penstock.catalog.db.connection import from_millis
from penstock.domain.jobs import FileState, ImportFile, ImportJob, JobState, JobWarning, Part, Split, SplitState

__all__ = ["FILE_COLUMNS", "JOB_COLUMNS", "file_of", "job_of", "split_of"]

_NAMES = [field.name for field in fields(ImportJob)]
_TIMES = ("created_at", "started_at", "finished_at", "deadline")
_STATES = {state.value: state for state in JobState}
_TIME_PLACES = [_NAMES.index(each) for each in _TIMES]
_STATE_PLACE, _WARNINGS_PLACE = _NAMES.index("state"), _NAMES.index("warnings")

JOB_COLUMNS = [tables.job.c[name] for name in _NAMES]
"""What :func:`job_of` reads, in its order: not the paths, of which a job may have very many."""

FILE_COLUMNS = [each for each in tables.job_file.c if each.name not in ("job_id", "locations")]
"""What :func:`file_of` reads: not where a file is, which takes longer to read than all the rest."""


def job_of(row: Row[Any]) -> ImportJob:
    """A job from a row of :data:`JOB_COLUMNS`. A list makes very many: columns aren't looked up by name."""
    values = list(row)
    values[_STATE_PLACE] = _STATES[values[_STATE_PLACE]]
    values[_WARNINGS_PLACE] = tuple(JobWarning(**each) for each in values[_WARNINGS_PLACE])
    for place in _TIME_PLACES:
        if (millis := values[place]) is not None:
            values[place] = from_millis(millis)
    return ImportJob(**dict(zip(_NAMES, values, strict=True)))


def file_of(row: Row[Any]) -> ImportFile:
    return ImportFile(
        ordinal=row.ordinal,
        name=row.name,
        size=row.size,
        state=FileState(row.state),
        progress=row.progress,
        rows=row.rows,
        total_rows=row.total_rows,
        finished_at=None if row.finished_at is None else from_millis(row.finished_at),
        reason=row.reason,
    )


def split_of(row: Row[Any]) -> Split:
    return Split(
        ordinal=row.ordinal,
        parts=tuple(Part(**part, rows=rows) for part, rows in zip(row.parts, _part_rows(row), strict=True)),
        auto_id_start=row.auto_id_start,
        state=SplitState(row.state),
        attempts=row.attempts,
        rows=row.rows,
        staged=row.staged,
    )


def _part_rows(row: Row[Any]) -> list[int]:
    return row.part_rows or [0] * len(row.parts)

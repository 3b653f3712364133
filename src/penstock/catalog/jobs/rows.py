"""Map rows of the job tables to domain objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from sqlalchemy import Row

from penstock.catalog.db import tables
from penstock.catalog.db.connection import from_millis
from penstock.domain.jobs import FileRange, FileState, ImportFile, ImportJob, JobState, JobWarning, Split, SplitState

_NAMES = [field.name for field in fields(ImportJob)]
_DEFAULTS = {field.name: field.default for field in fields(ImportJob) if field.default is not MISSING}
_TIMES = ("created_at", "started_at", "finished_at", "deadline")
_STATES = {state.value: state for state in JobState}
_TIME_POSITIONS = [_NAMES.index(name) for name in _TIMES]
_STATE_POSITION, _WARNINGS_POSITION = _NAMES.index("state"), _NAMES.index("warnings")

JOB_COLUMNS = [tables.job.c[name] for name in _NAMES]
"""The columns of :func:`job_of`, in its order: without the paths, of which a job may have very many."""

FILE_COLUMNS = [column for column in tables.job_file.c if column.name not in ("job_id", "locations", "identity")]
"""The columns of :func:`file_of`: without the locations, which take longer to read than all the rest."""


def job_of(row: Sequence[Any]) -> ImportJob:
    """Build a job from a row of :data:`JOB_COLUMNS`. By position, not by name: lists build very many."""
    values = list(row)
    values[_STATE_POSITION] = _STATES[values[_STATE_POSITION]]
    values[_WARNINGS_POSITION] = tuple(JobWarning(**warning) for warning in values[_WARNINGS_POSITION])
    for position in _TIME_POSITIONS:
        if (millis := values[position]) is not None:
            values[position] = from_millis(millis)
    return ImportJob(**dict(zip(_NAMES, values, strict=True)))


def job_of_columns(columns: Mapping[str, Any]) -> ImportJob:
    """Build a job that is about to be inserted; columns that are left out have their defaults."""
    return job_of([columns[name] if name in columns else _DEFAULTS[name] for name in _NAMES])


def job_to_json(row: Row[Any]) -> dict[str, Any]:
    """A row of :data:`JOB_COLUMNS` by name, for a JSON column."""
    return dict(zip(_NAMES, row, strict=True))


def job_from_json(columns: Mapping[str, Any]) -> ImportJob:
    """Build a job from the result of :func:`job_to_json`, which may be of an older version with fewer columns."""
    return job_of([columns.get(name) for name in _NAMES])


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
        rejected_rows=row.rejected_rows,
        error=row.error,
    )


def split_of(row: Row[Any]) -> Split:
    none = [0] * len(row.parts)
    range_rows = row.part_rows or none
    rejected = (row.staged or {}).get("rejects", {}).get("rows") or none
    return Split(
        ordinal=row.ordinal,
        ranges=tuple(FileRange.from_json(*figures) for figures in zip(row.parts, range_rows, rejected, strict=True)),
        auto_id_start=row.auto_id_start,
        state=SplitState(row.state),
        attempts=row.attempts,
        staged=row.staged,
        warnings=tuple(JobWarning(**warning) for warning in row.warnings or ()),
        report=row.report,
    )

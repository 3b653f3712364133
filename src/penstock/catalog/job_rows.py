"""Rows of the job tables as the domain's values."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from penstock.catalog import tables
from penstock.catalog.database import from_millis
from penstock.domain.jobs import FileState, ImportFile, ImportJob, JobState, JobWarning, Split, SplitState

__all__ = ["JOB_COLUMNS", "file_of", "job_of", "split_of"]

JOB_COLUMNS = [column for column in tables.job.columns if column.name != "groups"]
"""What :func:`job_of` reads: all but the paths, of which a job may have very many."""


def job_of(row: Row[Any]) -> ImportJob:
    return ImportJob(
        id=row.id,
        cluster_id=row.cluster_id,
        database_id=row.database_id,
        database=row.database,
        collection=row.collection,
        collection_id=row.collection_id,
        partition=row.partition,
        state=JobState(row.state),
        created_at=from_millis(row.created_at),
        auto_commit=row.auto_commit,
        options=row.options,
        progress=row.progress,
        stage=row.stage,
        size=row.size,
        rows=row.rows,
        total_rows=row.total_rows,
        started_at=None if row.started_at is None else from_millis(row.started_at),
        finished_at=None if row.finished_at is None else from_millis(row.finished_at),
        reason=row.reason,
        warnings=tuple(JobWarning(**each) for each in row.warnings),
        epoch=row.epoch,
        intent_version=row.intent_version,
        deadline=None if row.deadline is None else from_millis(row.deadline),
        keyed=row.keyed,
    )


def file_of(row: Row[Any]) -> ImportFile:
    return ImportFile(
        ordinal=row.ordinal,
        name=row.name,
        uris=tuple(each["uri"] for each in row.locations),
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
        file=row.file,
        spec=row.spec,
        size=row.size,
        auto_id_start=row.auto_id_start,
        state=SplitState(row.state),
        attempts=row.attempts,
        rows=row.rows,
        staged=row.staged,
    )

"""Transitions of jobs: the only writer of their states, with the counters and effects that belong to a transition.

A transition is checked against the table in :mod:`penstock.domain.jobs` and by its :class:`Guard`. The counters of
jobs by state are updated in the same transaction, so the total of a list needs no scan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from functools import lru_cache, partial
from typing import Any

import structlog
from sqlalchemy import Column, Connection, Row, bindparam, delete, insert, select, tuple_, update

from penstock.catalog.access.audit import note
from penstock.catalog.collections.partition_drop import lock_partition_for_commit, lock_partitions_for_revert
from penstock.catalog.db import tables
from penstock.catalog.db.commit_hooks import write_at_commit
from penstock.catalog.db.connection import CatalogDatabase, now_millis
from penstock.catalog.jobs.counters import count_created, count_transition
from penstock.catalog.jobs.loaded_files import forget_loaded_files, record_loaded_files
from penstock.catalog.jobs.outbox import WebhookOutbox
from penstock.catalog.jobs.rows import JOB_COLUMNS, job_of, job_of_columns, job_to_json
from penstock.domain.audit import AuditEntry
from penstock.domain.jobs import (
    FileState,
    ImportJob,
    JobState,
    SplitState,
    can_reopen_as,
    can_transition,
)
from penstock.errors import JobStateConflict, LeaseLost

log = structlog.get_logger(__name__)


class Guard(Enum):
    """What a transition requires besides the job's state and fencing epoch being as they were read.

    ``LEASE``: made under the job's lease, which goes on unless the new state needs no worker. ``REQUEST``: made by a
    user's call or the cleanup, without the lease; the epoch is raised, so a worker of the job is fenced off.
    ``REOPEN``: as REQUEST, for the ways out of a final state.
    """

    LEASE = "lease"
    REQUEST = "request"
    REOPEN = "reopen"

    def allows(self, job: ImportJob, to: JobState) -> bool:
        """Whether the transition table has ``job.state`` → ``to``."""
        return can_reopen_as(job.state, to) if self is Guard.REOPEN else can_transition(job.state, to)


class JobTransitions:
    """Create jobs and move them from state to state, in transactions of the caller."""

    def __init__(self, database: CatalogDatabase, outbox: WebhookOutbox | None = None) -> None:
        self._database = database
        self._outbox = outbox or WebhookOutbox(database)

    def create(self, connection: Connection, values: Mapping[str, Any]) -> ImportJob:
        """Insert a Pending job with these columns, at the commit, by one statement for all jobs of a group commit.

        The caller logs it after the commit: :func:`log_transition`.
        """
        row = {**values, "state": JobState.PENDING.value, "runnable": True}
        job = job_of_columns(row)
        write_at_commit(connection, _insert_jobs, [row])
        count_created(connection, job)
        self._database.notify(connection)
        self._database.notify_job(connection, job.id)
        return job

    def transition(
        self,
        connection: Connection,
        job: ImportJob,
        to: JobState,
        guard: Guard,
        *,
        audit: AuditEntry | None = None,
        keep_files: bool = False,
        **values: Any,
    ) -> ImportJob:
        """Move a job to ``to`` and set further columns; returns the job as it is then, with those columns.

        Counters, the effects of a job's end, the audit entry and the notification of other processes belong to the
        caller's transaction; the log line is written after its commit.

        Args:
            audit: entry to store with the transition.
            keep_files: the cleanup doesn't delete what a failed job has staged: it may have been published.
            values: columns of the job; ``warnings`` as :class:`~penstock.domain.jobs.JobWarning`.

        Raises:
            JobStateConflict: the table has no such transition, or the job was changed since it was read.
            LeaseLost: it was changed since it was read, and the guard is the lease.
            PartitionNotFound: the partition to commit into was dropped.
        """
        if not guard.allows(job, to):
            raise JobStateConflict(
                f"job {job.id} is in state {job.state}, from which it can't become {to}", job_id=job.id
            )
        if to is JobState.COMMITTING:
            lock_partition_for_commit(connection, job)
        if to is JobState.REVERTING:
            lock_partitions_for_revert(connection, job)
        if "warnings" in values:
            values["warnings"] = [warning.to_json() for warning in values["warnings"]]
        columns = {**values, **_lease_values(to, guard), **_time_values(to), "state": to.value}
        row = connection.execute(
            _change_of(tuple(columns), raises_epoch=guard is not Guard.LEASE),
            {"id_": job.id, "state_": job.state.value, "epoch_": job.epoch}
            | {f"new_{name}": value for name, value in columns.items()},
        ).one_or_none()
        if row is None:
            raise _changed_meanwhile(job, guard)
        return self._moved(connection, row, job, to, guard, audit=audit, keep_files=keep_files)

    def transition_all(
        self, connection: Connection, jobs: Sequence[ImportJob], to: JobState, **values: Any
    ) -> Sequence[ImportJob]:
        """As :meth:`transition` under the leases of these jobs, by one statement; ``to`` needs no more of each.

        Returns the jobs as they are then, without those whose lease has been lost.
        """
        moved = []
        for state in sorted({job.state for job in jobs if Guard.LEASE.allows(job, to)}):
            before = {job.id: job for job in jobs if job.state is state}
            columns = {**values, **_lease_values(to, Guard.LEASE), **_time_values(to), "state": to.value}
            rows = connection.execute(
                _change_of_all(tuple(columns)),
                {
                    "leases": [(job.id, job.epoch) for job in before.values()],
                    "state_": state.value,
                    **{f"new_{name}": value for name, value in columns.items()},
                },
            ).all()
            moved += [self._moved(connection, row, before[row.id], to, Guard.LEASE) for row in rows]
        return moved

    def _moved(
        self,
        connection: Connection,
        row: Row[Any],
        job: ImportJob,
        to: JobState,
        guard: Guard,
        *,
        audit: AuditEntry | None = None,
        keep_files: bool = False,
    ) -> ImportJob:
        """Write what belongs to a transition besides the job's own row, which is ``row`` now and was ``job``."""
        updated = job_of(row)
        self._outbox.add(connection, updated, job_to_json(row))
        # A rename of its collection into another database may have moved the job since it was read.
        count_transition(connection, replace(job, database_id=updated.database_id), to)
        if to is JobState.INDEXING and not job.is_dry_run:
            record_loaded_files(connection, updated)
        if to is JobState.REVERTED:
            forget_loaded_files(connection, job.collection_id, job_id=job.id)
        if to.is_final:
            _end_job(connection, updated, keep_files=keep_files)
        if audit is not None:
            note(connection, audit)
        if guard is not Guard.LEASE or not _is_runnable(to):
            self._database.notify(connection)  # this job or one that waited for it may be claimed now
        self._database.notify_job(connection, job.id)
        self._database.after_commit(connection, partial(self._committed, updated, job))
        return updated

    def _committed(self, updated: ImportJob, job: ImportJob) -> None:
        if updated.state.is_final and job.has_credentials:
            self._database.mark_secrets_deleted()
        log_transition(updated, job.state)


def log_transition(job: ImportJob, before: JobState | None) -> None:
    """Log the state that ``job`` has now; call it after the transaction's commit. ``before`` None: created."""
    log.info(
        "job.state",
        job_id=str(job.id),
        database=job.database,
        collection=job.collection,
        before=before and before.value,
        state=job.state.value,
        rows=job.rows,
        progress=job.progress,
        reason=job.reason,
    )


def _changed_meanwhile(job: ImportJob, guard: Guard) -> Exception:
    if guard is Guard.LEASE:
        return LeaseLost(f"job {job.id} is no longer worked on under epoch {job.epoch}", job_id=job.id)
    return JobStateConflict(f"job {job.id} is no longer in state {job.state}", job_id=job.id)


def _insert_jobs(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    # As parameters: with values() the statement would be rebuilt for every call.
    connection.execute(insert(tables.job), rows)


# Cached, a job makes five transitions: building the statement takes longer than running it.
@lru_cache
def _change_of(columns: tuple[str, ...], *, raises_epoch: bool) -> Any:
    """Change columns of the job ``id_``, if state and epoch are as they were; returns the job."""
    job = tables.job.c
    values: dict[str, Any] = {name: bindparam(f"new_{name}", type_=job[name].type) for name in columns}
    if raises_epoch:
        values["epoch"] = job.epoch + 1
    return (
        update(tables.job)
        .where(
            job.id == bindparam("id_"),
            job.state == bindparam("state_"),
            job.epoch == bindparam("epoch_"),  # after a retry the state may be the same again
        )
        .values(values)
        .returning(*JOB_COLUMNS)
    )


@lru_cache
def _change_of_all(columns: tuple[str, ...]) -> Any:
    """As :func:`_change_of`, of the jobs with these ``leases``."""
    job = tables.job.c
    return (
        update(tables.job)
        .where(
            tuple_(job.id, job.epoch).in_(bindparam("leases", expanding=True)),
            job.state == bindparam("state_"),
        )
        .values({name: bindparam(f"new_{name}", type_=job[name].type) for name in columns})
        .returning(*JOB_COLUMNS)
    )


# Columns that follow from the state

STATE_TIMES: Mapping[JobState, Column[int | None]] = {
    JobState.PLANNING: tables.job.c.planning_at,
    JobState.IMPORTING: tables.job.c.importing_at,
    JobState.UNCOMMITTED: tables.job.c.uncommitted_at,
    JobState.COMMITTING: tables.job.c.committing_at,
    JobState.INDEXING: tables.job.c.indexing_at,
}
"""The column with the time at which a job last came into a state."""


def _is_runnable(state: JobState) -> bool:
    """Whether a worker may claim a job in this state."""
    return not state.is_final and state is not JobState.UNCOMMITTED


def _lease_values(to: JobState, guard: Guard) -> dict[str, Any]:
    ended = {"owner": None, "lease_until": None}
    if guard is not Guard.LEASE:
        return {**ended, "runnable": _is_runnable(to), "run_after": 0}
    return {} if _is_runnable(to) else {**ended, "runnable": False}


def _time_values(to: JobState) -> dict[str, Any]:
    """When the job came into a state whose time a job's page shows, and the deadline and stage of its end."""
    values: dict[str, Any] = {}
    if to in STATE_TIMES:
        values[STATE_TIMES[to].name] = now_millis()
    if to.is_final:
        values |= {"finished_at": now_millis(), "stage": ""}
    if to.is_final or to.is_committed:
        values["deadline"] = None
    return values


def _end_job(connection: Connection, job: ImportJob, *, keep_files: bool) -> None:
    """End each file of an ended job, as completed or failed, and delete the job's credentials.

    If it failed or was aborted, the staged files of its splits stay, for a retry or the cleanup.
    """
    job_id, state = job.id, job.state
    if job.has_credentials:
        connection.execute(delete(tables.job_secret).where(tables.job_secret.c.job_id == job_id))
    if state in (JobState.FAILED, JobState.ABORTED) and not keep_files:
        split = tables.job_split.c
        staged = select(split.ordinal).where(split.job_id == job_id, split.state == SplitState.STAGED.value)
        connection.execute(
            update(tables.job).where(tables.job.c.id == job_id, staged.exists()).values(has_staged_files=True)
        )
    end = _complete_files if state in (JobState.COMPLETED, JobState.REVERTED) else _fail_files
    write_at_commit(connection, end, [{"job": job_id, "now": now_millis()}])


def _complete_files(connection: Connection, jobs: Sequence[Mapping[str, int]]) -> None:
    connection.execute(_COMPLETE_FILES, jobs)


def _fail_files(connection: Connection, jobs: Sequence[Mapping[str, int]]) -> None:
    connection.execute(_FAIL_FILES, jobs)


_END_FILES = (
    update(tables.job_file)
    .where(tables.job_file.c.job_id == bindparam("job"), tables.job_file.c.finished_at.is_(None))
    .values(finished_at=bindparam("now"))
)
_COMPLETE_FILES = _END_FILES.values(state=FileState.COMPLETED.value, progress=100)
_FAIL_FILES = _END_FILES.values(state=FileState.FAILED.value)

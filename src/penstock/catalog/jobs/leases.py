"""Working on a job: claiming it, renewing the claim, noting what was done, moving from state to state.

Every write of a worker names the epoch that its claim was given; a worker whose job was taken over changes nothing
and is told so by :class:`LeaseLost`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    bindparam,
    case,
    func,
    select,
    tuple_,
    update,
)

from penstock.catalog.collections.collections import CollectionRepository
from penstock.catalog.collections.partition_drop import lock_partition_for_commit
from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase, database_clock, to_millis
from penstock.catalog.jobs.counters import apply_transition
from penstock.catalog.jobs.fair_scheduling import claimable_jobs, free, mark_served
from penstock.catalog.jobs.plans import PlannedFile, PlannedSplit, store_plan
from penstock.catalog.jobs.quotas import record_usage
from penstock.catalog.jobs.rows import JOB_COLUMNS, job_of
from penstock.catalog.jobs.terminal import end_job, ending_values
from penstock.catalog.jobs.transitions import log_transition
from penstock.domain.jobs import ImportFile, ImportJob, JobState, JobWarning, SplitState, can_transition
from penstock.domain.quotas import UNLIMITED, Quota
from penstock.errors import JobStateConflict, PenstockError

__all__ = ["JobLeases", "LeaseLost"]

_CLAIMING = 0x70656E74
"""The advisory lock of whoever claims a job of a PostgreSQL catalog."""


class LeaseLost(PenstockError):
    """Another process has taken the job over, or it has ended; what this worker wanted to write is void."""

    code = "lost_claim"


class JobLeases:
    def __init__(self, database: CatalogDatabase, collections: CollectionRepository) -> None:
        self._database = database
        self._collections = collections

    def claim(
        self,
        owner: str,
        lease_millis: int,
        most: int | None = None,
        quota: Quota = UNLIMITED,
        *,
        one_each: bool = False,
    ) -> ImportJob | None:
        """A job that somebody should be working on and nobody is, of the org whose turn it is; the epoch is raised.

        Args:
            most: how many jobs of a cluster may be worked on at a time, by all processes together.
            quota: of orgs that have none of their own.
            one_each: only of orgs of which no job is being worked on.
        """
        job = tables.job.c
        with self._database.read() as connection:
            # Mostly there is nothing to do: that must keep nobody from writing.
            if not claimable_jobs(connection, most, quota, one_each=one_each):
                return None
        with self._database.write() as connection:
            self._wait_for_turn(connection)
            now = database_clock(connection)
            for job_id in claimable_jobs(connection, most, quota, one_each=one_each):
                there = select(job.id).where(job.id == job_id, free(now)).with_for_update(skip_locked=True)
                if connection.execute(there).scalar_one_or_none() is not None:
                    break
            else:
                return None
            connection.execute(
                update(tables.job)
                .where(job.id == job_id)
                .values(
                    owner=owner,
                    lease_until=now + lease_millis,
                    epoch=job.epoch + 1,
                    started_at=func.coalesce(job.started_at, now),
                )
            )
            row = connection.execute(select(*JOB_COLUMNS).where(job.id == job_id)).one()
            mark_served(connection, row.cluster_id)
        return job_of(row)

    def _wait_for_turn(self, connection: Connection) -> None:
        """Let one claim at a time count what the others hold; with SQLite there is one writer anyway.

        Who comes after sees the claims before: each statement looks at what is committed when it begins.
        """
        if self._database.is_shared:
            connection.execute(select(func.pg_advisory_xact_lock(_CLAIMING)))

    def renew(self, owner: str, lease_millis: int, claims: Collection[tuple[int, int]]) -> None:
        """Prolong those of these claims (ids and epochs of jobs) that ``owner`` still holds."""
        job = tables.job.c
        with self._database.write(durable=False) as connection:
            connection.execute(
                update(tables.job)
                .where(job.owner == owner, tuple_(job.id, job.epoch).in_(sorted(claims)))
                .values(lease_until=database_clock(connection) + lease_millis)
            )

    def check(self, job: ImportJob) -> None:
        """Raises LeaseLost."""
        with self._database.read() as connection:
            epoch = connection.execute(
                select(tables.job.c.epoch).where(tables.job.c.id == job.id)
            ).scalar_one_or_none()
        _require_epoch(job, epoch)

    def release(self, job: ImportJob, pause_millis: int = 0) -> None:
        """Give a claim back, so that somebody takes the job up again, not before ``pause_millis`` have passed."""
        with self._database.write() as connection:
            run_after = database_clock(connection) + pause_millis if pause_millis else 0
            connection.execute(
                update(tables.job)
                .where(tables.job.c.id == job.id, tables.job.c.epoch == job.epoch)
                .values(owner=None, lease_until=None, run_after=run_after)
            )
            self._database.notify(connection)

    def release_all(self) -> None:
        """Void every lease: for a process that has just taken an exclusive lock on the data folder."""
        with self._database.write() as connection:
            connection.execute(
                update(tables.job)
                .where(tables.job.c.owner.is_not(None))
                .values(owner=None, lease_until=None, run_after=0)
            )

    def move(self, job: ImportJob, then: JobState, *, keep_files: bool = False, **values: Any) -> ImportJob:
        """Take a claimed job to its next state, with further columns in the same transaction.

        A final state, and Uncommitted, ends the claim; a final one also wipes the job's secret and sets its end.
        With ``keep_files`` what a failed job has staged is not deleted as its own: it may be visible after all.

        Raises:
            LeaseLost: the job isn't this claim's any more.
            PartitionNotFound: it was to commit into a partition that has been dropped.
        """
        if not can_transition(job.state, then):
            raise JobStateConflict(f"job {job.id} is in state {job.state}, it can't become {then}", job_id=job.id)
        if "warnings" in values:
            values["warnings"] = [each.to_json() for each in values["warnings"]]
        values |= ending_values(then)
        if then.is_final or then is JobState.UNCOMMITTED:
            values |= {"runnable": False, "owner": None, "lease_until": None}
        with self._database.write() as connection:
            if then is JobState.COMMITTING:
                lock_partition_for_commit(connection, job)
            changed = connection.execute(
                update(tables.job)
                .where(
                    tables.job.c.id == job.id,
                    tables.job.c.epoch == job.epoch,
                    tables.job.c.state == job.state.value,
                )
                .values(state=then.value, **values)
            ).rowcount
            if changed != 1:
                raise LeaseLost(f"job {job.id} is no longer worked on under epoch {job.epoch}", job_id=job.id)
            apply_transition(connection, job, then)
            if then.is_final:
                end_job(connection, job.id, then)
            if keep_files:
                connection.execute(update(tables.job).where(tables.job.c.id == job.id).values(has_staged_files=False))
            if then.is_final or then is JobState.UNCOMMITTED:
                self._database.notify(connection)  # a job that waits for its turn may be claimed, wherever
            row = connection.execute(select(*JOB_COLUMNS).where(tables.job.c.id == job.id)).one()
        if then.is_final and job.has_credentials:
            self._database.mark_secrets_deleted()
        moved = job_of(row)
        log_transition(moved, job.state)
        return moved

    def save_plan(
        self,
        job: ImportJob,
        files: Sequence[PlannedFile],
        splits: Sequence[PlannedSplit],
        warnings: Sequence[JobWarning] = (),
        quota: Quota = UNLIMITED,
    ) -> ImportJob:
        """Planning → Importing, with the files, the splits and their id ranges, in one transaction.

        The files are charged to the org's day; ``quota`` is that of orgs that have none of their own.

        Raises:
            LeaseLost.
            QuotaExceeded: the org has no bytes left for these files today.
        """
        size = sum(file.size for file in files)
        with self._database.write() as connection:
            self._check_claim(connection, job)
            record_usage(connection, job, size, quota)
            ids = sum(split.auto_ids for split in splits if split.kept is None)
            start = self._collections.reserve_auto_ids(connection, job.collection_id, ids) if ids else None
            store_plan(connection, job.id, files, splits, start)
            connection.execute(
                update(tables.job)
                .where(tables.job.c.id == job.id)
                .values(
                    state=JobState.IMPORTING.value,
                    reason=None,
                    size=size,
                    total_rows=sum(file.total_rows for file in files),
                    warnings=[warning.to_json() for warning in warnings],
                )
            )
            apply_transition(connection, job, JobState.IMPORTING)
            row = connection.execute(select(*JOB_COLUMNS).where(tables.job.c.id == job.id)).one()
        moved = job_of(row)
        log_transition(moved, job.state)
        return moved

    def save_split(
        self, job: ImportJob, ordinal: int, *, rows: Sequence[int], staged: Any, warnings: Sequence[JobWarning]
    ) -> None:
        """Note what a split staged; ``rows`` are those of each of its parts."""
        with self._database.write() as connection:
            self._check_claim(connection, job)
            connection.execute(
                update(tables.job_split)
                .where(tables.job_split.c.job_id == job.id, tables.job_split.c.ordinal == ordinal)
                .values(
                    state=SplitState.STAGED.value,
                    rows=sum(rows),
                    part_rows=list(rows),
                    staged=staged,
                    warnings=[warning.to_json() for warning in warnings] or None,
                )
            )

    def save_progress(
        self,
        job: ImportJob,
        *,
        progress: int,
        rows: int,
        total_rows: int,
        stage: str,
        files: Sequence[ImportFile] = (),
    ) -> None:
        """Note how far a claimed job is. Figures that would fall are left as they are."""
        job_table = tables.job.c
        with self._database.write(durable=False) as connection:
            self._check_claim(connection, job)
            connection.execute(
                update(tables.job)
                .where(job_table.id == job.id)
                .values(
                    progress=_greatest(job_table.progress, progress),
                    rows=_greatest(job_table.rows, rows),
                    total_rows=_greatest(job_table.total_rows, total_rows),
                    stage=stage,
                )
            )
            _save_files(connection, job.id, files)

    def save_reason(self, job: ImportJob, reason: str | None) -> None:
        """Note why a step of a claimed job is being tried again; None: it goes on."""
        with self._database.write(durable=False) as connection:
            self._check_claim(connection, job)
            connection.execute(update(tables.job).where(tables.job.c.id == job.id).values(reason=reason))

    def count_attempt(self, job: ImportJob, ordinal: int) -> None:
        with self._database.write(durable=False) as connection:
            self._check_claim(connection, job)
            connection.execute(
                update(tables.job_split)
                .where(tables.job_split.c.job_id == job.id, tables.job_split.c.ordinal == ordinal)
                .values(attempts=tables.job_split.c.attempts + 1)
            )

    def _check_claim(self, connection: Connection, job: ImportJob) -> None:
        """Lock the job, so that nobody takes it over between this look and the end of the transaction."""
        epoch = connection.execute(
            select(tables.job.c.epoch).where(tables.job.c.id == job.id).with_for_update()
        ).scalar_one_or_none()
        _require_epoch(job, epoch)


def _require_epoch(job: ImportJob, epoch: int | None) -> None:
    if epoch != job.epoch:
        raise LeaseLost(f"job {job.id} is no longer worked on under epoch {job.epoch}", job_id=job.id)


def _greatest(column: Any, value: Any) -> Any:
    return case((column < value, value), else_=column)


def _save_files(connection: Connection, job_id: int, files: Sequence[ImportFile]) -> None:
    if not files:
        return
    column = tables.job_file.c
    # One statement for all: a job of small files tells of a thousand at a time.
    connection.execute(
        update(tables.job_file)
        .where(column.job_id == job_id, column.ordinal == bindparam("file"))
        .values(
            state=bindparam("then"),
            progress=_greatest(column.progress, bindparam("percent", type_=column.progress.type)),
            rows=_greatest(column.rows, bindparam("read", type_=column.rows.type)),
            total_rows=_greatest(column.total_rows, bindparam("of", type_=column.total_rows.type)),
            reason=bindparam("why"),
            finished_at=func.coalesce(bindparam("ended", type_=column.finished_at.type), column.finished_at),
        ),
        [
            {
                "file": file.ordinal,
                "then": file.state.value,
                "percent": file.progress,
                "read": file.rows,
                "of": file.total_rows,
                "why": file.reason,
                "ended": None if file.finished_at is None else to_millis(file.finished_at),
            }
            for file in files
        ],
    )

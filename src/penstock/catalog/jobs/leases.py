"""Leases of jobs: claim, renew, release, and the writes of the lease's owner: plan, splits, progress, state.

Every write of a worker is conditional on the fencing epoch of its lease; after another process has taken the job
over, the write changes nothing and raises :class:`LeaseLost`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Connection,
    bindparam,
    func,
    select,
    tuple_,
    update,
)

from penstock.catalog.collections.collections import CollectionRepository
from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase, database_clock, upsert_insert
from penstock.catalog.jobs.fair_scheduling import (
    COMPANION,
    claimable_jobs,
    free,
    jobs_to_run_along,
    mark_served,
)
from penstock.catalog.jobs.outbox import WebhookOutbox
from penstock.catalog.jobs.plans import store_plan
from penstock.catalog.jobs.progress import raise_progress, reset_splits, save_files, save_staged_split
from penstock.catalog.jobs.quotas import record_usage
from penstock.catalog.jobs.rows import JOB_COLUMNS, job_of
from penstock.catalog.jobs.transitions import Guard, JobTransitions
from penstock.domain.jobs import ImportFile, ImportJob, JobState, JobWarning, Split, SplitState
from penstock.domain.quotas import UNLIMITED, Quota
from penstock.errors import LeaseLost, PenstockError

if TYPE_CHECKING:  # the readers' libraries take longer to load than a command takes
    from penstock.readers.base import InputFile

_NO_ERRORS: Mapping[int, PenstockError] = {}
_CLAIMING = 0x70656E74
"""PostgreSQL advisory lock: one claim at a time."""


class JobLeases:
    """Claim jobs under a lease, and write to them while the lease is held."""

    def __init__(
        self, database: CatalogDatabase, collections: CollectionRepository, outbox: WebhookOutbox | None = None
    ) -> None:
        self._database = database
        self._collections = collections
        self._transitions = JobTransitions(database, outbox)

    def claim(
        self,
        owner: str,
        lease_millis: int,
        max_running: int | None = None,
        quota: Quota = UNLIMITED,
        *,
        one_each: bool = False,
    ) -> ImportJob | None:
        """Claim the next runnable job without a lease, by fair scheduling; raises its fencing epoch.

        Args:
            max_running: limit of running jobs per cluster, over all processes.
            quota: default for orgs without their own.
            one_each: only jobs of orgs that have none running.
        """
        job = tables.job.c
        with self._database.read() as connection:
            # Usually there is no job to claim: finding that out must not take the write lock.
            if not claimable_jobs(connection, max_running, quota, one_each=one_each):
                return None
        with self._database.write() as connection:
            self._wait_for_turn(connection)
            now = database_clock(connection)
            for job_id in claimable_jobs(connection, max_running, quota, one_each=one_each):
                unleased = select(job.id).where(job.id == job_id, free(now)).with_for_update(skip_locked=True)
                if connection.execute(unleased).scalar_one_or_none() is not None:
                    break
            else:
                return None
            (claimed,) = _lease(connection, [job_id], owner, lease_millis)
            mark_served(connection, claimed.cluster_id)
        return claimed

    def claim_companions(
        self, job: ImportJob, owner: str, lease_millis: int, most: int, quota: Quota = UNLIMITED
    ) -> Sequence[ImportJob]:
        """Claim up to ``most`` Pending jobs of the collection of a job that was just claimed, to run along with it.

        They are meant to be small, so they count towards no limit of running jobs; there are none in an org that
        has one of its own. ``quota`` is the default for the others.
        """
        with self._database.write() as connection:
            job_ids = jobs_to_run_along(connection, job, quota, most)
            return _lease(connection, job_ids, f"{owner}{COMPANION}", lease_millis) if job_ids else []

    def _wait_for_turn(self, connection: Connection) -> None:
        """Serialize claims, so that each counts the leases of those before; SQLite has one writer anyway.

        A later claim sees the earlier ones: each statement reads what is committed when it begins.
        """
        if self._database.is_shared:
            connection.execute(select(func.pg_advisory_xact_lock(_CLAIMING)))

    def renew(self, owner: str, lease_millis: int, claims: Collection[tuple[int, int]]) -> None:
        """Renew those of these leases (job id, epoch) that ``owner`` still holds: the heartbeat."""
        job = tables.job.c
        with self._database.write(durable=False) as connection:
            connection.execute(
                update(tables.job)
                .where(job.owner.in_([owner, f"{owner}{COMPANION}"]), tuple_(job.id, job.epoch).in_(sorted(claims)))
                .values(lease_until=database_clock(connection) + lease_millis)
            )

    def check(self, job: ImportJob) -> None:
        """Check that the lease is still held. Raises LeaseLost."""
        with self._database.read() as connection:
            epoch = connection.execute(_EPOCH, {"id": job.id}).scalar_one_or_none()
        _require_epoch(job, epoch)

    def release(self, job: ImportJob, pause_millis: int = 0) -> None:
        """Release a lease: the job can be claimed again, after ``pause_millis`` at the earliest."""
        with self._database.write() as connection:
            run_after = database_clock(connection) + pause_millis if pause_millis else 0
            connection.execute(
                update(tables.job)
                .where(tables.job.c.id == job.id, tables.job.c.epoch == job.epoch)
                .values(owner=None, lease_until=None, run_after=run_after)
            )
            self._database.notify(connection)

    def release_all(self) -> None:
        """Void every lease: for a process that has just taken the exclusive lock on the data dir."""
        with self._database.write() as connection:
            connection.execute(
                update(tables.job)
                .where(tables.job.c.owner.is_not(None))
                .values(owner=None, lease_until=None, run_after=0)
            )

    def move(
        self,
        job: ImportJob,
        to: JobState,
        *,
        keep_files: bool = False,
        files: Sequence[ImportFile] = (),
        splits: Sequence[Split] = (),
        **values: Any,
    ) -> ImportJob:
        """Move a leased job to its next state, as :meth:`JobTransitions.transition`, and set further columns.

        The progress of ``files`` is saved with it, and so are ``splits`` that were staged.

        Raises:
            LeaseLost: the job's lease has been lost.
            PartitionNotFound: the partition to commit into was dropped.
        """

        def write(connection: Connection) -> ImportJob:
            moved = self._transitions.transition(connection, job, to, Guard.LEASE, keep_files=keep_files, **values)
            save_files(connection, job.id, files)
            for split in splits:
                rows = [file_range.rows for file_range in split.ranges]
                save_staged_split(connection, job.id, split.ordinal, rows, split.staged, None, split.warnings)
            return moved

        return self._database.run_grouped(write)

    def start_planning(self, jobs: Sequence[ImportJob], *, stage: str, progress: int) -> Sequence[ImportJob]:
        """Move Pending jobs that were just leased to Planning, in one transaction.

        Returns them without those whose lease has been lost.
        """
        with self._database.write() as connection:
            return self._transitions.transition_all(
                connection, jobs, JobState.PLANNING, reason=None, stage=stage, progress=progress
            )

    def record_publication(
        self,
        job: ImportJob,
        version: int,
        warnings: Sequence[JobWarning] | None,
        *,
        progress: int,
        rows: int,
        replaced_rows: int | None,
    ) -> Sequence[ImportJob]:
        """Record the version of the table that shows a job's rows, and move the job to Indexing.

        With ``warnings`` nothing is left to do, and it moves on to Completed. Returns the job after each transition.

        Raises:
            LeaseLost: the job's lease has been lost.
        """

        def write(connection: Connection) -> Sequence[ImportJob]:
            self._collections.raise_version(job.collection_id, version, connection)
            indexing = self._transitions.transition(
                connection,
                job,
                JobState.INDEXING,
                Guard.LEASE,
                reason=None,
                stage="indexing",
                progress=progress,
                rows=rows,
                published_version=version,
                replaced_rows=replaced_rows,
            )
            if warnings is None:
                return [indexing]
            completed = self._transitions.transition(
                connection, indexing, JobState.COMPLETED, Guard.LEASE, progress=100, warnings=warnings
            )
            return [indexing, completed]

        return self._database.run_grouped(write)

    def save_plan(
        self,
        job: ImportJob,
        files: Sequence[InputFile],
        splits: Sequence[Split],
        warnings: Sequence[JobWarning] = (),
        quota: Quota = UNLIMITED,
        *,
        auto_id: bool = False,
        errors: Mapping[int, PenstockError] = _NO_ERRORS,
    ) -> ImportJob:
        """Move a job from Planning to Importing and store its files, splits and id ranges, in one transaction.

        The files count towards the org's daily bytes; ``quota`` is the default for orgs without their own. With
        ``auto_id`` the splits that are not staged get ranges of automatic ids. ``errors`` are those of the files that
        are left out, by ordinal.

        Raises:
            JobStateConflict: the job isn't in Planning.
            LeaseLost: the job's lease has been lost.
            QuotaExceeded: the org has no bytes left for these files today.
        """
        size = sum(file.size for file in files)

        def write(connection: Connection) -> ImportJob:
            before = 0
            if not job.is_first_lease:  # nothing was charged before, and the transition checks the epoch, too
                epoch, before = connection.execute(_LOCKED_JOB, {"id": job.id}).one_or_none() or (None, 0)
                _require_epoch(job, epoch)
            charged = record_usage(connection, job, before, size, quota)
            pending = [split for split in splits if split.state is SplitState.PENDING]
            ids = sum(split.max_rows for split in pending) if auto_id else 0
            start = self._collections.reserve_auto_ids(connection, job.collection_id, ids) if ids else None
            store_plan(connection, job.id, files, splits, start, errors, is_first=job.is_first_lease)
            return self._transitions.transition(
                connection,
                job,
                JobState.IMPORTING,
                Guard.LEASE,
                reason=None,
                size=size,
                charged=charged,
                total_rows=sum(file.total_rows for file in files),
                warnings=warnings,
            )

        return self._database.run_grouped(write)

    def save_split(
        self,
        job: ImportJob,
        ordinal: int,
        *,
        rows: Sequence[int],
        warnings: Sequence[JobWarning],
        staged: Any = None,
        report: Any = None,
    ) -> None:
        """Store what a split has staged, or the ``report`` of a dry run; ``rows`` are those of its file ranges."""

        def write(connection: Connection) -> None:
            self._check_claim(connection, job)
            save_staged_split(connection, job.id, ordinal, rows, staged, report, warnings)

        self._database.run_grouped(write)

    def skip_files(self, job: ImportJob, files: Sequence[ImportFile], stale: Sequence[int]) -> None:
        """Store that files are left out, and that their splits that were staged, ``stale``, are Pending again."""
        with self._database.write() as connection:
            self._check_claim(connection, job)
            save_files(connection, job.id, files)
            reset_splits(connection, job.id, stale)

    def reset_splits(self, job: ImportJob, ordinals: Sequence[int]) -> None:
        """Make staged splits Pending again: their staged files are to be deleted."""
        with self._database.write() as connection:
            self._check_claim(connection, job)
            reset_splits(connection, job.id, ordinals)

    def save_report(self, job: ImportJob, report: Any) -> None:
        """Store the report of a dry run, in place of an earlier one."""
        with self._database.write() as connection:
            self._check_claim(connection, job)
            statement = upsert_insert(connection.dialect.name, tables.job_report).values(job_id=job.id, report=report)
            connection.execute(
                statement.on_conflict_do_update(index_elements=["job_id"], set_={"report": statement.excluded.report})
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
        """Store the progress of a leased job. Figures never fall: a lower value is ignored."""

        def write(connection: Connection) -> None:
            self._check_claim(connection, job)
            raise_progress(connection, job.id, progress, rows, total_rows, stage)
            save_files(connection, job.id, files)
            self._database.notify_job(connection, job.id)

        self._database.run_grouped(write, durable=False)

    def save_reason(self, job: ImportJob, reason: str | None) -> None:
        """Store why a step of a leased job is being retried; None clears it."""
        with self._database.write(durable=False) as connection:
            self._check_claim(connection, job)
            connection.execute(update(tables.job).where(tables.job.c.id == job.id).values(reason=reason))
            self._database.notify_job(connection, job.id)

    def count_attempt(self, job: ImportJob, ordinal: int) -> None:
        """Count an attempt at a split that failed; :meth:`save_split` counts the others."""

        def write(connection: Connection) -> None:
            self._check_claim(connection, job)
            connection.execute(
                update(tables.job_split)
                .where(tables.job_split.c.job_id == job.id, tables.job_split.c.ordinal == ordinal)
                .values(attempts=tables.job_split.c.attempts + 1)
            )

        self._database.run_grouped(write, durable=False)

    def _check_claim(self, connection: Connection, job: ImportJob) -> None:
        """Check the epoch and lock the job's row, so that it can't be taken over before the transaction ends."""
        found = connection.execute(_LOCKED_JOB, {"id": job.id}).one_or_none()
        _require_epoch(job, found and found.epoch)


# Built once, every job needs them: building such a statement takes longer than running it.

_EPOCH = select(tables.job.c.epoch).where(tables.job.c.id == bindparam("id"))
_LOCKED_JOB = (
    select(tables.job.c.epoch, tables.job.c.charged).where(tables.job.c.id == bindparam("id")).with_for_update()
)


def _lease(connection: Connection, job_ids: Sequence[int], owner: str, lease_millis: int) -> Sequence[ImportJob]:
    """Give the leases of jobs to an owner, under a new fencing epoch each; the jobs by id."""
    job, now = tables.job.c, database_clock(connection)
    connection.execute(
        update(tables.job)
        .where(job.id.in_(job_ids))
        .values(
            owner=owner,
            lease_until=now + lease_millis,
            epoch=job.epoch + 1,
            started_at=func.coalesce(job.started_at, now),
        )
    )
    rows = connection.execute(select(*JOB_COLUMNS).where(job.id.in_(job_ids)).order_by(job.id)).all()
    return [job_of(row) for row in rows]


def _require_epoch(job: ImportJob, epoch: int | None) -> None:
    if epoch != job.epoch:
        raise LeaseLost(f"job {job.id} is no longer leased under epoch {job.epoch}", job_id=job.id)

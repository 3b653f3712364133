"""Import jobs in the catalog: inserting and reading them, and what a user does to one from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from penstock.catalog.access.audit import note
from penstock.catalog.access.clusters import ClusterRepository
from penstock.catalog.collections.partition_drop import lock_partition_for_commit
from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase, now_millis
from penstock.catalog.db.encryption import Encryptor
from penstock.catalog.jobs.counters import add_job, apply_transition
from penstock.catalog.jobs.idempotency import IdempotencyRecord, forget_expired, job_for_key, reserve_key
from penstock.catalog.jobs.limits import LIVE_JOBS, enforce_job_limits, lock_cluster
from penstock.catalog.jobs.quotas import enforce_quota
from penstock.catalog.jobs.rows import FILE_COLUMNS, JOB_COLUMNS, file_of, job_of, split_of
from penstock.catalog.jobs.terminal import end_job, ending_values
from penstock.catalog.jobs.transitions import log_transition
from penstock.domain.audit import AuditEntry
from penstock.domain.ids import millis_of, new_id
from penstock.domain.jobs import (
    LIVE_STATES,
    FileState,
    ImportFile,
    ImportJob,
    JobState,
    JobWarning,
    Split,
    can_retry_as,
    can_transition,
)
from penstock.domain.quotas import NO_LIMITS, UNLIMITED, JobLimits, Quota
from penstock.errors import JobNotFound, JobStateConflict

__all__ = ["JobRepository", "NewJob"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """What :meth:`JobRepository.insert` stores. ``secret`` is sealed; it is wiped when the job ends.

    ``deadline`` is in milliseconds since 1970; ``repeated`` names the call, so that it makes one job however often it
    comes; ``trace`` is the call's traceparent. ``roots`` are the only ones that the caller may import from;
    none is all of the server's. ``quota`` is of orgs that have none of their own, ``limits`` of the collection and
    its cluster; ``size`` are the bytes of the files, as far as they are known by now. ``audit`` says who makes it.
    """

    cluster_id: str
    database_id: int
    database: str
    collection_id: str
    collection: str
    partition: str | None
    groups: Sequence[Sequence[str]]
    options: Mapping[str, str]
    auto_commit: bool
    secret: Mapping[str, str]
    deadline: int | None = None
    repeated: IdempotencyRecord | None = None
    trace: str | None = None
    roots: Sequence[str] = ()
    quota: Quota = UNLIMITED
    limits: JobLimits = NO_LIMITS
    size: int = 0
    audit: AuditEntry | None = None


# Most calls ask for it. Making such a statement anew takes longer than running it.
_JOB = select(*JOB_COLUMNS).where(
    tables.job.c.id == bindparam("id"), tables.job.c.cluster_id == bindparam("cluster_id")
)


class JobRepository:
    def __init__(self, database: CatalogDatabase, seal: Encryptor) -> None:
        self._database = database
        self._seal = seal
        self._clusters = ClusterRepository(database)

    # Creating and reading

    def insert(self, new: NewJob) -> ImportJob:
        """Store a Pending job under a fresh id; for a repeated call, give the job that it made the first time.

        Raises:
            ClusterNotFound: it is no longer there.
            InvalidParameter: another request has used the call's key.
            LimitExceeded: the collection or the cluster has as many jobs as it may.
            QuotaExceeded: the org has as many jobs as it may, or no bytes left today.
        """
        while True:
            drawn = new_id()
            try:
                job_id = self._database.run_grouped(partial(self._insert_once, job_id=drawn, new=new))
            except IntegrityError:
                # The cluster was dropped a moment ago, or another process drew the same id in the same millisecond.
                self._clusters.get(new.cluster_id)
                continue
            job = self.get(new.cluster_id, job_id)
            if job_id == drawn:
                log_transition(job, None)
            return job

    def repeated(self, cluster_id: str, collection_id: str, wanted: IdempotencyRecord) -> ImportJob | None:
        """The job that an earlier call of the same key has made. Raises InvalidParameter as :meth:`insert`."""
        with self._database.read() as connection:
            job_id = job_for_key(connection, collection_id, wanted)
        return None if job_id is None else self.get(cluster_id, job_id)

    def forget_expired_keys(self) -> int:
        with self._database.write() as connection:
            return forget_expired(connection)

    def fingerprint(self, content: bytes) -> str:
        """A keyed hash of a request, for :class:`IdempotencyRecord`."""
        return self._seal.fingerprint(content)

    def _insert_once(self, connection: Connection, job_id: int, new: NewJob) -> int:
        if new.repeated is not None:
            holder = reserve_key(connection, new.collection_id, new.repeated, job_id)
            if holder != job_id:
                return holder
        lock_cluster(connection, new.cluster_id, new.limits)
        enforce_quota(connection, new.cluster_id, new.quota, new.size)
        self._insert(connection, job_id, new)
        enforce_job_limits(connection, new.cluster_id, new.collection_id, new.collection, new.limits)
        if new.audit is not None:
            note(connection, replace(new.audit, job_id=job_id))
        return job_id

    def _insert(self, connection: Connection, job_id: int, new: NewJob) -> None:
        connection.execute(
            insert(tables.job),
            # Not as values of the statement, which would be made anew each time.
            {
                "id": job_id,
                "cluster_id": new.cluster_id,
                "database_id": new.database_id,
                "database": new.database,
                "collection_id": new.collection_id,
                "collection": new.collection,
                "partition": new.partition,
                "state": JobState.PENDING.value,
                "auto_commit": new.auto_commit,
                "groups": [list(group) for group in new.groups],
                "options": dict(new.options),
                "warnings": [],
                "created_at": millis_of(job_id),
                "runnable": True,
                "deadline": new.deadline,
                "has_credentials": bool(new.secret),
                "trace": new.trace,
                "roots": _added([], new.roots),
            },
        )
        self._keep_secret(connection, job_id, new.secret)
        add_job(connection, new.cluster_id, new.database_id, new.collection_id)
        self._database.notify(connection)

    def _keep_secret(self, connection: Connection, job_id: int, secret: Mapping[str, str]) -> None:
        if secret:
            sealed = self._seal.close(dict(secret))
            connection.execute(insert(tables.job_secret).values(job_id=job_id, sealed=sealed))

    def get(self, cluster_id: str, job_id: int) -> ImportJob:
        """Raises JobNotFound, also for a job of another cluster."""
        with self._database.read() as connection:
            row = connection.execute(_JOB, {"id": job_id, "cluster_id": cluster_id}).one_or_none()
        if row is None:
            raise JobNotFound(f"import job does not exist, jobID={job_id}", job_id=job_id)
        return job_of(row)

    def cluster_of(self, job_id: int) -> str | None:
        """The id of the cluster that a job is in, or None where there is no such job."""
        with self._database.read() as connection:
            found = connection.execute(select(tables.job.c.cluster_id).where(tables.job.c.id == job_id))
            return found.scalar_one_or_none()

    def files(self, job_id: int) -> Sequence[ImportFile]:
        with self._database.read() as connection:
            rows = connection.execute(
                select(*FILE_COLUMNS).where(tables.job_file.c.job_id == job_id).order_by(tables.job_file.c.ordinal)
            ).all()
        return [file_of(row) for row in rows]

    def locations(self, job_id: int) -> Mapping[int, Sequence[Mapping[str, Any]]]:
        """The resolved locations of each file, by its ordinal."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(tables.job_file.c.ordinal, tables.job_file.c.locations).where(
                    tables.job_file.c.job_id == job_id
                )
            ).all()
        return {row.ordinal: row.locations for row in rows}

    def splits(self, job_id: int) -> Sequence[Split]:
        with self._database.read() as connection:
            rows = connection.execute(
                select(tables.job_split)
                .where(tables.job_split.c.job_id == job_id)
                .order_by(tables.job_split.c.ordinal)
            ).all()
        return [split_of(row) for row in rows]

    def split_warnings(self, job_id: int) -> list[list[JobWarning]]:
        """The warnings that each staged split noted, in order."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(tables.job_split.c.warnings)
                .where(tables.job_split.c.job_id == job_id, tables.job_split.c.warnings.is_not(None))
                .order_by(tables.job_split.c.ordinal)
            ).scalars()
            return [[JobWarning(**each) for each in row] for row in rows if row]

    def groups(self, job_id: int) -> Sequence[Sequence[str]]:
        """The paths as the caller wrote them."""
        with self._database.read() as connection:
            groups: list[list[str]] = connection.execute(
                select(tables.job.c.groups).where(tables.job.c.id == job_id)
            ).scalar_one()
        return groups

    def roots(self, job_id: int) -> Sequence[Sequence[str]]:
        """The roots of the keys that asked for the job, as :meth:`ImportRoots.within` takes them."""
        with self._database.read() as connection:
            return _roots(connection, job_id)

    def secret(self, job_id: int) -> Mapping[str, str]:
        with self._database.read() as connection:
            sealed = connection.execute(
                select(tables.job_secret.c.sealed).where(tables.job_secret.c.job_id == job_id)
            ).scalar_one_or_none()
        return {} if sealed is None else self._seal.open(sealed)

    def live_jobs(self, collection_id: str) -> int:
        """How many jobs of a collection have not ended."""
        with self._database.read() as connection:
            total = connection.execute(LIVE_JOBS, {"collection_id": collection_id}).scalar_one()
        return int(total)

    def is_committing(self, collection_id: str) -> bool:
        """Whether a job of a collection stands between its intent and its commit."""
        counter = tables.job_counter.c
        with self._database.read() as connection:
            total = connection.execute(
                select(func.coalesce(func.sum(tables.job_counter.c.jobs), 0)).where(
                    counter.collection_id == collection_id, counter.state == JobState.COMMITTING.value
                )
            ).scalar_one()
        return bool(total)

    def count_by_state(self, cluster_id: str) -> Mapping[JobState, int]:
        counter = tables.job_counter.c
        with self._database.read() as connection:
            rows = connection.execute(
                select(counter.state, func.sum(counter.jobs).label("jobs"))
                .where(counter.cluster_id == cluster_id)
                .group_by(counter.state)
            ).all()
        return {JobState(row.state): int(row.jobs) for row in rows}

    # What a user does to a job that nobody may be working on

    def request_transition(
        self, job: ImportJob, then: JobState, *, audit: AuditEntry | None = None, **values: Any
    ) -> ImportJob:
        """Take a job to another state from outside: raises the epoch, so that a worker of it is fenced off.

        ``audit`` says who does it.

        Raises:
            JobStateConflict: the job has moved on meanwhile, or another process has begun to work on it.
            PartitionNotFound: it was to commit into a partition that has been dropped.
        """
        runnable = not then.is_final and then is not JobState.UNCOMMITTED
        values |= ending_values(then)
        with self._database.write() as connection:
            if then is JobState.COMMITTING:
                lock_partition_for_commit(connection, job)
            changed = connection.execute(
                update(tables.job)
                .where(
                    tables.job.c.id == job.id,
                    tables.job.c.state == job.state.value,
                    tables.job.c.epoch == job.epoch,  # a retry may have brought the same state again
                )
                .values(
                    state=then.value,
                    epoch=tables.job.c.epoch + 1,
                    owner=None,
                    lease_until=None,
                    run_after=0,
                    runnable=runnable,
                    **values,
                )
            ).rowcount
            if changed != 1 or not can_transition(job.state, then):
                raise JobStateConflict(f"job {job.id} is no longer in state {job.state}", job_id=job.id)
            apply_transition(connection, job, then)
            if then.is_final:
                end_job(connection, job.id, then)
            if audit is not None:
                note(connection, audit)
            self._database.notify(connection)
            row = connection.execute(select(*JOB_COLUMNS).where(tables.job.c.id == job.id)).one()
        if then.is_final and job.has_credentials:
            self._database.mark_secrets_deleted()
        moved = job_of(row)
        log_transition(moved, job.state)
        return moved

    def retry(
        self,
        job: ImportJob,
        secret: Mapping[str, str],
        deadline: int | None,
        roots: Sequence[str] = (),
        *,
        quota: Quota = UNLIMITED,
        limits: JobLimits = NO_LIMITS,
        audit: AuditEntry | None = None,
    ) -> ImportJob:
        """Take a Failed job back to Pending. What it had staged, its progress and its rows stay.

        ``roots`` of who asks for it bind from now on, beside those of who created it.

        Raises:
            JobStateConflict: the job isn't Failed (any more).
            LimitExceeded, QuotaExceeded: as :meth:`insert`.
        """
        then = JobState.PENDING
        with self._database.write() as connection:
            lock_cluster(connection, job.cluster_id, limits)
            enforce_quota(connection, job.cluster_id, quota)
            changed = 0
            if can_retry_as(job.state, then):
                changed = connection.execute(
                    update(tables.job)
                    .where(tables.job.c.id == job.id, tables.job.c.state == job.state.value)
                    .values(
                        state=then.value,
                        epoch=tables.job.c.epoch + 1,
                        run_after=0,
                        runnable=True,
                        has_staged_files=False,
                        reason=None,
                        warnings=[],
                        finished_at=None,
                        deadline=deadline,
                        has_credentials=job.has_credentials or bool(secret),
                        roots=_added(_roots(connection, job.id), roots),
                    )
                ).rowcount
            if changed != 1:
                raise JobStateConflict(f"job {job.id} is no longer in state {job.state}", job_id=job.id)
            self._keep_secret(connection, job.id, secret)
            file = tables.job_file.c
            connection.execute(
                update(tables.job_file)
                .where(file.job_id == job.id, file.state != FileState.COMPLETED.value)
                .values(state=FileState.PENDING.value, reason=None, finished_at=None)
            )
            apply_transition(connection, job, then)
            enforce_job_limits(connection, job.cluster_id, job.collection_id, job.collection, limits)
            if audit is not None:
                note(connection, audit)
            self._database.notify(connection)
            row = connection.execute(select(*JOB_COLUMNS).where(tables.job.c.id == job.id)).one()
        moved = job_of(row)
        log_transition(moved, job.state)
        return moved

    def overdue(self) -> Sequence[ImportJob]:
        """Unfinished jobs that are past their deadline and before their commit."""
        with self._database.read() as connection:
            rows = connection.execute(select(*JOB_COLUMNS).where(tables.job.c.deadline < now_millis())).all()
        return [job_of(row) for row in rows]

    def live_of(self, collection_id: str) -> Sequence[ImportJob]:
        """The jobs of a collection that have not ended, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(*JOB_COLUMNS)
                .where(
                    tables.job.c.collection_id == collection_id,
                    tables.job.c.state.in_([each.value for each in sorted(LIVE_STATES)]),
                )
                .order_by(tables.job.c.id)
            ).all()
        return [job_of(row) for row in rows]


def _roots(connection: Connection, job_id: int) -> list[list[str]]:
    found: list[list[str]] = connection.execute(
        select(tables.job.c.roots).where(tables.job.c.id == job_id)
    ).scalar_one()
    return found


def _added(limits: list[list[str]], roots: Sequence[str]) -> list[list[str]]:
    """The limits with one more, unless it takes nothing away."""
    return limits if not roots or list(roots) in limits else [*limits, list(roots)]

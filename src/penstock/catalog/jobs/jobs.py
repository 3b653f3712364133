"""Import jobs in the catalog: insert, read, and the transitions that users request (abort, commit, retry)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from penstock.catalog.access.audit import note
from penstock.catalog.access.clusters import ClusterRepository
from penstock.catalog.db import tables
from penstock.catalog.db.commit_hooks import read_once, write_deferred
from penstock.catalog.db.connection import CatalogDatabase, from_millis, now_millis
from penstock.catalog.db.encryption import Encryptor
from penstock.catalog.jobs.idempotency import IdempotencyRecord, forget_expired, job_for_key, reserve_key
from penstock.catalog.jobs.outbox import WebhookOutbox
from penstock.catalog.jobs.quotas import LIVE_JOBS, enforce_job_limits, enforce_quota, lock_cluster
from penstock.catalog.jobs.rows import FILE_COLUMNS, JOB_COLUMNS, file_of, job_of, split_of
from penstock.catalog.jobs.transitions import STATE_TIMES, Guard, JobTransitions, log_transition
from penstock.catalog.jobs.uploads import use_uploads
from penstock.domain.audit import AuditEntry
from penstock.domain.ids import millis_of, new_id
from penstock.domain.jobs import (
    IN_TRANSACTION,
    LIVE_STATES,
    FileState,
    ImportFile,
    ImportJob,
    JobHistory,
    JobState,
    JobWarning,
    Split,
)
from penstock.domain.names import DEFAULT_PARTITION
from penstock.domain.quotas import NO_LIMITS, UNLIMITED, JobLimits, Quota
from penstock.errors import JobNotFound, JobStateConflict


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """The values that :meth:`JobRepository.insert` stores.

    ``secret`` holds the credentials; they are encrypted, and deleted when the job ends. ``deadline`` is in
    milliseconds since 1970; ``repeated`` is the call's idempotency key: one job however often the call is sent;
    ``trace`` is the call's traceparent. ``roots`` restricts what the caller may import from; empty: all roots of the
    server. ``quota`` is the default for orgs without their own, ``limits`` is of the collection and its cluster;
    ``size`` is the bytes of the files, as far as known at creation. ``field_count`` is the number of the collection's
    fields. ``replay_of`` is the job whose rejects it imports, ``replays_rows`` whether from that job's files.
    ``audit`` is the entry to log with the insert. ``uploads`` are the ids of the uploads that it reads.
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
    field_count: int | None = None
    replay_of: int | None = None
    replays_rows: bool = False
    audit: AuditEntry | None = None
    uploads: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What a job was asked to import: the paths as the request has them, and what they may lead to.

    ``roots`` are those of the API keys that requested it, as :meth:`ImportRoots.within` takes them; ``uploads`` are
    the ids of the uploads that it reads. ``has_tenants`` is whether keys or users were ever created on this server.
    """

    groups: Sequence[Sequence[str]]
    roots: Sequence[Sequence[str]]
    uploads: frozenset[str]
    has_tenants: bool


# Built once, most calls need it: building such a statement takes longer than running it.
_JOB = select(*JOB_COLUMNS).where(
    tables.job.c.id == bindparam("id"), tables.job.c.cluster_id == bindparam("cluster_id")
)

_OVERDUE = select(*JOB_COLUMNS).where(tables.job.c.deadline < bindparam("now"))
_GROUPS = select(tables.job.c.groups).where(tables.job.c.id == bindparam("id"))
_ROOTS = select(tables.job.c.roots).where(tables.job.c.id == bindparam("id"))
_REQUEST = select(
    tables.job.c.groups,
    tables.job.c.roots,
    select(func.aggregate_strings(tables.upload_use.c.upload_id, ","))
    .where(tables.upload_use.c.job_id == tables.job.c.id)
    .scalar_subquery()
    .label("uploads"),
    select(tables.account.c.id).exists().label("has_tenants"),
).where(tables.job.c.id == bindparam("id"))
_FILES = select(*FILE_COLUMNS).where(tables.job_file.c.job_id == bindparam("id")).order_by(tables.job_file.c.ordinal)
_SPLITS = (
    select(tables.job_split).where(tables.job_split.c.job_id == bindparam("id")).order_by(tables.job_split.c.ordinal)
)

# As long as the transaction lasts, the collection is neither renamed nor moved to another database.
_COLLECTION = (
    select(tables.collection.c.name, tables.collection.c.database_id)
    .where(tables.collection.c.id == bindparam("id"))
    .with_for_update(read=True, key_share=True)
)


class JobRepository:
    """Insert, read, transition and retry import jobs."""

    def __init__(self, database: CatalogDatabase, encryptor: Encryptor, outbox: WebhookOutbox | None = None) -> None:
        self._database = database
        self._encryptor = encryptor
        self._transitions = JobTransitions(database, outbox)
        self._clusters = ClusterRepository(database)

    # Create and read

    def insert(self, new: NewJob) -> ImportJob:
        """Store a Pending job under a new id; for a repeated call, return the job that the first call created.

        Raises:
            ClusterNotFound: the cluster was dropped.
            InvalidParameter: the call's idempotency key belongs to a different request.
            LimitExceeded: the collection or the cluster has reached its limit of jobs.
            QuotaExceeded: the org has reached its limit of jobs, or has no bytes left today.
            UploadNotFound: an upload was deleted.
        """
        while True:
            new_job_id = new_id()
            try:
                inserted = self._database.run_grouped(partial(self._insert_once, job_id=new_job_id, new=new))
            except IntegrityError:
                # The cluster was just dropped, or another process generated the same id in the same millisecond.
                self._clusters.get(new.cluster_id)
                continue
            if isinstance(inserted, int):
                return self.get(new.cluster_id, inserted)
            log_transition(inserted, None)
            return inserted

    def repeated(self, cluster_id: str, collection_id: str, record: IdempotencyRecord) -> ImportJob | None:
        """Find the job that an earlier call with the same key created. Raises InvalidParameter as :meth:`insert`."""
        with self._database.read() as connection:
            job_id = job_for_key(connection, collection_id, record)
        return None if job_id is None else self.get(cluster_id, job_id)

    def forget_expired_keys(self) -> int:
        """Delete expired idempotency keys; returns how many."""
        with self._database.write() as connection:
            return forget_expired(connection)

    def fingerprint(self, content: bytes) -> str:
        """A keyed hash of a request, for :class:`IdempotencyRecord`."""
        return self._encryptor.fingerprint(content)

    def _insert_once(self, connection: Connection, job_id: int, new: NewJob) -> ImportJob | int:
        """The new job, or the id of the one that an earlier call with the same key created."""
        if new.repeated is not None:
            key_job_id = reserve_key(connection, new.collection_id, new.repeated, job_id)
            if key_job_id != job_id:
                return key_job_id
        lock_cluster(connection, new.cluster_id, new.limits)
        enforce_quota(connection, new.cluster_id, new.quota, new.size)
        job = self._insert(connection, job_id, new)
        if self._database.is_shared and new.limits != NO_LIMITS:
            write_deferred(connection)
        enforce_job_limits(connection, new.cluster_id, new.collection_id, new.collection, new.limits)
        if new.audit is not None:
            note(connection, replace(new.audit, job_id=job_id))
        return job

    def _insert(self, connection: Connection, job_id: int, new: NewJob) -> ImportJob:
        new = _with_current_names(connection, new)
        job = self._transitions.create(
            connection,
            {
                "id": job_id,
                "cluster_id": new.cluster_id,
                "database_id": new.database_id,
                "database": new.database,
                "collection_id": new.collection_id,
                "collection": new.collection,
                "partition": new.partition,
                "auto_commit": new.auto_commit,
                "groups": [list(group) for group in new.groups],
                "options": dict(new.options),
                "warnings": [],
                "created_at": millis_of(job_id),
                "created_by": "" if new.audit is None else new.audit.caller,
                "created_from": "" if new.audit is None else new.audit.address,
                "deadline": new.deadline,
                "has_credentials": bool(new.secret),
                "trace": new.trace,
                "field_count": new.field_count,
                "replay_of": new.replay_of,
                "replays_rows": new.replays_rows,
                "roots": _added([], new.roots),
            },
        )
        self._keep_secret(connection, job_id, new.secret)
        use_uploads(connection, job_id, new.uploads)
        return job

    def _keep_secret(self, connection: Connection, job_id: int, secret: Mapping[str, str]) -> None:
        if secret:
            sealed = self._encryptor.encrypt(dict(secret))
            connection.execute(insert(tables.job_secret).values(job_id=job_id, sealed=sealed))

    def get(self, cluster_id: str, job_id: int) -> ImportJob:
        """Look up a job. Raises JobNotFound, also for a job of another cluster."""
        with self._database.read() as connection:
            row = connection.execute(_JOB, {"id": job_id, "cluster_id": cluster_id}).one_or_none()
        if row is None:
            raise JobNotFound(f"import job does not exist, jobID={job_id}", job_id=job_id)
        return job_of(row)

    def history(self, job_id: int) -> JobHistory:
        """Who created a job, which server works on it, and when it came into its states."""
        job = tables.job.c
        query = select(job.created_by, job.created_from, job.owner, *STATE_TIMES.values()).where(job.id == job_id)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise JobNotFound(f"import job does not exist, jobID={job_id}", job_id=job_id)
        created_by, created_from, owner, *times = row
        return JobHistory(
            created_by=created_by,
            created_from=created_from,
            server=owner,
            times={
                state: from_millis(millis)
                for state, millis in zip(STATE_TIMES, times, strict=True)
                if millis is not None
            },
        )

    def by_ids(self, job_ids: Sequence[int]) -> Sequence[ImportJob]:
        """The jobs of these ids, of any cluster; unknown ids are left out."""
        with self._database.read() as connection:
            rows = connection.execute(select(*JOB_COLUMNS).where(tables.job.c.id.in_(job_ids))).all()
        return [job_of(row) for row in rows]

    def cluster_of(self, job_id: int) -> str | None:
        """The id of a job's cluster; None if there is no such job."""
        with self._database.read() as connection:
            result = connection.execute(select(tables.job.c.cluster_id).where(tables.job.c.id == job_id))
            return result.scalar_one_or_none()

    def files(self, job_id: int) -> Sequence[ImportFile]:
        with self._database.read() as connection:
            rows = connection.execute(_FILES, {"id": job_id}).all()
        return [file_of(row) for row in rows]

    def empty_files(self, job_id: int) -> Sequence[str]:
        """The names of the files that are staged and have no rows, in the order of the request."""
        file = tables.job_file.c
        is_empty = (
            file.job_id == job_id,
            file.state == FileState.COMPLETED.value,
            file.rows == 0,
            file.rejected_rows == 0,
        )
        with self._database.read() as connection:
            return connection.execute(select(file.name).where(*is_empty).order_by(file.ordinal)).scalars().all()

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
            rows = connection.execute(_SPLITS, {"id": job_id}).all()
        return [split_of(row) for row in rows]

    def split_warnings(self, job_id: int) -> list[list[JobWarning]]:
        """The warnings of each staged split that has any, in split order."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(tables.job_split.c.warnings)
                .where(tables.job_split.c.job_id == job_id, tables.job_split.c.warnings.is_not(None))
                .order_by(tables.job_split.c.ordinal)
            ).scalars()
            return [[JobWarning(**warning) for warning in row] for row in rows if row]

    def reject_bytes(self, cluster_id: str) -> int:
        """Bytes of the rejected rows that are kept, of all jobs of a cluster."""
        job = tables.job.c
        with self._database.read() as connection:
            total = connection.execute(
                select(func.coalesce(func.sum(job.reject_bytes), 0)).where(
                    job.cluster_id == cluster_id, job.reject_bytes > 0
                )
            ).scalar_one()
        return int(total)

    def report(self, job_id: int) -> Mapping[str, Any] | None:
        """The report of a dry run; while it runs, what its planning found."""
        with self._database.read() as connection:
            report: Mapping[str, Any] | None = connection.execute(
                select(tables.job_report.c.report).where(tables.job_report.c.job_id == job_id)
            ).scalar_one_or_none()
        return report

    def is_live(self, job_id: int) -> bool:
        """Whether there is such a job, and it is unfinished."""
        job = tables.job.c
        live = [state.value for state in sorted(LIVE_STATES)]
        with self._database.read() as connection:
            found = select(job.id).where(job.id == job_id, job.state.in_(live))
            return connection.execute(found).scalar_one_or_none() is not None

    def request(self, job_id: int) -> JobRequest:
        """What a job was asked to import, by one statement."""
        with self._database.read() as connection:
            row = connection.execute(_REQUEST, {"id": job_id}).one()
        uploads = frozenset(row.uploads.split(",")) if row.uploads else frozenset()
        return JobRequest(groups=row.groups, roots=row.roots, uploads=uploads, has_tenants=bool(row.has_tenants))

    def groups(self, job_id: int) -> Sequence[Sequence[str]]:
        """The paths as the request has them."""
        with self._database.read() as connection:
            groups: list[list[str]] = connection.execute(_GROUPS, {"id": job_id}).scalar_one()
        return groups

    def roots(self, job_id: int) -> Sequence[Sequence[str]]:
        """The roots of the API keys that requested the job, as :meth:`ImportRoots.within` takes them."""
        with self._database.read() as connection:
            return _roots(connection, job_id)

    def secret(self, job_id: int) -> Mapping[str, str]:
        with self._database.read() as connection:
            sealed = connection.execute(
                select(tables.job_secret.c.sealed).where(tables.job_secret.c.job_id == job_id)
            ).scalar_one_or_none()
        return {} if sealed is None else self._encryptor.decrypt(sealed)

    def live_jobs(self, collection_id: str) -> int:
        """Count the unfinished jobs of a collection."""
        with self._database.read() as connection:
            total = connection.execute(LIVE_JOBS, {"collection_id": collection_id}).scalar_one()
        return int(total)

    def is_committing(self, collection_id: str) -> bool:
        """Whether a job of a collection is between its intent and its commit, or its revert."""
        counter = tables.job_counter.c
        with self._database.read() as connection:
            total = connection.execute(
                select(func.coalesce(func.sum(tables.job_counter.c.jobs), 0)).where(
                    counter.collection_id == collection_id,
                    counter.state.in_([state.value for state in sorted(IN_TRANSACTION)]),
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

    # Requested by users; the job may or may not be leased by a worker

    def request_transition(
        self, job: ImportJob, to: JobState, *, audit: AuditEntry | None = None, **values: Any
    ) -> ImportJob:
        """Move a job to another state without its lease, as :meth:`JobTransitions.transition`.

        Raises:
            JobStateConflict: the job has changed state meanwhile, or another process has leased it.
            PartitionNotFound: the partition to commit into was dropped.
        """
        with self._database.write() as connection:
            return self._transitions.transition(connection, job, to, Guard.REQUEST, audit=audit, **values)

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
        """Move a Failed job back to Pending. Its staged files, progress and row counts stay.

        ``roots`` of the caller of the retry apply from now on, in addition to those of the job's creator.

        Raises:
            JobStateConflict: the job isn't Failed (any more).
            LimitExceeded, QuotaExceeded: as :meth:`insert`.
        """
        with self._database.write() as connection:
            lock_cluster(connection, job.cluster_id, limits)
            enforce_quota(connection, job.cluster_id, quota)
            updated = self._transitions.transition(
                connection,
                job,
                JobState.PENDING,
                Guard.REOPEN,
                audit=audit,
                has_staged_files=False,
                reason=None,
                warnings=[],
                finished_at=None,
                deadline=deadline,
                has_credentials=job.has_credentials or bool(secret),
                roots=_added(_roots(connection, job.id), roots),
            )
            self._keep_secret(connection, job.id, secret)
            file = tables.job_file.c
            connection.execute(
                update(tables.job_file)
                .where(file.job_id == job.id, file.state != FileState.COMPLETED.value)
                .values(state=FileState.PENDING.value, reason=None, finished_at=None)
            )
            write_deferred(connection)  # the counters, which the limits are about
            enforce_job_limits(connection, job.cluster_id, job.collection_id, job.collection, limits)
        return updated

    def fail_unfinished(self, collection_id: str, reason: str, partition: str | None = None) -> None:
        """Fail the jobs into a collection (or one partition of it) that is being dropped, if before their commit."""
        for job in self.live_of(collection_id):
            if partition is not None and (job.partition or DEFAULT_PARTITION) != partition:
                continue
            while not job.state.is_final and not job.state.is_committed:
                try:
                    job = self.request_transition(job, JobState.FAILED, reason=reason)
                except JobStateConflict:
                    job = self.get(job.cluster_id, job.id)

    def overdue(self) -> Sequence[ImportJob]:
        """Unfinished jobs that are past their deadline and before their commit."""
        with self._database.read() as connection:
            rows = connection.execute(_OVERDUE, {"now": now_millis()}).all()
        return [job_of(row) for row in rows]

    def live_of(self, collection_id: str) -> Sequence[ImportJob]:
        """The jobs of a collection that have not ended, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(*JOB_COLUMNS)
                .where(
                    tables.job.c.collection_id == collection_id,
                    tables.job.c.state.in_([state.value for state in sorted(LIVE_STATES)]),
                )
                .order_by(tables.job.c.id)
            ).all()
        return [job_of(row) for row in rows]


def _with_current_names(connection: Connection, new: NewJob) -> NewJob:
    """Replace the names of a collection that was renamed since the call read it."""

    def read() -> Any:
        return connection.execute(_COLLECTION, {"id": new.collection_id}).one_or_none()

    collection = read_once(connection, ("names", new.collection_id), read)
    if collection is None:
        return new
    new = replace(new, collection=collection.name)
    if collection.database_id == new.database_id:
        return new
    database = tables.database.c
    name = connection.execute(select(database.name).where(database.id == collection.database_id)).scalar_one()
    return replace(new, database_id=collection.database_id, database=name)


def _roots(connection: Connection, job_id: int) -> list[list[str]]:
    roots: list[list[str]] = connection.execute(_ROOTS, {"id": job_id}).scalar_one()
    return roots


def _added(limits: list[list[str]], roots: Sequence[str]) -> list[list[str]]:
    """Append a list of roots, unless it is empty or already there."""
    return limits if not roots or list(roots) in limits else [*limits, list(roots)]

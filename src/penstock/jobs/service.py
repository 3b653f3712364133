"""The use cases of import jobs, as the wire dialects and the command line call them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Protocol

from penstock.catalog import Catalog
from penstock.catalog.database import to_millis
from penstock.catalog.job_list import JobFilter
from penstock.catalog.jobs import NewJob
from penstock.domain.collections import Collection
from penstock.domain.durations import parse_duration
from penstock.domain.jobs import ImportJob, JobState
from penstock.errors import (
    ImportRefused,
    InvalidParameter,
    JobStateConflict,
    LimitExceeded,
    SourceUnavailable,
    Unsupported,
)
from penstock.jobs.requests import CreateImport, JobDetails, JobPage, JobQuery
from penstock.jobs.settings import JobSettings
from penstock.readers.csv import check_separator
from penstock.readers.formats import check_group
from penstock.sources.roots import ImportRoots

__all__ = ["ImportService", "Imports"]

_INTERVENTIONS = 5
"""Times that abort and commit look again when the job moved on between their look and their write."""


class Imports(Protocol):
    """Plain synchronous calls; none of them waits for files to be read."""

    def create(self, request: CreateImport) -> ImportJob:
        """Check names, syntax, extensions, groups and roots, and store a Pending job.

        Raises:
            ClusterNotFound, DatabaseNotFound, CollectionNotFound, PartitionNotFound: a name is unknown.
            ImportRefused, LimitExceeded, InvalidParameter: the request can never become a job.
            PathNotAllowed: a path lies outside every import root.
            FileMissing, SourceError: only with ``request.heads``.
        """
        ...

    def get(self, cluster_id: str, job_id: int) -> JobDetails:
        """Raises JobNotFound, also for a job of another cluster."""
        ...

    def list(self, query: JobQuery) -> JobPage:
        """Raises ClusterNotFound; DatabaseNotFound and CollectionNotFound for filters that name none."""
        ...

    def commit(self, cluster_id: str, job_id: int) -> ImportJob:
        """Publish an Uncommitted job; again is fine. Raises JobNotFound, JobStateConflict."""
        ...

    def abort(self, cluster_id: str, job_id: int) -> ImportJob:
        """End a job before its commit's intent; again is fine. Raises JobNotFound, JobStateConflict."""
        ...


class ImportService:
    """The :class:`Imports` of a server. ``wake`` tells the scheduler that there is something to do."""

    def __init__(self, catalog: Catalog, roots: ImportRoots, settings: JobSettings, wake: Callable[[], None]) -> None:
        self._catalog = catalog
        self._roots = roots
        self._settings = settings
        self._wake = wake
        self._headers = ThreadPoolExecutor(4, "head")

    def create(self, request: CreateImport) -> ImportJob:
        self._catalog.clusters.get(request.cluster_id)
        database = self._catalog.databases.get(request.cluster_id, request.database)
        collection = self._catalog.collections.get(database, request.collection)
        self._check_partition(collection, request.partition)
        groups = self._check_groups(request)
        auto_commit = _check_options(request)
        live = self._catalog.jobs.live_jobs(collection.id)
        if live >= self._settings.max_live_jobs:
            raise LimitExceeded(
                f"The number of jobs has reached the limit: {live} jobs of collection {collection.name} have not "
                f"ended (max_live_jobs = {self._settings.max_live_jobs}). Try again when some have; many files "
                "fit into one job",
                limit="max_live_jobs",
                value=self._settings.max_live_jobs,
            )
        if request.heads:
            self._head(request, groups)
        keys = request.keys
        secret = {"access_key": keys.access_key, "secret_key": keys.secret_key, "token": keys.token}
        job = self._catalog.jobs.insert(
            NewJob(
                cluster_id=request.cluster_id,
                database_id=database.id,
                database=database.name,
                collection_id=collection.id,
                collection=collection.name,
                partition=request.partition,
                groups=groups,
                options=request.options,
                auto_commit=auto_commit,
                secret=secret if keys else {},
            )
        )
        self._wake()
        return job

    def get(self, cluster_id: str, job_id: int) -> JobDetails:
        job = self._catalog.jobs.get(cluster_id, job_id)
        return JobDetails(job=job, files=self._catalog.jobs.files(job_id))

    def list(self, query: JobQuery) -> JobPage:
        self._catalog.clusters.get(query.cluster_id)
        wanted = self._filter(query)
        if query.page_size is None:
            jobs = self._catalog.job_list.page(wanted, limit=self._settings.list_limit)
            return JobPage(jobs=jobs, total=len(jobs))
        offset = (query.page - 1) * query.page_size
        jobs = self._catalog.job_list.page(wanted, limit=query.page_size, offset=offset)
        return JobPage(jobs=jobs, total=self._catalog.job_list.total(wanted))

    def commit(self, cluster_id: str, job_id: int) -> ImportJob:
        for _ in range(_INTERVENTIONS):
            job = self._catalog.jobs.get(cluster_id, job_id)
            if job.auto_commit:
                raise _auto_commit(job)
            if job.state.is_committed:
                return job
            if job.state is not JobState.UNCOMMITTED:
                raise JobStateConflict(
                    f"job {job.id} is in state {_word(job)}, expected Uncommitted",
                    job_id=job.id,
                    state=job.state.value,
                )
            collection = self._catalog.collections.by_id(job.collection_id)
            intent = collection.version if collection else 1
            done = self._intervene(job, JobState.COMMITTING, stage="committing", intent_version=intent)
            if done:
                return done
        raise JobStateConflict(f"job {job_id} keeps changing its state; look at it and try again", job_id=job_id)

    def abort(self, cluster_id: str, job_id: int) -> ImportJob:
        for _ in range(_INTERVENTIONS):
            job = self._catalog.jobs.get(cluster_id, job_id)
            if job.state is JobState.ABORTED:
                return job
            if job.state.is_final or job.state.is_committed:
                raise JobStateConflict(
                    f"job {job.id} is in terminal/committed state {_word(job)}, abort not allowed",
                    job_id=job.id,
                    state=job.state.value,
                )
            done = self._intervene(job, JobState.ABORTED, reason="aborted by user")
            if done:
                return done
        raise JobStateConflict(f"job {job_id} keeps changing its state; look at it and try again", job_id=job_id)

    def _intervene(self, job: ImportJob, then: JobState, **values: object) -> ImportJob | None:
        try:
            done = self._catalog.jobs.intervene(job, then, **values)
        except JobStateConflict:
            # It moved on between our look and our write; the caller looks again.
            return None
        self._wake()
        return done

    def _check_partition(self, collection: Collection, partition: str | None) -> None:
        if not partition:
            return
        if collection.schema.partition_key:
            raise ImportRefused(
                "not allow to set partition name for collection with partition key", partition=partition
            )
        self._catalog.collections.partition(collection.id, partition)

    def _check_groups(self, request: CreateImport) -> Sequence[Sequence[str]]:
        groups = [paths for group in request.groups if (paths := [path for path in group if path])]
        if not groups:
            raise InvalidParameter("import request is empty")
        if len(groups) > self._settings.max_groups:
            raise ImportRefused(
                f"The max number of import files should not exceed {self._settings.max_groups}, "
                f"but got {len(groups)}",
                limit="max_groups",
            )
        for group in groups:
            for path in group:
                self._roots.check(path, bool(request.keys))
            check_group(group)
        return groups

    def _head(self, request: CreateImport, groups: Sequence[Sequence[str]]) -> None:
        """Look whether the files are there, within ``head_timeout`` (v1 tells at create)."""
        keys = request.keys
        looks = [
            self._headers.submit(self._roots.locate, path, keys.access_key, keys.secret_key, keys.token)
            for group in groups
            for path in group
        ]
        for look in looks:
            try:
                look.result(self._settings.head_timeout)
            except TimeoutError as error:
                raise SourceUnavailable(
                    f"the object store did not answer within {self._settings.head_timeout:g} s"
                ) from error

    def _filter(self, query: JobQuery) -> JobFilter:
        database = None
        if query.database is not None:
            database = self._catalog.databases.get(query.cluster_id, query.database)
        collection = None
        if query.collection is not None:
            named = database or self._catalog.databases.get(query.cluster_id, query.resolve_in)
            collection = self._catalog.collections.get(named, query.collection)
        since = None
        if query.page_size is None:
            since = to_millis(datetime.now(UTC) - timedelta(seconds=self._settings.list_window))
        return JobFilter(
            cluster_id=query.cluster_id,
            database_id=database.id if database else None,
            collection_id=collection.id if collection else None,
            states=query.states,
            created_after=to_millis(query.created_after) if query.created_after else None,
            created_before=to_millis(query.created_before) if query.created_before else None,
            finished_since=since,
            before=query.before,
        )


def _check_options(request: CreateImport) -> bool:
    """Whether the job commits by itself; raises for options that can't be served."""
    options = request.options
    for key in ("backup", "l0_import"):
        if options.get(key, "").lower() == "true":
            raise Unsupported(
                f"options.{key} is not supported: Penstock imports files of vectors, not Milvus binlogs", option=key
            )
    if options.get("timeout"):
        parse_duration(options["timeout"])
    check_separator(options.get("sep", ""))
    return options.get("auto_commit", "true").lower() != "false"


def _auto_commit(job: ImportJob) -> JobStateConflict:
    return JobStateConflict(
        f"job {job.id} is auto-commit, manual commit/abort not allowed", job_id=job.id, state=job.state.value
    )


def _word(job: ImportJob) -> str:
    """Milvus has no word for Aborted."""
    return JobState.FAILED.value if job.state is JobState.ABORTED else job.state.value

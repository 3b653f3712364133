"""An import service and clusters in memory, for tests of what lies above them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from penstock.domain.access import Caller
from penstock.domain.collections import Cluster
from penstock.domain.jobs import ImportFile, ImportJob, JobHistory, JobState
from penstock.errors import (
    ClusterNotFound,
    CollectionNotFound,
    DatabaseNotFound,
    JobNotFound,
    JobStateConflict,
    PartitionNotFound,
)
from penstock.imports.requests import (
    CreateImport,
    JobDetails,
    JobPage,
    JobQuery,
    LoadedFiles,
    ReplayImport,
    StoreCredentials,
)

__all__ = ["CREATED", "MemoryClusters", "MemoryImports", "make_job"]

CREATED = datetime(2024, 5, 18, 2, 50, 0, tzinfo=UTC)
FIRST_ID = 453240863839750922


def make_job(state: JobState = JobState.PENDING, *, id: int = FIRST_ID, **values: object) -> ImportJob:
    """A job of collection ``docs``; finished two minutes after its creation, where its state is final."""
    job = ImportJob(
        id=id,
        cluster_id="in01-local",
        database_id=1,
        database="default",
        collection="docs",
        collection_id="c1",
        partition=None,
        state=state,
        created_at=CREATED,
        finished_at=CREATED + timedelta(minutes=2) if state.is_final else None,
        progress=100 if state is JobState.COMPLETED else 0,
    )
    return replace(job, **values)  # type: ignore[arg-type]


class MemoryClusters:
    """``in01-local`` in region ``local``, and ``in02-far`` in another."""

    def __init__(self) -> None:
        regions = {"in01-local": "local", "in02-far": "aws-eu-west-1"}
        self._clusters = {
            name: Cluster(id=name, org_id="org", region=region, name=name) for name, region in regions.items()
        }

    def get(self, cluster_id: str) -> Cluster:
        if cluster_id not in self._clusters:
            raise ClusterNotFound(f"cluster {cluster_id} does not exist", cluster_id=cluster_id)
        return self._clusters[cluster_id]


class MemoryImports:
    """Jobs in a dictionary. ``requests``, ``queries`` and ``keys`` (of retries) keep what was asked; ``fault`` is
    raised by the next create.

    ``hold``, where given, is called inside of each create: a test makes the call wait there.
    """

    def __init__(self, databases: Mapping[str, Sequence[str]] | None = None) -> None:
        self.databases = databases or {"default": ["docs", "books"], "other": ["docs"]}
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """As new: no jobs, nothing asked."""
        self.requests: list[CreateImport] = []
        self.queries: list[JobQuery] = []
        self.keys: list[StoreCredentials] = []
        self.fault: Exception | None = None
        self.hold: Callable[[], object] = lambda: None
        self._details: dict[int, JobDetails] = {}

    def add(self, job: ImportJob, *files: ImportFile) -> ImportJob:
        self._details[job.id] = JobDetails(job=job, files=files)
        return job

    def create(self, request: CreateImport) -> ImportJob:
        self.requests.append(request)
        self.hold()
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        self._check(request.database, request.collection)
        if request.partition not in (None, "_default"):
            raise PartitionNotFound(f"no partition {request.partition}", partition=request.partition)
        with self._lock:
            job = make_job(id=FIRST_ID + len(self._details), database=request.database, collection=request.collection)
            return self.add(job)

    def get(self, cluster_id: str, job_id: int, caller: Caller) -> JobDetails:
        details = self._details.get(job_id)
        if details is None or details.job.cluster_id != cluster_id:
            raise JobNotFound(f"no job {job_id}", job_id=job_id)
        return details

    def history(self, cluster_id: str, job_id: int, caller: Caller) -> JobHistory:
        self.get(cluster_id, job_id, caller)
        return JobHistory(created_by=caller.name, created_from=caller.address, server=None, times={})

    def loaded(self, request: CreateImport) -> LoadedFiles:
        self._check(request.database, request.collection)
        return LoadedFiles(loaded=[], total=sum(map(len, request.groups)))

    def list(self, query: JobQuery) -> JobPage:
        self.queries.append(query)
        if query.collection is not None:
            self._check(query.database or query.resolve_in, query.collection)
        elif query.database is not None:
            self._check(query.database)
        found = [job for job in self._newest_first() if _matches(job, query)]
        start = 0 if query.page_size is None else (query.page - 1) * query.page_size
        end = None if query.page_size is None else start + query.page_size
        return JobPage(jobs=found[start:end], total=len(found))

    def count(self, query: JobQuery) -> Mapping[JobState, int]:
        return Counter(job.state for job in self._newest_first() if _matches(job, query))

    def commit(self, cluster_id: str, job_id: int, caller: Caller) -> ImportJob:
        return self._change(cluster_id, job_id, caller, JobState.COMMITTING, {JobState.UNCOMMITTED})

    def abort(self, cluster_id: str, job_id: int, caller: Caller) -> ImportJob:
        return self._change(cluster_id, job_id, caller, JobState.ABORTED, {JobState.PENDING, JobState.UNCOMMITTED})

    def retry(self, cluster_id: str, job_id: int, keys: StoreCredentials, caller: Caller) -> ImportJob:
        self.keys.append(keys)
        return self._change(cluster_id, job_id, caller, JobState.PENDING, {JobState.FAILED})

    def replay(self, request: ReplayImport) -> ImportJob:
        earlier = self.get(request.cluster_id, request.job_id, request.caller).job
        if not (earlier.rejected_rows or earlier.skipped_files):
            raise JobStateConflict(f"job {earlier.id} has left out nothing")
        return self.add(make_job(id=FIRST_ID + len(self._details), replay_of=earlier.id))

    def revert(self, cluster_id: str, job_id: int, caller: Caller) -> ImportJob:
        return self._change(cluster_id, job_id, caller, JobState.REVERTING, {JobState.COMPLETED})

    def _change(
        self, cluster_id: str, job_id: int, caller: Caller, then: JobState, allowed: set[JobState]
    ) -> ImportJob:
        details = self.get(cluster_id, job_id, caller)
        if details.job.state not in allowed:
            raise JobStateConflict(f"job {job_id} is in state {details.job.state}, expected Uncommitted")
        return self.add(replace(details.job, state=then), *details.files)

    def _newest_first(self) -> Sequence[ImportJob]:
        return [self._details[id].job for id in sorted(self._details, reverse=True)]

    def _check(self, database: str, collection: str | None = None) -> None:
        if database not in self.databases:
            raise DatabaseNotFound(f"no database {database}", database=database)
        if collection is not None and collection not in self.databases[database]:
            raise CollectionNotFound(f"no collection {collection}", database=database, collection=collection)


def _matches(job: ImportJob, query: JobQuery) -> bool:
    return (
        job.cluster_id == query.cluster_id
        and query.database in (None, job.database)
        and query.collection in (None, job.collection)
        and (not query.states or job.state in query.states)
        and (query.before is None or job.id < query.before)
        and (query.created_after is None or job.created_at > query.created_after)
        and (query.created_before is None or job.created_at < query.created_before)
    )

"""Create, list, commit, abort and retry import jobs in a catalog: see :class:`penstock.imports.api.Imports`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from penstock.catalog import Catalog
from penstock.catalog.db.connection import now_millis, to_millis
from penstock.catalog.jobs.idempotency import IdempotencyRecord
from penstock.catalog.jobs.jobs import NewJob
from penstock.catalog.jobs.listing import JobFilter
from penstock.domain.access import Caller, Role
from penstock.domain.audit import AuditEntry, entry_of
from penstock.domain.collections import Cluster, Collection
from penstock.domain.durations import parse_duration
from penstock.domain.import_options import SERVED_OPTIONS
from penstock.domain.jobs import ImportJob, JobHistory, JobState
from penstock.domain.schema import CollectionSchema
from penstock.engines.registry import EngineRegistry
from penstock.errors import (
    ImportRefused,
    InvalidParameter,
    JobNotFound,
    JobStateConflict,
    MissingParameter,
)
from penstock.imports.checks import check_groups, check_options, check_paths, check_write_options
from penstock.imports.events import NullObserver, Observer
from penstock.imports.file_probe import FileProbe
from penstock.imports.loaded_files import loaded_among
from penstock.imports.mapping_options import column_mapping_of
from penstock.imports.planner import check_input
from penstock.imports.replays import check_kept, check_replay, replayed_options, skipped_groups
from penstock.imports.requests import (
    CreateImport,
    JobDetails,
    JobPage,
    JobQuery,
    LoadedFiles,
    ReplayImport,
    StoreCredentials,
)
from penstock.imports.reversal import check_revert
from penstock.imports.settings import JobSettings
from penstock.imports.uploads import uploads_of
from penstock.readers.base import InputFile
from penstock.sources.globs import has_wildcards
from penstock.sources.manifests import is_manifest
from penstock.sources.roots import ImportRoots

MAX_KEY = 256
_MAX_IGNORED_OPTIONS, _MAX_OPTION_NAME = 20, 200
"""Unsupported options whose names a job keeps for its warnings, and characters of a name."""
_MAX_CAS_ATTEMPTS = 5
"""Compare-and-set attempts of abort, commit and retry when the job's state changes between read and write."""


class ImportService:
    """The import calls of a server. ``wake`` wakes the scheduler after a change."""

    def __init__(
        self,
        catalog: Catalog,
        engines: EngineRegistry,
        roots: ImportRoots,
        settings: JobSettings,
        wake: Callable[[], None],
        observer: Observer | None = None,
        refuse_if_full: Callable[[], None] = lambda: None,
    ) -> None:
        self._refuse_if_full = refuse_if_full
        self._observer = observer or NullObserver()
        self._catalog = catalog
        self._engines = engines
        self._roots = roots
        self._settings = settings
        self._wake = wake
        self._file_probe = FileProbe()

    def create(self, request: CreateImport) -> ImportJob:
        cluster = self._catalog.clusters.get(request.cluster_id)
        request.caller.require(Role.WRITER, cluster, request.database)
        self._refuse_if_full()
        database = self._catalog.databases.get(request.cluster_id, request.database)
        collection = self._catalog.collections.get(database, request.collection)
        self._check_partition(collection, request.partition)
        check_options(request.options, request.partition)
        check_write_options(request.options, collection.schema)
        auto_commit = request.options.get("auto_commit", "true").lower() != "false"
        mapping = column_mapping_of(request.options, collection.schema)
        preset = request.options.get("from_format", "")
        groups = check_groups(request.groups, self._roots_of(request.caller), request.keys, self._settings, preset)
        record = self._idempotency_record(request, collection, groups)
        if record is not None:
            existing = self._catalog.jobs.repeated(request.cluster_id, collection.id, record)
            if existing is not None:
                return existing
        uploads = uploads_of(self._catalog, cluster.org_id, groups)
        size = (
            self._probe_files(request, groups, uploads, cluster, mapping.source_schema(collection.schema))
            if request.heads
            else 0
        )
        job = self._catalog.jobs.insert(
            NewJob(
                cluster_id=request.cluster_id,
                database_id=database.id,
                database=database.name,
                collection_id=collection.id,
                collection=collection.name,
                partition=request.partition,
                groups=groups,
                options=_options_to_keep(request.options),
                auto_commit=auto_commit,
                secret=request.keys.to_secret(),
                deadline=self._deadline(request.options),
                repeated=record,
                trace=self._observer.context(),
                roots=request.caller.roots,
                quota=self._settings.quota,
                limits=self._settings.limits,
                size=size,
                field_count=len(collection.schema.fields),
                uploads=uploads,
                audit=replace(
                    entry_of(request.caller, "import.create"),
                    cluster_id=request.cluster_id,
                    database=database.name,
                    collection=collection.name,
                ),
            )
        )
        self._wake()
        return job

    def loaded(self, request: CreateImport) -> LoadedFiles:
        cluster = self._catalog.clusters.get(request.cluster_id)
        request.caller.require(Role.WRITER, cluster, request.database)
        database = self._catalog.databases.get(request.cluster_id, request.database)
        collection = self._catalog.collections.get(database, request.collection)
        preset = request.options.get("from_format", "")
        roots = self._roots_of(request.caller)
        groups = check_groups(request.groups, roots, request.keys, self._settings, preset)
        roots = roots.with_uploads(uploads_of(self._catalog, cluster.org_id, groups))
        deadline = time.monotonic() + self._settings.infer_timeout
        files: list[InputFile] = []
        for group in groups:
            seconds = max(0.1, deadline - time.monotonic())
            files += self._file_probe.probe(cluster.org_id, group, roots, request.keys, seconds, preset)
        loaded = loaded_among(files, collection.id, self._catalog.loaded_files)
        return LoadedFiles(
            loaded=[(files[number].name, match) for number, match in sorted(loaded.items())], total=len(files)
        )

    def get(self, cluster_id: str, job_id: int, caller: Caller) -> JobDetails:
        job = self.get_job(cluster_id, job_id, caller)
        report = None
        if job.is_dry_run and job.state is JobState.COMPLETED:
            report = self._catalog.jobs.report(job_id)
        return JobDetails(job=job, files=self._catalog.jobs.files(job_id), report=report)

    def history(self, cluster_id: str, job_id: int, caller: Caller) -> JobHistory:
        return self._catalog.jobs.history(self.get_job(cluster_id, job_id, caller).id)

    def list(self, query: JobQuery) -> JobPage:
        job_filter = self.filter_of(query, self._catalog.clusters.get(query.cluster_id))
        if query.page_size is None:
            jobs = self._catalog.job_list.page(job_filter, limit=self._settings.list_limit)
            return JobPage(jobs=jobs, total=len(jobs))
        offset = (query.page - 1) * query.page_size
        if query.text:
            jobs, total = self._catalog.job_list.search(job_filter, query.text, limit=query.page_size, offset=offset)
            return JobPage(jobs=jobs, total=total)
        jobs = self._catalog.job_list.page(job_filter, limit=query.page_size, offset=offset)
        return JobPage(jobs=jobs, total=self._catalog.job_list.total(job_filter))

    def count(self, query: JobQuery) -> Mapping[JobState, int]:
        return self._catalog.job_list.by_state(self.filter_of(query, self._catalog.clusters.get(query.cluster_id)))

    def commit(self, cluster_id: str, job_id: int, caller: Caller) -> ImportJob:
        for _ in range(_MAX_CAS_ATTEMPTS):
            job = self._get_for_writer(cluster_id, job_id, caller)
            if job.auto_commit:
                raise _auto_commit_error(job)
            if job.state.is_committed:
                return job
            if job.state is not JobState.UNCOMMITTED:
                raise _unexpected(job, JobState.UNCOMMITTED)
            collection = self._catalog.collections.by_id(job.collection_id)
            intent = collection.version if collection else 1
            result = self._request_transition(
                job, JobState.COMMITTING, "commit", caller, stage="committing", intent_version=intent
            )
            if result:
                return result
        raise _contention_error(job_id)

    def abort(self, cluster_id: str, job_id: int, caller: Caller) -> ImportJob:
        for _ in range(_MAX_CAS_ATTEMPTS):
            job = self._get_for_writer(cluster_id, job_id, caller)
            if job.state in (JobState.ABORTED, JobState.FAILED):
                return job  # already ended, which also Milvus accepts for a failed job
            if job.state.is_committed or job.state is JobState.REVERTED:
                raise JobStateConflict(
                    f"job {job.id} is in terminal/committed state {_state(job)}, abort not allowed",
                    job_id=job.id,
                    state=job.state.value,
                )
            result = self._request_transition(job, JobState.ABORTED, "abort", caller, reason="aborted by user")
            if result:
                return result
        raise _contention_error(job_id)

    def retry(self, cluster_id: str, job_id: int, keys: StoreCredentials, caller: Caller) -> ImportJob:
        for _ in range(_MAX_CAS_ATTEMPTS):
            job = self._get_for_writer(cluster_id, job_id, caller)
            self._refuse_if_full()
            self._check_retry(job, keys, caller)
            deadline = self._deadline(job.options)
            try:
                result = self._catalog.jobs.retry(
                    job,
                    keys.to_secret(),
                    deadline,
                    caller.roots,
                    quota=self._settings.quota,
                    limits=self._settings.limits,
                    audit=_entry(caller, "retry", job),
                )
            except JobStateConflict:
                continue  # a concurrent call changed it; read it again
            self._wake()
            return result
        raise _contention_error(job_id)

    def replay(self, request: ReplayImport) -> ImportJob:
        earlier = self._get_for_writer(request.cluster_id, request.job_id, request.caller)
        self._refuse_if_full()
        check_replay(earlier)
        collection = self._catalog.collections.by_id(earlier.collection_id)
        if collection is None:
            raise JobStateConflict(
                f"job {earlier.id} can't be replayed: its collection {earlier.collection} was dropped",
                job_id=earlier.id,
            )
        self._check_partition(collection, earlier.partition)
        options = replayed_options(earlier, corrected=bool(request.groups))
        column_mapping_of(options, collection.schema)
        replays_rows = False
        if request.groups:
            roots, preset = self._roots_of(request.caller), options.get("from_format", "")
            groups = check_groups(request.groups, roots, request.keys, self._settings, preset)
        else:
            if earlier.has_credentials and not request.keys:
                raise MissingParameter(
                    f"job {earlier.id} was created with the caller's own accessKey and secretKey, which were deleted "
                    "when it ended. Pass them again with the replay",
                    job_id=earlier.id,
                )
            replays_rows = earlier.rejected_rows > 0
            if replays_rows:
                check_kept(self._catalog, earlier)
            groups = self._catalog.jobs.groups(earlier.id) if replays_rows else skipped_groups(self._catalog, earlier)
            limits = [*self._catalog.jobs.roots(earlier.id), request.caller.roots]
            check_paths(groups, self._roots.within(limits, for_tenant=not request.caller.is_anybody), request.keys)
        job = self._catalog.jobs.insert(
            NewJob(
                cluster_id=earlier.cluster_id,
                database_id=earlier.database_id,
                database=earlier.database,
                collection_id=earlier.collection_id,
                collection=earlier.collection,
                partition=earlier.partition,
                groups=groups,
                options=options,
                auto_commit=earlier.auto_commit,
                secret=request.keys.to_secret(),
                deadline=self._deadline(options),
                trace=self._observer.context(),
                roots=request.caller.roots,
                quota=self._settings.quota,
                limits=self._settings.limits,
                field_count=len(collection.schema.fields),
                uploads=uploads_of(self._catalog, self._catalog.clusters.get(earlier.cluster_id).org_id, groups),
                replay_of=earlier.id,
                replays_rows=replays_rows,
                audit=replace(_entry(request.caller, "replay", earlier), job_id=None),
            )
        )
        self._wake()
        return job

    def revert(self, cluster_id: str, job_id: int, caller: Caller) -> ImportJob:
        for _ in range(_MAX_CAS_ATTEMPTS):
            job = self._get_for_writer(cluster_id, job_id, caller)
            if job.state in (JobState.REVERTING, JobState.REVERTED):
                return job
            check_revert(self._catalog, self._engines, self._settings, job)
            collection = self._catalog.collections.by_id(job.collection_id)
            intent = collection.version if collection else 1
            try:
                result = self._catalog.reversals.begin(job, intent, audit=_entry(caller, "revert", job))
            except JobStateConflict:
                continue  # a concurrent call changed it; read it again
            self._wake()
            return result
        raise _contention_error(job_id)

    def get_job(self, cluster_id: str, job_id: int, caller: Caller) -> ImportJob:
        """Get a job without its files.

        Raises:
            JobNotFound: also for a job that the caller may not see; then ``hidden`` is in its details.
        """
        try:
            job = self._catalog.jobs.get(cluster_id, job_id)
        except JobNotFound as error:
            # The same answer as for an unknown id, but the audit log distinguishes another org's job from that.
            cluster = self._catalog.jobs.cluster_of(job_id)
            if cluster is not None and not caller.same_org(self._catalog.clusters.get(cluster)):
                error.details["hidden"] = True
            raise
        if not caller.may(Role.READER, self._catalog.clusters.get(cluster_id), job.database):
            raise JobNotFound(f"import job does not exist, jobID={job_id}", job_id=job_id, hidden=True)
        return job

    def _get_for_writer(self, cluster_id: str, job_id: int, caller: Caller) -> ImportJob:
        """Raises JobNotFound as :meth:`get_job`, PermissionDenied."""
        job = self.get_job(cluster_id, job_id, caller)
        caller.require(Role.WRITER, self._catalog.clusters.get(cluster_id), job.database)
        return job

    def _check_retry(self, job: ImportJob, keys: StoreCredentials, caller: Caller) -> None:
        if job.state is JobState.ABORTED:
            raise JobStateConflict(
                f"job {job.id} was aborted by user, only a failed job can be retried. Create the import again",
                job_id=job.id,
                state=job.state.value,
            )
        if job.state is not JobState.FAILED:
            raise JobStateConflict(
                f"job {job.id} is in state {_state(job)}, expected Failed: only a failed job can be retried",
                job_id=job.id,
                state=job.state.value,
            )
        collection = self._catalog.collections.by_id(job.collection_id)
        if collection is None:
            raise JobStateConflict(
                f"job {job.id} cannot be retried: its collection {job.collection} was dropped",
                job_id=job.id,
                state=job.state.value,
            )
        self._check_partition(collection, job.partition)
        if job.has_credentials and not keys:
            raise MissingParameter(
                f"job {job.id} was created with the caller's own accessKey and secretKey, which were deleted when "
                "it ended. Pass them again with the retry",
                job_id=job.id,
            )
        roots = self._roots.within(
            [*self._catalog.jobs.roots(job.id), caller.roots], for_tenant=not caller.is_anybody
        )
        groups = self._catalog.jobs.groups(job.id)
        check_paths(groups, roots, keys)
        uploads_of(self._catalog, self._catalog.clusters.get(job.cluster_id).org_id, groups)

    def _request_transition(
        self, job: ImportJob, then: JobState, action: str, caller: Caller, **values: object
    ) -> ImportJob | None:
        try:
            result = self._catalog.jobs.request_transition(job, then, audit=_entry(caller, action, job), **values)
        except JobStateConflict:
            # Its state changed between read and write; the caller reads it again.
            return None
        self._wake()
        return result

    def _check_partition(self, collection: Collection, partition: str | None) -> None:
        if not partition:
            return
        if collection.schema.partition_key:
            raise ImportRefused(
                "not allow to set partition name for collection with partition key", partition=partition
            )
        self._catalog.collections.partition(collection.id, partition)

    def _deadline(self, options: Mapping[str, str]) -> int | None:
        text = options.get("timeout")
        seconds = parse_duration(text) if text else self._settings.timeout
        return None if seconds is None else now_millis() + int(seconds * 1000)

    def _idempotency_record(
        self, request: CreateImport, collection: Collection, groups: Sequence[Sequence[str]]
    ) -> IdempotencyRecord | None:
        key = request.idempotency_key
        if key is None:
            return None
        _check_key(key)
        content = [
            request.cluster_id,
            collection.id,
            request.partition or "",
            groups,
            sorted(request.options.items()),
        ]
        return IdempotencyRecord(
            key=key,
            fingerprint=self._catalog.jobs.fingerprint(json.dumps(content).encode()),
            lifetime=int(self._settings.key_lifetime * 1000),
        )

    def _probe_files(
        self,
        request: CreateImport,
        groups: Sequence[Sequence[str]],
        uploads: Sequence[str],
        cluster: Cluster,
        schema: CollectionSchema,
    ) -> int:
        """Check that the files exist, within ``head_timeout`` (v1 reports it at create); return their bytes."""
        keys, roots = request.keys, self._roots_of(request.caller).with_uploads(uploads)
        size = 0
        for group in groups:
            if any(has_wildcards(path) or is_manifest(path) for path in group):
                continue  # to resolve it may take longer than a call; the job reports what is wrong
            probed = self._file_probe.probe(
                cluster.org_id,
                group,
                roots,
                keys,
                self._settings.head_timeout,
                request.options.get("from_format", ""),
            )
            for file in probed:
                check_input(file, schema, self._settings)
                size += file.size
        return size

    def _roots_of(self, caller: Caller) -> ImportRoots:
        return self._roots.within([caller.roots], for_tenant=not caller.is_anybody)

    def filter_of(self, query: JobQuery, cluster: Cluster) -> JobFilter:
        """The catalog's filter of a query: what the caller may see of it. Raises as :meth:`list`."""
        visible = query.caller.databases(Role.READER, cluster)
        if visible == frozenset():
            query.caller.require(Role.READER, cluster)
        if visible is not None:
            for name in (query.database, query.resolve_in if query.collection is not None else None):
                if name is not None:
                    query.caller.require(Role.READER, cluster, name)
        database = None
        if query.database is not None:
            database = self._catalog.databases.get(query.cluster_id, query.database)
        collection = None
        if query.collection is not None:
            parent = database or self._catalog.databases.get(query.cluster_id, query.resolve_in)
            collection = self._catalog.collections.get(parent, query.collection)
        since = None
        if query.page_size is None:
            since = to_millis(datetime.now(UTC) - timedelta(seconds=self._settings.list_window))
        return JobFilter(
            cluster_id=query.cluster_id,
            database_id=database.id if database else None,
            database_ids=None if visible is None else self._ids(query.cluster_id, visible),
            collection_id=collection.id if collection else None,
            states=tuple(query.states),
            created_after=to_millis(query.created_after) if query.created_after else None,
            created_before=to_millis(query.created_before) if query.created_before else None,
            finished_since=since,
            before=query.before,
        )

    def _ids(self, cluster_id: str, names: frozenset[str]) -> tuple[int, ...]:
        return tuple(database.id for database in self._catalog.databases.list(cluster_id) if database.name in names)


def _entry(caller: Caller, action: str, job: ImportJob) -> AuditEntry:
    return replace(
        entry_of(caller, f"import.{action}"),
        cluster_id=job.cluster_id,
        database=job.database,
        collection=job.collection,
        job_id=job.id,
    )


def _options_to_keep(options: Mapping[str, str]) -> Mapping[str, str]:
    """Keep supported options; of others only the names, for warnings: their values may be anything."""
    served = {name: value for name, value in options.items() if name in SERVED_OPTIONS}
    ignored = [name[:_MAX_OPTION_NAME] for name in options if name not in SERVED_OPTIONS]
    return dict.fromkeys(ignored[:_MAX_IGNORED_OPTIONS], "") | served


def _check_key(key: str) -> None:
    if not 1 <= len(key) <= MAX_KEY or not all(" " <= letter <= "~" for letter in key):
        raise InvalidParameter(f"Idempotency-Key must be 1 to {MAX_KEY} printable ASCII characters")


def _unexpected(job: ImportJob, expected: JobState) -> JobStateConflict:
    return JobStateConflict(
        f"job {job.id} is in state {_state(job)}, expected {expected}", job_id=job.id, state=job.state.value
    )


def _contention_error(job_id: int) -> JobStateConflict:
    return JobStateConflict(f"job {job_id} keeps changing its state; check it and try again", job_id=job_id)


def _auto_commit_error(job: ImportJob) -> JobStateConflict:
    return JobStateConflict(
        f"job {job.id} is auto-commit, manual commit/abort not allowed", job_id=job.id, state=job.state.value
    )


def _state(job: ImportJob) -> str:
    """The state as Milvus names it, which has no Aborted."""
    return JobState.FAILED.value if job.state is JobState.ABORTED else job.state.value

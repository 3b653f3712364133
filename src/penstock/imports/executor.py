"""Run one job from its lease to its end: plan, stage, commit, index.

Every step is recorded in the catalog under the lease's fencing epoch: after a crash the next lease continues from the
last finished split, and a process that lost its lease changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from penstock.catalog.jobs.jobs import JobRequest
from penstock.domain.collections import Collection
from penstock.domain.jobs import ImportJob, JobState, JobWarning, Split, merge_warnings
from penstock.domain.write_modes import Duplicates, WriteMode
from penstock.engines.values import Table
from penstock.errors import (
    CatalogError,
    CatalogUnavailable,
    DataError,
    LeaseLost,
    MemoryExceeded,
    PenstockError,
    TaskCancelled,
    Transient,
)
from penstock.imports.checksums import ChecksumTask, ExpectedContent, VerifiedFiles, verify_checksums
from penstock.imports.commit import Committer
from penstock.imports.context import ImportContext, staged_of
from penstock.imports.dry_run.job import CheckingRun, plan_problems, spool_of
from penstock.imports.duplicate_keys import duplicate_key_error
from penstock.imports.job_verification import verify_committed_rows
from penstock.imports.leased_job import LeasedJob, PlannedWork, StagedWork, logged
from penstock.imports.loaded_files import without_loaded
from penstock.imports.maintenance import MaintenanceWorker
from penstock.imports.memory_budget import too_large
from penstock.imports.planner import Plan, check_sizes, plan_ranges, resolve_files
from penstock.imports.progress import COMMITTED, PLANNED, UNCOMMITTED
from penstock.imports.reject_files import warnings_of_rejects
from penstock.imports.replays import plan_of_rows
from penstock.imports.requests import StoreCredentials
from penstock.imports.retry import MAX_BACKOFF_SECONDS, RetriesExhausted
from penstock.imports.reversal import revert_leased
from penstock.imports.split_packing import pack_splits
from penstock.imports.staging import SplitFailed, StagingRun
from penstock.imports.tasks import file_at
from penstock.runners.base import TaskContext, TaskHandle
from penstock.sources.base import Location
from penstock.sources.roots import ImportRoots

log = structlog.get_logger(__name__)


_PLANNING = PLANNED // 2
"""Progress of a job that begins to be planned."""

_SMALL_BYTES = 4 << 20
"""The most bytes of a small job: as much as one split has at least. It may run beyond the limit of running jobs,
which is for the memory and time of large ones, and the commits of others wait for it."""


class Executor:
    """Run leased jobs. Thread-safe; each call of :meth:`run` works on one job."""

    def __init__(self, context: ImportContext, maintenance: MaintenanceWorker) -> None:
        self._context = context
        self._maintenance = maintenance
        self._committer = Committer(context, maintenance)

    def start_planning(self, jobs: Sequence[ImportJob]) -> Sequence[ImportJob]:
        """Move companions on to Planning in one transaction, not one each; returns those whose leases are held."""
        new = [job for job in jobs if job.progress == 0]
        leases = self._context.catalog.leases
        moved = leases.start_planning(new, stage="planning", progress=_PLANNING) if new else []
        return [*moved, *(job for job in jobs if job.progress)]

    def run(self, job: ImportJob, stop: threading.Event, *, runs_along: bool = False) -> None:
        """Run a leased job until it has ended, waits for its commit, or ``stop`` is set.

        ``runs_along``: beyond the limit of running jobs; once its files turn out not to be small, it is released.
        """
        job_log = log.bind(job_id=str(job.id), collection=job.collection)
        observer = self._context.observer
        observer.claimed(job)
        facts: dict[str, str | int] = {
            "job_id": str(job.id),
            "database": job.database,
            "collection": job.collection,
            "epoch": job.epoch,
        }
        try:
            with observer.step("job", facts, job.trace):
                if runs_along:
                    observer.moved(job)  # by start_planning
                    self._committer.expect(job)
                leased = LeasedJob(self._context, job, stop)
                JobRun(leased, self._maintenance, self._committer, runs_along=runs_along).go()
        except LeaseLost:
            job_log.info("job.lease_lost", epoch=job.epoch)
            observer.lost(job)
        except TaskCancelled:
            job_log.info("job.paused")
            self._context.catalog.leases.release(job)
        finally:
            self._committer.forget(job)


class JobRun:
    """The steps of one leased job."""

    def __init__(
        self,
        leased: LeasedJob,
        maintenance: MaintenanceWorker,
        committer: Committer,
        *,
        runs_along: bool = False,
    ) -> None:
        self._leased = leased
        self._context = leased.context
        self._catalog = leased.context.catalog
        self._engines = leased.context.engines
        self._observer = leased.context.observer
        self._maintenance = maintenance
        self._committer = committer
        self._runs_along = runs_along
        self._planned: Mapping[int, Sequence[Location]] | None = None
        """The locations of the files, if the job was planned under this lease."""
        self._verified = VerifiedFiles()
        self._stored: PlannedWork | None = None
        """The plan as the catalog has it, if it is the job's first one and has reserved no ids."""
        self._collection: Collection | None = None
        """The collection as it was planned for, until the rows are staged."""
        org_id = self._catalog.clusters.get(leased.job.cluster_id).org_id
        self._runner = maintenance.fair_share.for_tenant(org_id)

    @property
    def job(self) -> ImportJob:
        return self._leased.job

    def go(self) -> None:
        steps: dict[JobState, Callable[[], None]] = {
            JobState.PENDING: self._start_planning,
            JobState.PLANNING: self._plan,
            JobState.IMPORTING: self._stage,
            JobState.COMMITTING: self._commit,
            JobState.INDEXING: self._index,
            JobState.REVERTING: self._revert,
        }
        while (step := steps.get(self.job.state)) is not None:
            try:
                step()
            except (LeaseLost, TaskCancelled, CatalogUnavailable):
                # An unavailable catalog does not fail the job: it is claimed again when the catalog is back.
                raise
            except SplitFailed as failure:
                self._leased.fail(failure.cause)
            except Exception as error:  # noqa: BLE001 - whatever it is, the job ends with it as its reason
                if self.job.state.is_committed:
                    self._release_for_retry(error)
                    return
                self._leased.fail(error)

    # The steps

    def _start_planning(self) -> None:
        self._leased.move(JobState.PLANNING, stage="planning", progress=max(self.job.progress, _PLANNING))

    def _plan(self) -> None:
        with self._observer.step("planning", {}):
            self._make_plan()

    def _make_plan(self) -> None:
        collection = self._leased.collection()
        plan = self._leased.retry(lambda: self._new_plan(collection), "planning", "planning the import")
        jobs, was_planned = self._catalog.jobs, not self.job.is_first_lease
        splits, stale = pack_splits(
            plan,
            split_bytes=self._context.settings.split_bytes,
            workers=self._runner.slots,
            locations=jobs.locations(self.job.id) if was_planned else {},
            # A dry run has staged nothing that another plan could use.
            splits=jobs.splits(self.job.id) if was_planned and not self.job.is_dry_run else [],
        )
        reserves_ids = collection.schema.auto_id and not self.job.is_dry_run
        if self.job.is_dry_run:
            self._catalog.leases.save_report(self.job, {"problems": plan_problems(plan)})
        self._leased.job = self._catalog.leases.save_plan(
            self.job,
            plan.files,
            splits,
            merge_warnings([self._leased.option_warnings(), list(plan.warnings)]),
            self._context.settings.quota,
            auto_id=reserves_ids,
            errors={} if self.job.is_dry_run else plan.errors,
        )
        self._planned = {ordinal: file.locations for ordinal, file in enumerate(plan.files)}
        if not (was_planned or plan.errors or reserves_ids):
            self._stored = PlannedWork.of_first_plan(plan.files, splits)
        self._collection = collection
        if stale:
            engine = self._engines.for_collection(collection)
            engine.discard(collection.id, [staged_of(split.staged) for split in stale])
        self._observer.moved(self.job)
        if self.job.size <= _SMALL_BYTES:
            self._committer.expect(self.job)

    def _new_plan(self, collection: Collection) -> Plan:
        self._leased.check_time()
        warnings: list[JobWarning] = []
        expected: list[ExpectedContent] = []
        if self.job.replays_rows:
            engine = self._engines.for_collection(collection)
            partition = self._leased.partition(collection)
            return plan_of_rows(self._catalog, engine, self.job, self._roots(), self._keys(), partition)
        request = self._catalog.jobs.request(self.job.id)
        files = resolve_files(
            request.groups,
            self._roots(request),
            self._keys(),
            warnings,
            self.job.options.get("from_format", ""),
            expected,
        )
        check_sizes(files, self._context.settings)
        if self._runs_along and sum(file.size for file in files) > _SMALL_BYTES:
            raise TaskCancelled("its files are not small: it waits until fewer jobs run")
        self._verify_checksums(expected)
        files = without_loaded(files, collection.id, self.job.options, self._catalog.loaded_files, warnings)
        plan = plan_ranges(
            files,
            collection.schema,
            self.job.options,
            self._context.settings,
            self._leased.partition(collection),
            self._run_plan_tasks,
            keep_errors=self.job.is_dry_run,
        )
        return replace(plan, warnings=merge_warnings([warnings, list(plan.warnings)]))

    def _stage(self) -> None:
        with self._observer.step("staging", {"bytes": self.job.size}):
            collection = self._collection or self._leased.collection()
            if self.job.is_dry_run:
                self._check(collection)
                return
            run = StagingRun(self._leased, self._runner, collection, self._planned_work())
            run.run()
            try:
                self._end_staging(collection, run)
            except CatalogUnavailable:
                raise  # the intent may be written or not
            except Exception:
                run.save()
                raise

    def _check(self, collection: Collection) -> None:
        """Check the splits of a dry run, and take the way of an import from here on, with nothing to publish."""
        checking = CheckingRun(self._leased, self._runner, collection, self._planned_work())
        checking.run()
        checking.save_progress()
        checking.check_budgets(is_complete=True)
        report = checking.report()
        self._catalog.leases.save_report(self.job, report.to_json())
        self._leased.move(
            JobState.COMMITTING, progress=COMMITTED, stage="committing", rows=report.rows, total_rows=report.rows
        )
        spool_of(self._context, self.job.id).drop()

    def _end_staging(self, collection: Collection, run: StagingRun) -> None:
        run.check_budgets(is_complete=True)
        current = self._catalog.collections.by_id(collection.id) or collection
        # Checked while the job may still fail: after the intent it is bound to its rows.
        self._leased.retry(
            partial(self._committer.refuse_damaged, current), "commit", "checking the table before the commit"
        )
        splits, rejects, skipped_files = run.staged_splits(), run.rejects(), run.skipped_files
        rows = sum(split.rows for split in splits)
        self._check_rows(collection, splits, rows)
        rejected = sum(sum(split.rows) for split in rejects)
        snapshot: dict[str, Any] = {
            "rows": rows,
            "total_rows": rows,
            "rejected_rows": rejected,
            "skipped_files": skipped_files,
            "reject_bytes": sum(split.size for split in rejects),
        }
        if rejected or skipped_files:
            kept = sum(split.kept for split in rejects)
            snapshot["warnings"] = [
                *self.job.warnings,
                *warnings_of_rejects(self.job, rejected, kept, skipped_files),
            ]
        snapshot["files"], snapshot["splits"] = run.changed_files(), run.unsaved_splits()
        self._leased.work = StagedWork(splits, run.empty_files(), run.wrote_table)
        if not self.job.auto_commit:
            self._leased.move(JobState.UNCOMMITTED, progress=UNCOMMITTED, stage="", **snapshot)
            return
        self._leased.move(
            JobState.COMMITTING, progress=COMMITTED, stage="committing", intent_version=current.version, **snapshot
        )

    def _check_rows(self, collection: Collection, splits: Sequence[Split], rows: int) -> None:
        """Check what a publish can no longer refuse. Raises DataError."""
        options = self._leased.write_options(collection)
        if options.mode is WriteMode.OVERWRITE and rows == 0:
            what = "the collection" if options.partition is None else f"the partition {self.job.partition}"
            raise DataError(
                f"the files have no rows, so that an overwrite would only empty {what}",
                remedy="Nothing was changed. To delete rows, drop the collection or the partition",
            )
        if options.duplicates is Duplicates.ERROR:
            engine, table = self._engines.for_collection(collection), Table.of(collection)
            # Of the run, not of the catalog: it may not have saved the only split yet.
            staged = [staged_of(split.staged) for split in splits if split.rows]
            duplicate = self._leased.retry(
                lambda: engine.find_duplicate(table, staged),
                "commit",
                "comparing the rows' keys",
            )
            if duplicate is not None:
                files = self._catalog.jobs.files(self.job.id)
                raise duplicate_key_error(duplicate, collection.schema.primary.name, files, splits)

    def _commit(self) -> None:
        if self.job.is_dry_run:
            self._leased.move(JobState.INDEXING)
            return
        self._committer.commit(self._leased)

    def _index(self) -> None:
        warnings = self._leased.warnings()
        if self.job.is_dry_run:
            self._complete(warnings)
            return
        if not self._context.settings.wait_for_index:
            self._complete(warnings)
            self._maintenance.request(self.job.collection_id)
            return
        try:
            self._committer.build_indexes(self._leased)
        except (LeaseLost, TaskCancelled, CatalogError):
            raise
        except Exception as error:  # noqa: BLE001 - else a committed job would be tried again for ever
            # The rows are visible and searched exactly without an index; it is built again in the background.
            self._maintenance.request(self.job.collection_id)
            self._leased.log.warning("job.index_failed", **logged(error))
            warnings.append(JobWarning(code="index_failed", message=f"the index was not built: {error}"))
        self._complete(warnings)

    def _complete(self, warnings: Sequence[JobWarning]) -> None:
        if not self._leased.verifies:
            self._leased.move(JobState.COMPLETED, progress=100, warnings=warnings)
            return
        verification, problems = verify_committed_rows(self._leased, self._runner, self._locations())
        self._leased.move(
            JobState.COMPLETED, progress=100, warnings=[*warnings, *problems], verification=verification
        )

    def _revert(self) -> None:
        with self._observer.step("revert", {"rows": self.job.rows}):
            if revert_leased(self._leased):
                self._maintenance.request(self.job.collection_id)

    def _release_for_retry(self, error: Exception) -> None:
        """Show the error as the job's reason and release the lease for a later retry: no failure after the intent.

        During the pause no process holds the job, so it takes no other job's place.
        """
        cause = error.__cause__ if isinstance(error, RetriesExhausted) and error.__cause__ else error
        self._leased.log.exception(
            "job.commit_retry_scheduled", exc_info=error, transient=isinstance(cause, Transient)
        )
        self._leased.show(cause)
        self._catalog.leases.release(self.job, pause_millis=int(MAX_BACKOFF_SECONDS * 1000))

    # Helpers

    def _verify_checksums(self, expected: Sequence[ExpectedContent]) -> None:
        """Verify the checksums of those files that aren't yet. Raises DataError."""
        while left := self._verified.missing(expected):
            try:
                self._verify_files(left, expected)
            except PenstockError as error:
                may_pass = isinstance(error, Transient) and not isinstance(error, CatalogError)
                if not may_pass or len(self._verified.missing(left)) == len(left):
                    raise
                # What was verified stays so: an attempt that went on doesn't count.
                self._leased.retrying("planning", error)
                self._leased.stop.wait(self._context.settings.retry_pause)
                self._leased.check_time()

    def _verify_files(self, left: Sequence[ExpectedContent], expected: Sequence[ExpectedContent]) -> None:
        size, size_left = (sum(content.location.size for content in contents) for contents in (expected, left))
        verified = size - size_left
        limit = self._context.settings.worker_memory
        tasks = [ChecksumTask(expected=content, memory_limit=limit) for content in left]

        def save(running: int) -> None:
            self._leased.save_verifying((verified + running) / max(size, 1))

        for content, file_size in zip(left, self._run_tasks(verify_checksums, tasks, save), strict=True):
            self._verified.add(content)
            verified += file_size

    def _run_plan_tasks(self, function: Callable[[Any, TaskContext], Any], tasks: Sequence[Any]) -> Iterable[Any]:
        return self._run_tasks(function, tasks, lambda _: self._leased.save_planning())

    def _run_tasks(
        self,
        function: Callable[[Any, TaskContext], Any],
        tasks: Sequence[Any],
        save: Callable[[int], None],
    ) -> Iterable[Any]:
        """Yield results in order, with a window of tasks in flight, whose bytes ``save`` is called with."""
        window: list[tuple[Any, TaskHandle[Any]]] = []
        try:
            for task in tasks:
                window.append((task, self._runner.submit(function, task)))
                if len(window) > self._runner.slots:
                    yield self._next_result(window, save)
            while window:
                yield self._next_result(window, save)
        finally:
            for _, handle in window:
                handle.cancel()

    def _next_result(self, window: list[tuple[Any, TaskHandle[Any]]], save: Callable[[int], None]) -> Any:
        while not wait([window[0][1].future], 0.2).done:
            self._leased.check_time()
            save(sum(handle.progress()[0] for _, handle in window))
        task, handle = window.pop(0)
        try:
            return handle.future.result()
        except MemoryExceeded as error:
            if "file" in error.details:
                raise
            raise too_large(file_at(task, handle.progress()[0]), error.details["taken"]) from error

    def _roots(self, request: JobRequest | None = None) -> ImportRoots:
        """The import roots allowed by the API keys that created or retried the job."""
        request = request or self._catalog.jobs.request(self.job.id)
        # With API keys in use, the reader of a failure reason may be a tenant and not the operator.
        roots = self._context.roots.within(request.roots, for_tenant=request.has_tenants)
        return roots.with_uploads(request.uploads)

    def _keys(self) -> StoreCredentials:
        return StoreCredentials(**self._catalog.jobs.secret(self.job.id) if self.job.has_credentials else {})

    def _planned_work(self) -> PlannedWork:
        jobs, job_id = self._catalog.jobs, self.job.id
        return self._stored or PlannedWork(jobs.files(job_id), self._locations(), jobs.splits(job_id))

    def _locations(self) -> Mapping[int, Sequence[Location]]:
        if self._planned is not None:
            return self._planned
        keys, roots = self._keys(), self._roots()
        return {
            ordinal: [roots.restore(location, keys.access_key, keys.secret_key, keys.token) for location in locations]
            for ordinal, locations in self._catalog.jobs.locations(self.job.id).items()
        }

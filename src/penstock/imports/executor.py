"""Run one job from its lease to its end: plan, stage, commit, index.

Every step is recorded in the catalog under the lease's fencing epoch: after a crash the next lease continues from the
last finished split, and a process that lost its lease changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog

from penstock.domain.collections import Collection
from penstock.domain.import_options import option_warnings
from penstock.domain.jobs import ImportJob, JobState, JobWarning, Split, SplitState, merge_warnings
from penstock.domain.names import DEFAULT_PARTITION
from penstock.engines.base import Engine, Published, Staged, Table
from penstock.errors import (
    CatalogError,
    CatalogFull,
    CatalogUnavailable,
    CollectionNotFound,
    JobWithdrawn,
    LeaseLost,
    MemoryExceeded,
    PenstockError,
    StoreError,
    StoreFull,
    TableDamaged,
    TaskCancelled,
    Transient,
)
from penstock.imports.cleanup import discard, overdue_reason
from penstock.imports.context import ImportContext, note_of, staged_of
from penstock.imports.maintenance import MaintenanceWorker
from penstock.imports.memory_budget import too_large
from penstock.imports.planner import Plan, plan_units, resolve_files
from penstock.imports.progress import COMMITTED, INDEXED, PLANNED, UNCOMMITTED, ProgressTracker
from penstock.imports.requests import StoreCredentials
from penstock.imports.retry import MAX_BACKOFF_SECONDS, RetriesExhausted, retry_transient
from penstock.imports.split_packing import join
from penstock.imports.staging import SplitFailed, stage_splits
from penstock.imports.tasks import PartTask, StageResult, StageTask, file_at
from penstock.imports.throttle import Throttle
from penstock.readers.base import CsvOptions
from penstock.readers.csv.reader import check_separator
from penstock.readers.formats import Format
from penstock.readers.unknown_columns import UnknownColumns
from penstock.runners.base import TaskContext, TaskHandle
from penstock.sources.base import Location
from penstock.sources.roots import ImportRoots

__all__ = ["Executor", "csv_options", "unknown_columns"]

log = structlog.get_logger(__name__)

RETRYING = "trying again after: "
"""Prefix of a job's reason while it is being retried."""

_LEASE_CHECK_SECONDS = 1.0
"""Seconds between lease checks of a job that makes no progress."""


def csv_options(options: Any) -> CsvOptions:
    """The CSV options of a create call."""
    return CsvOptions(separator=check_separator(options.get("sep") or ""), null_key=options.get("nullkey") or "")


def unknown_columns(options: Any) -> UnknownColumns:
    """The create call's policy for columns that are not fields."""
    return UnknownColumns(options.get("unknown_columns") or UnknownColumns.DYNAMIC)


class Executor:
    """Run leased jobs. Thread-safe; each call of :meth:`run` works on one job."""

    def __init__(self, context: ImportContext, maintenance: MaintenanceWorker) -> None:
        self._context = context
        self._maintenance = maintenance

    def run(self, job: ImportJob, stop: threading.Event) -> None:
        """Run a leased job until it has ended, waits for its commit, or ``stop`` is set."""
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
                JobRun(self._context, job, stop, self._maintenance).go()
        except LeaseLost:
            job_log.info("job.lease_lost", epoch=job.epoch)
            observer.lost(job)
        except TaskCancelled:
            job_log.info("job.paused")
            self._context.catalog.claims.release(job)


class JobRun:
    """The steps of one leased job."""

    def __init__(
        self, context: ImportContext, job: ImportJob, stop: threading.Event, maintenance: MaintenanceWorker
    ) -> None:
        self._context = context
        self._catalog = context.catalog
        self._claims = context.catalog.claims
        self._engines = context.engines
        self._stop = stop
        self._maintenance = maintenance
        self._observer = context.observer
        self._runner = maintenance.fair_share.for_tenant(self._catalog.clusters.get(job.cluster_id).org_id)
        self._log = log.bind(job_id=str(job.id), collection=job.collection, database=job.database)
        self.job = job
        self._saved = (-1, -1)
        self._lease_checks = Throttle(_LEASE_CHECK_SECONDS)

    def go(self) -> None:
        steps: dict[JobState, Callable[[], None]] = {
            JobState.PENDING: self._start_planning,
            JobState.PLANNING: self._plan,
            JobState.IMPORTING: self._stage,
            JobState.COMMITTING: self._commit,
            JobState.INDEXING: self._index,
        }
        while (step := steps.get(self.job.state)) is not None:
            try:
                step()
            except (LeaseLost, TaskCancelled, CatalogUnavailable):
                # An unavailable catalog does not fail the job: it is claimed again when the catalog is back.
                raise
            except SplitFailed as failure:
                self._fail(failure.cause)
            except Exception as error:  # noqa: BLE001 - whatever it is, the job ends with it as its reason
                if self.job.state.is_committed:
                    self._release_for_retry(error)
                    return
                self._fail(error)

    # The steps

    def _start_planning(self) -> None:
        self._move(JobState.PLANNING, stage="planning")

    def _plan(self) -> None:
        with self._observer.step("planning", {}):
            self._make_plan()

    def _make_plan(self) -> None:
        collection = self._collection()
        plan = retry_transient(
            lambda: self._new_plan(collection),
            "planning the import",
            self._context.settings,
            self._stop,
            lambda error: self._retrying("planning", error),
        )
        jobs = self._catalog.jobs
        split_plan = join(
            plan,
            split_bytes=self._context.settings.split_bytes,
            workers=self._runner.slots,
            auto_id=collection.schema.auto_id,
            files=jobs.locations(self.job.id),
            splits=jobs.splits(self.job.id),
        )
        warnings = merge_warnings([self._option_warnings(), list(plan.warnings)])
        self.job = self._claims.save_plan(
            self.job, split_plan.files, split_plan.splits, warnings, self._context.settings.quota
        )
        stale = [staged_of(split.staged) for split in split_plan.stale]
        self._engines.for_collection(collection).discard(collection.id, stale)
        self._observer.moved(self.job)

    def _new_plan(self, collection: Collection) -> Plan:
        self._check_time()
        self._save_planning()
        warnings: list[JobWarning] = []
        units = resolve_files(self._catalog.jobs.groups(self.job.id), self._roots(), self._keys(), warnings)
        plan = plan_units(
            units,
            collection.schema,
            csv_options(self.job.options),
            unknown_columns(self.job.options),
            self._context.settings,
            self._partition(collection),
            self._run_plan_tasks,
        )
        return replace(plan, warnings=merge_warnings([warnings, list(plan.warnings)]))

    def _stage(self) -> None:
        with self._observer.step("staging", {"bytes": self.job.size}):
            self._stage_all()

    def _stage_all(self) -> None:
        collection = self._collection()
        engine = self._engines.for_collection(collection)
        jobs = self._catalog.jobs
        splits = jobs.splits(self.job.id)
        tracker = ProgressTracker(jobs.files(self.job.id), splits)
        partitions = [partition.number for partition in self._catalog.collections.partitions(collection.id)]
        locations = self._locations()

        def task_of(split: Split) -> StageTask:
            return StageTask(
                engine=engine,
                table=Table.of(collection),
                job_id=self.job.id,
                parts=[
                    PartTask(
                        locations=locations[part.file],
                        format=Format(part.spec["format"]),
                        spec=part.spec["part"],
                        size=part.size,
                        columns=part.spec.get("columns", {}),
                    )
                    for part in split.parts
                ],
                csv=csv_options(self.job.options),
                unknown_columns=unknown_columns(self.job.options),
                batch_bytes=self._context.settings.batch_bytes,
                memory_limit=self._context.settings.worker_memory,
                partitions=partitions if (number := split.parts[0].spec["partition"]) is None else [number],
                auto_id_start=split.auto_id_start,
            )

        def save(split: Split, result: StageResult) -> None:
            staged = result.staged
            self._claims.save_split(
                self.job, split.ordinal, rows=result.rows, staged=note_of(staged), warnings=result.warnings
            )
            self._show(None)

        try:
            stage_splits(
                splits,
                runner=self._runner,
                tracker=tracker,
                settings=self._context.settings,
                stop=self._stop,
                task_of=task_of,
                begin=lambda split: self._claims.count_attempt(self.job, split.ordinal),
                save=save,
                tick=lambda: self._tick(tracker),
                discard=lambda staged: engine.discard(collection.id, [staged]),
                retrying=lambda error: self._retrying("split", error),
                observer=self._observer,
            )
        except SplitFailed as failure:
            if isinstance(failure.cause, CatalogUnavailable):
                raise failure.cause from failure
            tracker.failed(failure.file, str(failure.cause))
            self._save_progress(tracker)
            raise
        self._save_progress(tracker)
        self._end_staging(collection)

    def _end_staging(self, collection: Collection) -> None:
        current = self._reload(collection)
        if (engine := self._engines.maintainable(current)) is not None:
            # Checked while the job may still fail: after the intent it is bound to its rows.
            retry_transient(
                partial(engine.refuse_damaged, Table.of(current)),
                "checking the table before the commit",
                self._context.settings,
                self._stop,
                lambda error: self._retrying("commit", error),
            )
        rows = sum(split.rows for split in self._catalog.jobs.splits(self.job.id))
        snapshot = {"rows": rows, "total_rows": rows}
        if not self.job.auto_commit:
            self._move(JobState.UNCOMMITTED, progress=UNCOMMITTED, stage="", **snapshot)
            return
        self._move(
            JobState.COMMITTING, progress=COMMITTED, stage="committing", intent_version=current.version, **snapshot
        )

    def _commit(self) -> None:
        collection = self._catalog.collections.by_id(self.job.collection_id)
        if collection is None:
            self._end_dropped()
            return
        intent = self.job.intent_version or collection.version
        engine = self._engines.for_collection(collection)
        table = replace(Table.of(collection), version=intent)
        expires = collection.settings.ttl_seconds is not None
        if expires:
            self._catalog.row_expiry.begin(collection.id, self.job.id)
        try:
            with self._observer.step("commit", {"rows": self.job.rows}):
                result = self._publish_with_retries(engine, table)
        except CollectionNotFound:
            self._end_dropped()
            return
        except (RetriesExhausted, JobWithdrawn) as error:
            if isinstance(error.__cause__, Transient | StoreFull):
                raise  # still transient
            publication = self._withdraw(engine, table, error)
            if publication is None:
                return
            result = publication
        self._observer.published(result.rows, self.job.size)
        self._catalog.collections.raise_version(collection.id, result.version)
        if expires:
            self._catalog.row_expiry.committed(collection.id, self.job.id)
        # A job with two-phase commit has been at 99 % since it began to wait for the commit.
        progress = max(self.job.progress, COMMITTED)
        self._move(JobState.INDEXING, stage="indexing", progress=progress)

    def _publish_with_retries(self, engine: Engine, table: Table) -> Published:
        return retry_transient(
            lambda: self._publish(engine, table),
            "making the rows visible",
            self._context.settings,
            self._stop,
            lambda error: self._retrying("commit", error),
            "None of the job's rows are visible. Retry the job when the cause is fixed",
            (Transient, StoreError),
        )

    def _publish(self, engine: Engine, table: Table) -> Published:
        if self._stop.is_set():
            raise TaskCancelled("the server is stopping; the rows become visible after its restart")
        self._collection()
        return engine.publish(table, self.job.id, self.job.epoch, self._staged())

    def _staged(self) -> list[Staged]:
        return [
            staged_of(split.staged)
            for split in self._catalog.jobs.splits(self.job.id)
            if split.state is SplitState.STAGED and split.rows
        ]

    def _withdraw(self, engine: Engine, table: Table, error: PenstockError) -> Published | None:
        """Withdraw the intent and fail the job with ``error``; return what was published if the rows are visible.

        See docs/decisions/0012-withdrawing-an-intent.md.
        """
        cause = error.__cause__ or error
        try:
            version = engine.withdraw(table, self.job.id, self.job.epoch, self._staged())
        except TableDamaged as damage:
            # No version can be opened. The files stay: a restored backup may refer to them.
            self._log.error("job.not_withdrawn", error=str(damage))
            self._fail(error, keep_files=True)
            return None
        if isinstance(version, Published):
            return version
        self._catalog.collections.raise_version(table.id, version)
        self._fail(error)
        if not isinstance(cause, TableDamaged | JobWithdrawn):
            # The staged files may be at fault; a retry stages all of them again.
            discard(self._context, self.job.collection_id, self.job.id)
        return None

    def _end_dropped(self) -> None:
        """End a job whose collection was dropped after the intent: failed, or completed if it may have committed."""
        if self.job.reason is not None:
            self._fail(CollectionNotFound(f"collection {self.job.collection} dropped"))
        else:
            self._move(JobState.INDEXING, stage="")

    def _index(self) -> None:
        warnings = merge_warnings([list(self.job.warnings), *self._catalog.jobs.split_warnings(self.job.id)])
        if not self._context.settings.wait_for_index:
            self._complete(warnings)
            self._maintenance.request(self.job.collection_id)
            return
        try:
            self._maintenance.build(self.job.collection_id, self._stop, self._save_indexing)
        except (LeaseLost, TaskCancelled, CatalogError):
            raise
        except PenstockError as error:
            # The rows are visible and searched exactly without an index; it is built again in the background.
            self._maintenance.request(self.job.collection_id)
            self._log.warning("job.index_failed", error=str(error))
            warnings.append(JobWarning(code="index_failed", message=f"the index was not built: {error}"))
        self._complete(warnings)

    def _complete(self, warnings: Sequence[JobWarning]) -> None:
        self._move(JobState.COMPLETED, progress=100, warnings=warnings)

    # Failure and retry

    def _fail(self, error: BaseException, *, keep_files: bool = False) -> None:
        reason = str(error)
        if not isinstance(error, PenstockError):
            self._log.exception("job.error", exc_info=error)
            reason = f"internal error: {type(error).__name__}: {error}"
        is_planned = self.job.state not in (JobState.PENDING, JobState.PLANNING)
        job_warnings = list(self.job.warnings) if is_planned else self._option_warnings()
        warnings = merge_warnings([job_warnings, *self._catalog.jobs.split_warnings(self.job.id)])
        self._move(JobState.FAILED, reason=reason, warnings=warnings, keep_files=keep_files)
        if isinstance(error, CatalogFull | StoreFull):
            # Its staged files take the space that other jobs need; a retry stages them again.
            discard(self._context, self.job.collection_id, self.job.id)

    def _release_for_retry(self, error: Exception) -> None:
        """Show the error as the job's reason and release the lease for a later retry: no failure after the intent.

        During the pause no process holds the job, so it takes no other job's place.
        """
        cause = error.__cause__ if isinstance(error, RetriesExhausted) and error.__cause__ else error
        self._log.exception("job.commit_retry_scheduled", exc_info=error, transient=isinstance(cause, Transient))
        self._show(cause)
        self._claims.release(self.job, pause_millis=int(MAX_BACKOFF_SECONDS * 1000))

    # Helpers

    def _option_warnings(self) -> list[JobWarning]:
        options = self.job.options
        return list(option_warnings(options, options.get("sep") or ""))

    def _move(self, then: JobState, **values: Any) -> None:
        self.job = self._claims.move(self.job, then, **{"reason": None, **values})
        self._observer.moved(self.job)

    def _retrying(self, step: str, error: BaseException) -> None:
        self._observer.retrying(step, error)
        self._show(error)

    def _show(self, error: BaseException | None) -> None:
        """Set the job's reason to the error that is being retried; clear it with None."""
        reason = None if error is None else f"{RETRYING}{error}"
        if reason == self.job.reason:
            return
        with suppress(CatalogFull):  # a status text must not fail the job
            self._claims.save_reason(self.job, reason)
            self.job = replace(self.job, reason=reason)

    def _tick(self, tracker: ProgressTracker) -> None:
        self._check_time()
        self._save_progress(tracker)

    def _check_time(self) -> None:
        if self._stop.is_set():
            raise TaskCancelled("the server is stopping")
        if self.job.deadline is not None and datetime.now(UTC) > self.job.deadline:
            raise JobTimedOut(overdue_reason(self.job))

    def _save_planning(self) -> None:
        self._claims.save_progress(self.job, progress=PLANNED // 2, rows=0, total_rows=0, stage="planning")

    def _save_progress(self, tracker: ProgressTracker) -> None:
        progress, rows, files = tracker.snapshot()
        if not files and (progress, rows) == self._saved:
            self._verify_lease()
            return
        self._saved = (progress, rows)
        self._claims.save_progress(
            self.job, progress=progress, rows=rows, total_rows=rows, stage="importing", files=files
        )

    def _save_indexing(self, share: float) -> None:
        progress = COMMITTED + int((INDEXED - COMMITTED) * share)
        if (progress, self.job.rows) == self._saved:
            self._verify_lease()
            return
        self._saved = (progress, self.job.rows)
        self._claims.save_progress(
            self.job, progress=progress, rows=self.job.rows, total_rows=self.job.total_rows, stage="indexing"
        )

    def _verify_lease(self) -> None:
        """Check the lease while there is no progress to save: saving would detect an abort or a takeover."""
        if self._lease_checks.is_ready():
            self._claims.check(self.job)

    def _run_plan_tasks(self, function: Callable[[Any, TaskContext], Any], tasks: Sequence[Any]) -> Iterable[Any]:
        """Yield results in order, with a window of tasks in flight."""
        window: list[tuple[Any, TaskHandle[Any]]] = []
        try:
            for task in tasks:
                window.append((task, self._runner.submit(function, task)))
                if len(window) > self._runner.slots:
                    yield self._next_result(window)
            while window:
                yield self._next_result(window)
        finally:
            for _, handle in window:
                handle.cancel()

    def _next_result(self, window: list[tuple[Any, TaskHandle[Any]]]) -> Any:
        while not _wait(window[0][1], 0.2):
            self._check_time()
            self._save_planning()
        task, handle = window.pop(0)
        try:
            return handle.future.result()
        except MemoryExceeded as error:
            if "file" in error.details:
                raise
            raise too_large(file_at(task, handle.progress()[0]), error.details["taken"]) from error

    def _collection(self) -> Collection:
        collection = self._catalog.collections.by_id(self.job.collection_id)
        if collection is None:
            raise CollectionNotFound(f"collection {self.job.collection} dropped", collection=self.job.collection)
        return collection

    def _reload(self, collection: Collection) -> Collection:
        return self._catalog.collections.by_id(collection.id) or collection

    def _roots(self) -> ImportRoots:
        """The import roots allowed by the API keys that created or retried the job."""
        limits = self._catalog.jobs.roots(self.job.id)
        # With API keys in use, the reader of a failure reason may be a tenant and not the operator.
        return self._context.roots.within(limits, for_tenant=self._catalog.accounts.any_made())

    def _keys(self) -> StoreCredentials:
        return StoreCredentials(**self._catalog.jobs.secret(self.job.id))

    def _locations(self) -> dict[int, list[Location]]:
        keys, roots = self._keys(), self._roots()
        return {
            ordinal: [roots.restore(location, keys.access_key, keys.secret_key, keys.token) for location in locations]
            for ordinal, locations in self._catalog.jobs.locations(self.job.id).items()
        }

    def _partition(self, collection: Collection) -> int | None:
        """The partition of all rows; None where the partition key decides per row."""
        if collection.schema.partition_key:
            return None
        return self._catalog.collections.partition(collection.id, self.job.partition or DEFAULT_PARTITION).number


class JobTimedOut(PenstockError):
    code = "import_timeout"


def _wait(handle: TaskHandle[Any], seconds: float) -> bool:
    """Whether the task ended within ``seconds``."""
    ended = threading.Event()
    handle.future.add_done_callback(lambda _: ended.set())
    return ended.wait(seconds)

"""The commit of a leased job after its intent: its publish, and what the catalog records of it."""

from __future__ import annotations

from dataclasses import replace

from penstock.domain.collections import Collection
from penstock.domain.jobs import ImportJob
from penstock.domain.write_modes import WriteMode, WriteOptions
from penstock.engines.values import MaintenanceNeeds, Publication, Published, Table
from penstock.errors import (
    CollectionNotFound,
    JobWithdrawn,
    StorageError,
    StorageFull,
    TaskCancelled,
    Transient,
)
from penstock.imports.context import ImportContext
from penstock.imports.group_publication import GroupPublisher, may_be_grouped
from penstock.imports.leased_job import LeasedJob
from penstock.imports.maintenance import MaintenanceWorker
from penstock.imports.once_per_version import OncePerVersion
from penstock.imports.progress import COMMITTED
from penstock.imports.retry import RetriesExhausted
from penstock.imports.withdrawal import withdraw_intent


class Committer:
    """Commits the jobs of a process. Thread-safe."""

    def __init__(self, context: ImportContext, maintenance: MaintenanceWorker) -> None:
        self._context = context
        self._catalog = context.catalog
        self._maintenance = maintenance
        self._publisher = GroupPublisher()
        self._checks: OncePerVersion[None] = OncePerVersion()
        self._needs: OncePerVersion[MaintenanceNeeds] = OncePerVersion()
        self._builds: OncePerVersion[None] = OncePerVersion()

    def expect(self, job: ImportJob) -> None:
        """Have other commits of the collection wait for a small job, if it may share one of them."""
        if job.auto_commit and not job.is_dry_run and may_be_grouped(WriteOptions.of(job.options, None)):
            self._publisher.expect(job.collection_id, job.id)

    def forget(self, job: ImportJob) -> None:
        """Expect a job no longer, which has ended or is paused."""
        self._publisher.forget(job.id)

    def refuse_damaged(self, collection: Collection) -> None:
        """Raises TableDamaged as :meth:`MaintainableEngine.refuse_damaged`."""
        engine = self._context.engines.maintainable(collection)
        if engine is not None:
            table = Table.of(collection)
            self._checks.run(table.id, table.version, lambda: engine.refuse_damaged(table))

    def commit(self, leased: LeasedJob) -> None:
        """Publish a job, and move it on to Indexing; to Completed, if that is all that is left.

        It fails if it can't be published, and is withdrawn.
        """
        job = leased.job
        collection = self._catalog.collections.by_id(job.collection_id)
        if collection is None:
            leased.end_dropped()
            return
        expires = collection.settings.ttl_seconds is not None
        if expires:
            self._catalog.row_expiry.begin(collection.id, job.id)
        try:
            result = self._published(leased, collection)
        except CollectionNotFound:
            leased.end_dropped()
            return
        if result is None:
            return
        self._context.observer.published(result.rows, job.size)
        if expires:
            # The time to live begins once readers see the rows.
            self._catalog.collections.raise_version(collection.id, result.version)
            self._catalog.row_expiry.committed(collection.id, job.id)
        self._record(leased, replace(collection, version=max(collection.version, result.version)), result)

    def build_indexes(self, leased: LeasedJob) -> None:
        """Bring the indexes up to date with a published job; raises as :meth:`MaintenanceWorker.build`."""
        job = leased.job

        def build() -> None:
            self._maintenance.build(job.collection_id, leased.stop, leased.save_indexing)

        if job.published_version is None:  # its collection was dropped
            build()
        else:
            self._builds.run(job.collection_id, job.published_version, build)

    def _published(self, leased: LeasedJob, collection: Collection) -> Published | None:
        """What the job published; None if it has been withdrawn. Raises CollectionNotFound."""
        job = leased.job
        engine = self._context.engines.for_collection(collection)
        intent = job.intent_version or collection.version
        table = replace(Table.of(collection, self._catalog.row_expiry.of(collection)), version=intent)
        options = leased.write_options(collection)

        attempts = 0

        def attempt() -> Published:
            nonlocal attempts
            if leased.stop.is_set():
                raise TaskCancelled("the server is stopping; the rows become visible after its restart")
            if attempts:
                leased.collection()  # it may have been dropped since it was read
            attempts += 1
            publication = Publication(
                job_id=job.id,
                epoch=job.epoch,
                intent_version=intent,
                staged=leased.staged(),
                own_intent=leased.work is not None and leased.work.wrote_table,
            )
            return self._publisher.publish(engine, table, publication, options)

        try:
            with self._context.observer.step("commit", {"rows": job.rows}):
                return leased.retry(
                    attempt,
                    "commit",
                    "making the rows visible",
                    "None of the job's rows are visible. Retry the job when the cause is fixed",
                    (Transient, StorageError),
                )
        except (RetriesExhausted, JobWithdrawn) as error:
            if isinstance(error.__cause__, Transient | StorageFull):
                raise  # still transient
            return withdraw_intent(leased, engine, table, error)

    def _record(self, leased: LeasedJob, collection: Collection, result: Published) -> None:
        job = leased.job
        replaced = 0 if leased.write_options(collection).mode is WriteMode.APPEND else result.replaced
        visible = replace(job, rows=result.rows, published_version=result.version, replaced_rows=replaced)
        warnings = leased.warnings(visible) if self._nothing_is_left(leased, collection) else None
        leased.move_published(
            result.version,
            warnings,
            # A job with two-phase commit has been at 99 % since it began to wait for the commit.
            progress=max(job.progress, COMMITTED),
            rows=result.rows,
            replaced_rows=replaced,
        )

    def _nothing_is_left(self, leased: LeasedJob, collection: Collection) -> bool:
        """Whether neither an index is due after the commit nor anything else that belongs to the step Indexing."""
        settings = self._context.settings
        if leased.verifies or not settings.wait_for_index or collection.settings.ttl_seconds is not None:
            return False
        engine = self._context.engines.maintainable(collection)
        if engine is None:
            return True

        def look() -> MaintenanceNeeds:
            needs = engine.due(Table.of(collection), self._catalog.collections.indexes(collection.id))
            if (needs.compaction or needs.optimization) and not needs.index:
                self._maintenance.request(collection.id)
            return needs

        try:
            return not self._needs.run(collection.id, collection.version, look).index
        except Exception:  # noqa: BLE001 - the step Indexing looks again, and reports it
            return False

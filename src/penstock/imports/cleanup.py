"""Tidying up: jobs past their time, staged files nobody wants any more, dropped tables, orphans, expired keys."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress

import structlog

from penstock.catalog.db.connection import now_millis
from penstock.catalog.db.errors import CatalogUnavailable
from penstock.catalog.jobs.ending import end_jobs
from penstock.domain.jobs import ImportJob, JobState
from penstock.engines.base import Table
from penstock.errors import JobStateConflict, PenstockError, StoreError
from penstock.imports.context import ImportContext, staged_of

__all__ = [
    "OrphanCleanup",
    "Retention",
    "delete_expired_idempotency_keys",
    "delete_staged_files",
    "drop_tables",
    "fail_overdue_jobs",
    "overdue_reason",
    "purge_deleted_secrets",
]

log = structlog.get_logger(__name__)

_SWEEP_SECONDS = 24 * 3600.0
_RETENTION_SECONDS = 600.0
_BETWEEN_BATCHES = 0.05


def overdue_reason(job: ImportJob) -> str:
    """Why a job fails that is past its deadline; begins as Milvus's reason."""
    until = "in time" if job.deadline is None else f"by {job.deadline:%Y-%m-%d %H:%M:%S} UTC"
    return (
        f"import timeout: the job was not finished {until}; waiting counts. Retry it, or give it longer by its "
        'option timeout, such as "96h"; the server\'s setting job_timeout is for jobs without that option'
    )


def fail_overdue_jobs(context: ImportContext) -> None:
    """Fail the jobs that are past their deadline: those that wait in the queue or for their commit, too."""
    for job in context.catalog.jobs.overdue():
        # One that moved on a moment ago, and is still unfinished, is found by the next look.
        with suppress(JobStateConflict):
            context.catalog.jobs.request_transition(job, JobState.FAILED, reason=overdue_reason(job))


def delete_staged_files(context: ImportContext) -> None:
    """Remove what aborted jobs have staged, and failed ones once nobody may retry them from there.

    The catalog forgets the files before they go, so that a retry can't count on what is being removed.
    """
    failed_before = now_millis() - int(context.settings.staged_file_retention * 1000)
    for job in context.catalog.staged_files.find(failed_before):
        discard(context, job.collection_id, job.id)


def discard(context: ImportContext, collection_id: str, job_id: int) -> None:
    """Remove what a failed or aborted job has staged."""
    staged = [staged_of(note) for note in context.catalog.staged_files.take(job_id)]
    store = context.catalog.collections.store_of(collection_id)
    if store is not None:  # the files of a forgotten collection went with it
        context.engine.discard(collection_id, staged, store)
    log.info("job.staged_files_deleted", job_id=str(job_id), splits=len(staged))


def drop_tables(context: ImportContext) -> None:
    """Remove the tables of dropped collections, once none of their jobs lives."""
    collections, jobs = context.catalog.collections, context.catalog.jobs
    for collection_id in collections.dropped():
        if live := jobs.live_of(collection_id):
            # Who drops a collection ends its jobs; a process that died in between has left them to us.
            end_jobs(jobs, collection_id, f"collection {live[0].collection} dropped")
        if jobs.live_jobs(collection_id):
            continue  # they have come to their commit, and end by themselves
        lease = context.catalog.maintenance.take(
            collection_id, uuid.uuid4().hex, int(context.settings.lease_duration * 1000)
        )
        if lease is None:
            # Its indexes are being built, or another server is about to drop it.
            continue
        try:
            context.engine.drop(collection_id, collections.store_of(collection_id) or "")
        except PenstockError:
            log.exception("collection.drop_failed", collection_id=collection_id)
            context.catalog.maintenance.release(lease)
            continue
        collections.forget(collection_id)
        log.info("collection.dropped", collection_id=collection_id)


def purge_deleted_secrets(context: ImportContext) -> None:
    """Leave no copy of the credentials of jobs that have ended."""
    context.catalog.database.purge_wal()


def delete_expired_idempotency_keys(context: ImportContext) -> None:
    context.catalog.jobs.forget_expired_keys()


class Retention:
    """Forgets jobs that ended long ago: looks once in a while, and goes on in small steps while there are any."""

    def __init__(self, context: ImportContext) -> None:
        self._context = context
        self._looked = float("-inf")

    def __call__(self, stop: threading.Event) -> None:
        if time.monotonic() - self._looked < _RETENTION_SECONDS:
            return
        settings, catalog = self._context.settings, self._context.catalog
        # While its key is remembered, a repeated create call gets the job.
        age = max(settings.retention, settings.key_lifetime)
        for cluster_id in catalog.clusters.ids():
            before = now_millis() - int(age * 1000)
            forgotten = 0
            while count := catalog.retention.forget_jobs(cluster_id, before, settings.min_retained_jobs):
                forgotten += count
                # Others write in between.
                if stop.wait(_BETWEEN_BATCHES):
                    return
            if forgotten:
                log.info("jobs.expired", cluster_id=cluster_id, jobs=forgotten)
        self._looked = time.monotonic()


class OrphanCleanup:
    """Removes files that a crash has left: staged, but noted nowhere. Looks at every collection once a day."""

    def __init__(self, context: ImportContext) -> None:
        self._context = context
        self._done: dict[str, float] = {}

    def __call__(self) -> None:
        tables = self._tables()
        self._done = {table.id: self._done[table.id] for table in tables if table.id in self._done}
        for table in tables:
            if time.monotonic() - self._done.get(table.id, float("-inf")) <= _SWEEP_SECONDS:
                continue
            try:
                looked = self.sweep(table)
            except CatalogUnavailable:
                raise
            except StoreError as error:  # it may be of one tenant only
                log.warning("orphan_scan.skipped", collection_id=table.id, error=str(error))
                looked = True
            if looked:
                self._done[table.id] = time.monotonic()

    def sweep(self, table: Table) -> bool:
        """Whether the collection could be looked at: one with unfinished jobs, or under maintenance, can't.

        What the catalog knows is read before the engine looks at what is visible: a file that is published between
        the two is seen by the one or by the other.
        """
        catalog = self._context.catalog
        if catalog.jobs.live_jobs(table.id) or catalog.maintenance.is_locked(table.id):
            return False
        known = [staged_of(note) for note in catalog.staged_files.staged_of(table.id)]
        orphans = self._context.engine.orphans(table, known, self._context.settings.orphan_age)
        if orphans is not None and not catalog.jobs.live_jobs(table.id):
            self._context.engine.discard(table.id, [orphans], table.store)
            log.warning("orphan_files.deleted", collection_id=table.id, size=orphans.size, note=orphans.note)
        return True

    def _tables(self) -> Sequence[Table]:
        catalog = self._context.catalog
        return [
            Table.of(collection)
            for cluster_id in catalog.clusters.ids()
            for database in catalog.databases.list(cluster_id)
            for collection in catalog.collections.list(database)
        ]

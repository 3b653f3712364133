"""Cleanup of overdue jobs, unused staged files, dropped tables, orphan files, expired keys and old jobs."""

from __future__ import annotations

import threading
import time
import uuid
from contextlib import suppress

import structlog

from penstock.catalog.collections.added_fields import finish_added_field
from penstock.catalog.db.connection import now_millis
from penstock.domain.collections import Collection
from penstock.domain.jobs import ImportJob, JobState
from penstock.engines.values import Table
from penstock.errors import JobStateConflict, PenstockError, StorageError
from penstock.imports.context import ImportContext, staged_of
from penstock.imports.throttle import Throttle

log = structlog.get_logger(__name__)

_ORPHAN_SCAN_SECONDS = 24 * 3600.0
_ORPHAN_ROUND_SECONDS = 600.0
"""Interval in which collections are looked through for those to scan: each create call wakes the cleanup."""
_RETENTION_SECONDS = 600.0
_BATCH_PAUSE_SECONDS = 0.05
_INTERRUPTED_MILLIS = 30_000
"""Age from which on an unfinished addition of a field is taken for interrupted: most take less than a second, and two
processes that finish the same one only work twice."""


def overdue_reason(job: ImportJob) -> str:
    """The failure reason of an overdue job; begins like Milvus's."""
    until = "in time" if job.deadline is None else f"by {job.deadline:%Y-%m-%d %H:%M:%S} UTC"
    return (
        f"import timeout: the job was not finished {until}, including waiting time. Retry it, or raise its "
        'option timeout, for example "96h"; the setting job_timeout applies to jobs without that option'
    )


def fail_overdue_jobs(context: ImportContext) -> None:
    """Fail the jobs past their deadline, including those that wait in the queue or for their commit."""
    for job in context.catalog.jobs.overdue():
        # A job whose state just changed, and that is still unfinished, is failed by the next run.
        with suppress(JobStateConflict):
            context.catalog.jobs.request_transition(job, JobState.FAILED, reason=overdue_reason(job))


def delete_staged_files(context: ImportContext) -> None:
    """Delete the staged files of aborted jobs, and of failed ones after ``staged_file_retention``.

    The catalog's records are removed first, so that a retry can't reuse files that are being deleted.
    """
    failed_before = now_millis() - int(context.settings.staged_file_retention * 1000)
    for job in context.catalog.staged_files.find(failed_before):
        try:
            discard(context, job.collection_id, job.id)
        except StorageError as error:  # may affect one tenant only
            log.warning("job.staged_files_left", job_id=str(job.id), error=str(error))


def discard(context: ImportContext, collection_id: str, job_id: int) -> None:
    """Delete the staged files of a failed or aborted job."""
    collection = context.catalog.collections.by_id_with_dropped(collection_id)
    # Before the catalog forgets the files: without the engine they stay.
    engine = None if collection is None else context.engines.for_collection(collection)
    staged = [staged_of(note) for note in context.catalog.staged_files.take(job_id)]
    if engine is not None:  # a collection that is no longer in the catalog has no files left
        engine.discard(collection_id, staged)
    log.info("job.staged_files_deleted", job_id=str(job_id), splits=len(staged))


def drop_tables(context: ImportContext) -> None:
    """Delete the tables of dropped collections that have no live jobs."""
    collections, jobs = context.catalog.collections, context.catalog.jobs
    for collection in collections.dropped():
        if live := jobs.live_of(collection.id):
            # The drop call ends the jobs; a process that died in between left them.
            jobs.fail_unfinished(collection.id, f"collection {live[0].collection} dropped")
        if jobs.live_jobs(collection.id):
            continue  # they are committing, and end by themselves
        lease = context.catalog.maintenance.take(
            collection.id, uuid.uuid4().hex, int(context.settings.lease_duration * 1000)
        )
        if lease is None:
            # Its indexes are being built, or another server is dropping it.
            continue
        try:
            context.engines.for_collection(collection).drop(collection.id)
        except PenstockError:
            log.exception("collection.drop_failed", collection_id=collection.id)
            context.catalog.maintenance.release(lease)
            continue
        collections.forget(collection.id)
        log.info("collection.dropped", collection_id=collection.id)


def finish_added_fields(context: ImportContext) -> None:
    """Finish the additions of fields that a process began and, as it seems, didn't survive."""
    for collection_id, field in context.catalog.added_fields.unfinished(_INTERRUPTED_MILLIS):
        collection = context.catalog.collections.by_id(collection_id)
        if collection is None:
            continue
        try:
            finish_added_field(context.catalog.database, context.engines, collection, field)
        except StorageError as error:  # may affect one tenant only
            log.warning("field.not_added", collection_id=collection_id, field=field.name, error=str(error))
        else:
            log.info("field.added", collection_id=collection_id, field=field.name)


def purge_deleted_secrets(context: ImportContext) -> None:
    """Purge the write-ahead log, so that no copy of the credentials of ended jobs remains."""
    context.catalog.database.purge_wal()


def delete_expired_idempotency_keys(context: ImportContext) -> None:
    context.catalog.jobs.forget_expired_keys()


class Retention:
    """Delete finished jobs after their retention: every ten minutes, in small batches."""

    def __init__(self, context: ImportContext) -> None:
        self._context = context
        self._last_run = float("-inf")

    def __call__(self, stop: threading.Event) -> None:
        if time.monotonic() - self._last_run < _RETENTION_SECONDS:
            return
        settings, catalog = self._context.settings, self._context.catalog
        # A repeated create call gets the job while its idempotency key lives.
        age = max(settings.retention, settings.key_lifetime)
        for cluster_id in catalog.clusters.ids():
            before = now_millis() - int(age * 1000)
            total = 0
            while count := catalog.retention.forget_jobs(cluster_id, before, settings.min_retained_jobs):
                total += count
                # Let other transactions write in between.
                if stop.wait(_BATCH_PAUSE_SECONDS):
                    return
            while count := catalog.exports.forget(cluster_id, before):
                total += count
            if total:
                log.info("jobs.expired", cluster_id=cluster_id, jobs=total)
        self._last_run = time.monotonic()


class OrphanCleanup:
    """Delete orphan files of crashed processes: staged, but not in the catalog. Scans each collection once a day."""

    def __init__(self, context: ImportContext) -> None:
        self._context = context
        self._rounds = Throttle(_ORPHAN_ROUND_SECONDS)
        self._done: dict[str, float] = {}

    def __call__(self) -> None:
        if not self._rounds.is_ready():
            return
        collections = self._context.catalog.collections.all()
        self._done = {
            collection.id: self._done[collection.id] for collection in collections if collection.id in self._done
        }
        for collection in collections:
            if time.monotonic() - self._done.get(collection.id, float("-inf")) <= _ORPHAN_SCAN_SECONDS:
                continue
            # Before the scan: one that fails unforeseen ends this round, and must not end the next one, too.
            self._done[collection.id] = time.monotonic()
            try:
                self.delete_rejects(collection)
                if not self.sweep(collection):
                    del self._done[collection.id]
            except StorageError as error:  # may affect one tenant only
                log.warning("orphan_scan.skipped", collection_id=collection.id, error=str(error))

    def sweep(self, collection: Collection) -> bool:
        """Scan one collection; returns False without a scan where it has unfinished jobs or is under maintenance.

        The catalog is read before the engine's visible files: a file that is published between the two reads is seen
        by one of them.
        """
        engine, catalog = self._context.engines.maintainable(collection), self._context.catalog
        if engine is None:
            return True
        if catalog.jobs.live_jobs(collection.id) or catalog.maintenance.is_locked(collection.id):
            return False
        staged = [staged_of(note) for note in catalog.staged_files.staged_of(collection.id)]
        orphans = engine.orphans(Table.of(collection), staged, self._context.settings.orphan_age)
        if orphans is not None and not catalog.jobs.live_jobs(collection.id):
            engine.discard(collection.id, [orphans])
            log.warning("orphan_files.deleted", collection_id=collection.id, size=orphans.size, note=orphans.note)
        return True

    def delete_rejects(self, collection: Collection) -> None:
        """Delete the rejected rows of the jobs that the retention has deleted."""
        engine = self._context.engines.for_collection(collection)
        for job_id in engine.jobs_with_rejects(collection.id):
            if self._context.catalog.jobs.cluster_of(job_id) is None:
                engine.delete_rejects(collection.id, job_id)
                log.info("rejected_rows.deleted", collection_id=collection.id, job_id=str(job_id))

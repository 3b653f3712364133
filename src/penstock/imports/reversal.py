"""Whether a completed job can be reverted, and what its revert needs to know: see docs/decisions/0016-write-modes.md.

Of rows of the job that are missing the engine only knows how many: they may have expired, or have gone with their
partition, or a later job has replaced them. That is in the catalog: a job is recorded there before it publishes, so
that a query made after the rows were counted finds each job that may have replaced some of them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from penstock.catalog import Catalog
from penstock.domain.jobs import ImportJob, JobState, JobWarning, merge_warnings
from penstock.engines.base import Engine
from penstock.engines.registry import EngineRegistry
from penstock.engines.values import Published, Reversal, Reverted, Table
from penstock.errors import JobStateConflict, RevertImpossible, TableDamaged, TaskCancelled
from penstock.imports.leased_job import LeasedJob
from penstock.imports.settings import JobSettings

REVERTED_REASON = "reverted by user"


def check_revert(catalog: Catalog, engines: EngineRegistry, settings: JobSettings, job: ImportJob) -> None:
    """Check whether a completed job can be reverted now.

    Raises:
        JobStateConflict: it isn't completed, or its collection was dropped.
        RevertImpossible: a later job replaced rows of it, or what it replaced is no longer kept.
    """
    if job.state is not JobState.COMPLETED:
        raise JobStateConflict(
            f"job {job.id} is in state {job.state}, expected Completed: only a completed job can be reverted"
            + ("" if job.state.is_final or job.state.is_committed else ". Abort it instead"),
            job_id=job.id,
            state=job.state.value,
        )
    collection = catalog.collections.by_id(job.collection_id)
    if collection is None:
        raise JobStateConflict(
            f"job {job.id} cannot be reverted: its collection {job.collection} was dropped, and its rows with it",
            job_id=job.id,
            state=job.state.value,
        )
    _check_retention(settings, job)
    engine = engines.for_collection(collection)
    missing = engine.check_revert(Table.of(collection), job.id, _reversal(catalog, job))
    _check_missing(catalog, job, missing)


def revert_leased(leased: LeasedJob) -> bool:
    """Revert a job in state Reverting, and end it as Reverted, or as Completed again; returns whether rows changed.

    Raises:
        TaskCancelled: the process stops.
        CatalogError, LeaseLost, StorageError
    """
    catalog, job = leased.context.catalog, leased.job
    collection = catalog.collections.by_id(job.collection_id)
    if collection is None:
        _end(leased, 0)  # its rows are gone, with the collection
        return False
    engine = leased.context.engines.for_collection(collection)
    table = replace(Table.of(collection), version=job.intent_version or collection.version)

    def attempt() -> Reverted:
        if leased.stop.is_set():
            raise TaskCancelled("the server is stopping; the job is reverted after its restart")
        return revert_once(catalog, engine, table, leased.job)

    try:
        result = leased.retry(attempt, "revert", "reverting the job", "It will be tried again")
    except (RevertImpossible, TableDamaged) as error:
        # Nothing has changed; a later job may have been published since the call.
        warning = JobWarning(code="not_reverted", message=str(error))
        warnings = merge_warnings([list(job.warnings), [warning]])
        leased.move(JobState.COMPLETED, progress=100, warnings=warnings)
        return False
    catalog.collections.raise_version(collection.id, result.version)
    leased.log.info("job.reverted", removed=result.removed, restored=result.restored)
    _end(leased, result.restored)
    return True


def _end(leased: LeasedJob, restored: int) -> None:
    leased.move(JobState.REVERTED, reason=REVERTED_REASON, restored_rows=restored)


def revert_once(catalog: Catalog, engine: Engine, table: Table, job: ImportJob) -> Reverted:
    """Revert a job in its table. Raises RevertImpossible."""
    reversal = _reversal(catalog, job)
    while True:
        result = engine.revert(table, job.id, job.epoch, reversal)
        if isinstance(result, Reverted):
            return result
        # Rows of it are missing: whether a later job replaced them is read after they were counted.
        _check_missing(catalog, job, result)
        reversal = _reversal(catalog, job, result)


def _reversal(catalog: Catalog, job: ImportJob, missing: int = 0) -> Reversal:
    published = Published(version=job.published_version or 0, rows=job.rows, replaced=job.replaced_rows)
    partitions = [partition.number for partition in catalog.collections.partitions(job.collection_id)]
    return Reversal(published=published, partitions=partitions, missing=missing)


def _check_retention(settings: JobSettings, job: ImportJob) -> None:
    """Older versions of a table may be expiring just now, even if they are still there."""
    if job.replaced_rows == 0:
        return
    kept_since = datetime.now(UTC) - timedelta(seconds=settings.replaced_row_retention)
    if job.replaced_rows is None or job.finished_at is None or job.finished_at < kept_since:
        raise RevertImpossible(
            f"job {job.id} cannot be reverted: the rows that it replaced are no longer kept, which they are for "
            f"{settings.replaced_row_retention / 3600:g} h (setting replaced_row_retention). Import the earlier rows "
            "again",
            job_id=job.id,
        )


def _check_missing(catalog: Catalog, job: ImportJob, missing: int) -> None:
    later = catalog.reversals.replacing_after(job) if missing > 0 else None
    if later is not None:
        raise RevertImpossible(
            f"job {job.id} cannot be reverted: {missing:,} of its {job.rows:,} rows are no longer there, replaced by "
            f"a later job such as {later}. Revert the later jobs first, the newest one first",
            job_id=job.id,
        )

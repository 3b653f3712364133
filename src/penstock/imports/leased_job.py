"""A job under this process's lease, and the writes of its steps to the catalog.

Every write carries the lease's fencing epoch: a process that lost its lease changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog

from penstock.domain.collections import DEFAULT_PARTITION_NUMBER, Collection
from penstock.domain.import_options import is_true, option_warnings
from penstock.domain.jobs import (
    FileRange,
    ImportFile,
    ImportJob,
    JobState,
    JobWarning,
    Split,
    SplitState,
    merge_warnings,
)
from penstock.domain.names import DEFAULT_PARTITION
from penstock.domain.write_modes import WriteOptions
from penstock.engines.values import Staged
from penstock.errors import CatalogFull, CollectionNotFound, PenstockError, StorageFull, TaskCancelled, Transient
from penstock.imports.cleanup import discard, overdue_reason
from penstock.imports.context import ImportContext, staged_of
from penstock.imports.progress import COMMITTED, INDEXED, PLANNED
from penstock.imports.retry import retry_transient
from penstock.imports.throttle import Throttle
from penstock.readers.base import InputFile, no_rows
from penstock.readers.formats import check_options
from penstock.sources.base import Location

log = structlog.get_logger(__name__)

RETRYING = "trying again after: "
"""Prefix of a job's reason while it is being retried."""

_LEASE_CHECK_SECONDS = 1.0
"""Seconds between lease checks of a job that makes no progress."""
_MAX_EMPTY_FILES = 100
"""Files without rows that warnings name; a folder may have very many."""

_Result = TypeVar("_Result")


def logged(error: Exception) -> dict[str, Any]:
    """What the log says of an error that fails no job; of one that is none of Penstock's, where it came from."""
    return {"error": str(error), "exc_info": None if isinstance(error, PenstockError) else error}


class JobTimedOut(PenstockError):
    code = "import_timeout"


@dataclass(frozen=True, slots=True)
class PlannedWork:
    """What is planned, as the catalog has it: the files of a job, their locations by ordinal, and its splits."""

    files: Sequence[ImportFile]
    locations: Mapping[int, Sequence[Location]]
    splits: Sequence[Split]

    @classmethod
    def of_first_plan(cls, inputs: Sequence[InputFile], splits: Sequence[Split]) -> PlannedWork:
        """A plan that was just stored: none of its files has been read, and none of its splits has ids.

        Of the ranges it has what is stored, without the estimates that only planning needs.
        """
        files = [
            ImportFile(ordinal=ordinal, name=file.name, size=file.size, total_rows=file.total_rows)
            for ordinal, file in enumerate(inputs)
        ]
        locations = {ordinal: file.locations for ordinal, file in enumerate(inputs)}
        return cls(files, locations, [replace(split, ranges=_as_stored(split.ranges)) for split in splits])


def _as_stored(ranges: Sequence[FileRange]) -> tuple[FileRange, ...]:
    return tuple(replace(file_range, max_rows=0, decoded_size=None) for file_range in ranges)


@dataclass(frozen=True, slots=True)
class StagedWork:
    """What is staged, as the catalog has it: all splits in order, and the names of empty files.

    ``wrote_table``: some of it was written under this lease, to a table that was at least at the catalog's version.
    """

    splits: Sequence[Split]
    empty_files: Sequence[str]
    wrote_table: bool


class LeasedJob:
    """A leased job: ``job`` is its state as of the last write. ``stop`` is set when the process stops.

    ``work`` is None unless the job was staged under this lease; then it needs not be read again.
    """

    def __init__(self, context: ImportContext, job: ImportJob, stop: threading.Event) -> None:
        self.context = context
        self.job = job
        self.stop = stop
        self.work: StagedWork | None = None
        self.log = log.bind(job_id=str(job.id), collection=job.collection, database=job.database)
        self._leases = context.catalog.leases
        self._saved = (job.progress, job.rows)
        self._lease_checks = Throttle(_LEASE_CHECK_SECONDS)

    def collection(self) -> Collection:
        """The collection with the schema that the job began with. Raises CollectionNotFound."""
        collection = self.context.catalog.collections.by_id(self.job.collection_id)
        if collection is None:
            raise CollectionNotFound(f"collection {self.job.collection} dropped", collection=self.job.collection)
        return replace(collection, schema=collection.schema.first_fields(self.job.field_count))

    def partition(self, collection: Collection) -> int | None:
        """The partition of all rows; None where the partition key decides per row."""
        if collection.schema.partition_key:
            return None
        name = self.job.partition or DEFAULT_PARTITION
        if name == DEFAULT_PARTITION:
            return DEFAULT_PARTITION_NUMBER  # it can't be dropped
        return self.context.catalog.collections.partition(collection.id, name).number

    def write_options(self, collection: Collection) -> WriteOptions:
        return WriteOptions.of(self.job.options, self.partition(collection) if self.job.partition else None)

    @property
    def verifies(self) -> bool:
        """Whether its rows are compared with its files after the commit."""
        return is_true(self.job.options, "verify")

    def staged(self) -> list[Staged]:
        """What the job's splits have staged, in order."""
        splits = self.context.catalog.jobs.splits(self.job.id) if self.work is None else self.work.splits
        return [staged_of(split.staged) for split in splits if split.state is SplitState.STAGED and split.rows]

    # State

    def move(self, then: JobState, **values: Any) -> None:
        self.job = self._leases.move(self.job, then, **{"reason": None, **values})
        self._saved = (self.job.progress, self.job.rows)
        self.context.observer.moved(self.job)

    def move_published(
        self,
        version: int,
        warnings: Sequence[JobWarning] | None,
        *,
        progress: int,
        rows: int,
        replaced_rows: int | None,
    ) -> None:
        """Record that the job's rows are visible; with ``warnings`` it is Completed, else Indexing."""
        moved = self._leases.record_publication(
            self.job, version, warnings, progress=progress, rows=rows, replaced_rows=replaced_rows
        )
        for self.job in moved:
            self.context.observer.moved(self.job)

    def end_dropped(self) -> None:
        """End a job whose collection was dropped after the intent: failed, or completed if it may have committed."""
        if self.job.reason is not None:
            self.fail(CollectionNotFound(f"collection {self.job.collection} dropped"))
        else:
            self.move(JobState.INDEXING, stage="")

    def fail(self, error: BaseException, *, keep_files: bool = False) -> None:
        """Fail the job with ``error`` as its reason."""
        reason = str(error)
        if not isinstance(error, PenstockError):
            self.log.exception("job.error", exc_info=error)
            reason = f"internal error: {type(error).__name__}: {error}"
        self.move(JobState.FAILED, reason=reason, warnings=self.warnings(), keep_files=keep_files)
        if isinstance(error, CatalogFull | StorageFull):
            # Its staged files take the space that other jobs need; a retry stages them again.
            discard(self.context, self.job.collection_id, self.job.id)

    def warnings(self, job: ImportJob | None = None) -> list[JobWarning]:
        """The warnings of the plan, of the staged splits, and about files without rows; ``job`` as it will be."""
        job = job or self.job
        is_planned = job.state not in (JobState.PENDING, JobState.PLANNING)
        of_plan = list(job.warnings) if is_planned else self.option_warnings()
        jobs = self.context.catalog.jobs
        if self.work is None:
            empty, of_splits = jobs.empty_files(self.job.id), jobs.split_warnings(self.job.id)
        else:
            empty, of_splits = self.work.empty_files, [list(split.warnings) for split in self.work.splits]
        of_files = [no_rows(name) for name in empty[:_MAX_EMPTY_FILES]]
        if more := len(empty) - len(of_files):
            of_files.append(JobWarning(code="no_rows", message=f"{more:,} more files have no rows"))
        return merge_warnings([of_plan, *of_splits, of_files, _left_out(job)])

    def option_warnings(self) -> list[JobWarning]:
        texts = [*option_warnings(self.job.options), *check_options(self.job.options)]
        return [JobWarning(code="option_ignored", message=text) for text in texts]

    # Retry

    def retry(
        self,
        attempt: Callable[[], _Result],
        step: str,
        what: str,
        remedy: str = "Retry the job when the cause is gone; it keeps what it has done",
        passing: tuple[type, ...] = (Transient,),
    ) -> _Result:
        """Retry ``attempt`` as :func:`retry_transient`; ``step`` is its name for the observer."""
        return retry_transient(
            attempt,
            what,
            self.context.settings,
            self.stop,
            lambda error: self.retrying(step, error),
            remedy,
            passing,
        )

    def retrying(self, step: str, error: BaseException) -> None:
        self.context.observer.retrying(step, error)
        self.show(error)

    def show(self, error: BaseException | None) -> None:
        """Set the job's reason to the error that is being retried; clear it with None."""
        reason = None if error is None else f"{RETRYING}{error}"
        if reason == self.job.reason:
            return
        with suppress(CatalogFull):  # a status text must not fail the job
            self._leases.save_reason(self.job, reason)
            self.job = replace(self.job, reason=reason)

    # Progress

    def check_time(self) -> None:
        """Raises TaskCancelled when the process stops, JobTimedOut after the deadline."""
        if self.stop.is_set():
            raise TaskCancelled("the server is stopping")
        if self.job.deadline is not None and datetime.now(UTC) > self.job.deadline:
            raise JobTimedOut(overdue_reason(self.job))

    def save_planning(self) -> None:
        self._save_progress(PLANNED // 2, 0, 0, "planning")

    def save_verifying(self, share: float) -> None:
        """Save how much of the files' content has been verified, in steps of ten percent."""
        stage = f"verifying checksums ({10 * int(10 * share)} %)"
        self._saved = (-1, -1)  # the next step shows another stage at the same progress
        self._leases.save_progress(self.job, progress=PLANNED // 2, rows=0, total_rows=0, stage=stage)

    def save_importing(self, progress: int, rows: int, files: Sequence[ImportFile]) -> None:
        self._save_progress(progress, rows, rows, "importing", files)

    def save_indexing(self, share: float) -> None:
        progress = COMMITTED + int((INDEXED - COMMITTED) * share)
        self._save_progress(progress, self.job.rows, self.job.total_rows, "indexing")

    def _save_progress(
        self, progress: int, rows: int, total_rows: int, stage: str, files: Sequence[ImportFile] = ()
    ) -> None:
        if files or (progress, rows) != self._saved:
            self._saved = (progress, rows)
            self._leases.save_progress(
                self.job, progress=progress, rows=rows, total_rows=total_rows, stage=stage, files=files
            )
        elif self._lease_checks.is_ready():
            # With no progress to save, the lease is checked: saving would detect an abort or a takeover.
            self._leases.check(self.job)


def _left_out(job: ImportJob) -> list[JobWarning]:
    """The warning about rows that were left out for another one of the job with the same key."""
    count = job.total_rows - job.rows if job.published_version is not None else 0
    message = "rows were left out, since another row of the job has the same key"
    return [JobWarning(code="duplicate_keys", message=message, count=count)] if count > 0 else []

"""Stage every split of a planned job, with retries of transient errors."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import replace
from typing import Any

from penstock.domain.collections import Collection
from penstock.domain.error_budget import ErrorBudget, ErrorPolicy
from penstock.domain.import_options import OnError
from penstock.domain.jobs import ImportFile, Split, SplitState
from penstock.engines.values import Table
from penstock.errors import CatalogUnavailable, DataError, MemoryExceeded, TaskCancelled
from penstock.imports.context import note_of, rejects_of, staged_of
from penstock.imports.leased_job import LeasedJob, PlannedWork
from penstock.imports.memory_budget import too_large
from penstock.imports.progress import ProgressTracker
from penstock.imports.reject_files import (
    NOTHING_KEPT,
    FirstError,
    RejectLimits,
    SplitRejects,
    TooManyErrors,
    too_many_errors,
)
from penstock.imports.retry import retry_transient
from penstock.imports.skipped_files import SkippedFiles, unstaged
from penstock.imports.tasks import RangeFailed, StageResult, StageTask, stage_split
from penstock.imports.throttle import Throttle
from penstock.readers.unknown_columns import UnknownColumns
from penstock.runners.base import Runner, TaskHandle
from penstock.sources.base import Location

_TICK = 0.2
"""Seconds between progress updates."""


class SplitFailed(Exception):
    """A split failed with ``cause``, a permanent error, in the file with the ordinal ``file``."""

    def __init__(self, file: int, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.file = file
        self.cause = cause


def stage_task(leased: LeasedJob, collection: Collection, locations: Mapping[int, Sequence[Location]]) -> StageTask:
    """The task to stage splits of a job, of which it has none yet; ``locations`` are those of all its files."""
    context, job = leased.context, leased.job
    partitions = context.catalog.collections.partitions(collection.id)
    return StageTask(
        engine=context.engines.for_collection(collection),
        table=Table.of(collection),
        job_id=job.id,
        split=Split(ordinal=0, ranges=()),
        locations=locations,
        partitions=[partition.number for partition in partitions],
        options=job.options,
        unknown_columns=UnknownColumns.of(job.options),
        batch_bytes=context.settings.batch_bytes,
        memory_limit=context.settings.worker_memory,
    )


class StagingRun:
    """Stages the splits of one job that aren't staged yet, in order.

    At most one more than the runner has slots is in flight; the number of slots may change meanwhile.
    """

    def __init__(self, leased: LeasedJob, runner: Runner, collection: Collection, planned: PlannedWork) -> None:
        context = leased.context
        self._leased = leased
        self._context = context
        self._runner = runner
        self._collection = collection
        self._engine = context.engines.for_collection(collection)
        self._locations = planned.locations
        self._stage_task = stage_task(leased, collection, planned.locations)
        self._splits = self._restored(planned.splits)
        self._tracker = ProgressTracker(planned.files, self._splits)
        self._policy = ErrorPolicy.of(leased.job.options)
        self._skipped = SkippedFiles(self._policy, planned.files)
        self._reject_limits = self._limits_of_rejects()
        self.wrote_table = False
        """Whether any split was staged in this run."""
        self._halts: dict[int, threading.Event] = {}
        """Set where a split is to be staged no more, by its ordinal."""
        self._lock = threading.Lock()
        self._handles: dict[int, TaskHandle[Any]] = {}
        self._first_errors: list[tuple[Split, FirstError]] = []
        self._staged_splits = {split.ordinal: split for split in self._splits if split.state is SplitState.STAGED}
        self._unsaved: list[Split] = []

    def run(self) -> None:
        """Stage the splits, and save the job's progress a few times a second, but not at the end.

        The split of a job that has only one is saved by its next transition, with :meth:`unsaved_splits`, or by
        :meth:`save`: an import of one small file waits for the disk once less.

        When the process stops, the job times out or a write to the catalog fails, running splits are cancelled and
        their staged files discarded.

        Raises:
            SplitFailed: the first bad row in the order of the splits, whichever split failed first.
            TooManyErrors: more bad rows or files than the job's budget allows.
            TaskCancelled: the process stops.
            CatalogUnavailable, LeaseLost, JobTimedOut
        """
        self._skipped.check()
        self._unstage([split for split in self._splits if self._skipped.has_rows_in(split)])
        try:
            failure = self._stage_all()
        except CatalogUnavailable:
            raise
        except Exception:
            self._save_unsaved()
            raise
        if failure is not None:
            split, error = failure
            if isinstance(error, CatalogUnavailable):
                raise error
            failed = self._explained(split, error)
            self._tracker.failed(failed.file, failed.cause)
            self.save_progress()
            raise failed from error
        if self._leased.stop.is_set():
            self._save_unsaved()
            raise TaskCancelled("the server is stopping; the job resumes here after its restart")

    def staged_splits(self) -> Sequence[Split]:
        """The staged splits, as the catalog has them, in order."""
        return [self._staged_splits[ordinal] for ordinal in sorted(self._staged_splits)]

    def unsaved_splits(self) -> Sequence[Split]:
        """The staged splits that are to be saved with the job's next transition."""
        return tuple(self._unsaved)

    def rejects(self) -> Sequence[SplitRejects]:
        """The rejects of the staged splits that have any."""
        found = (rejects_of(split.staged) for split in self.staged_splits())
        return [rejects for rejects in found if rejects is not None]

    def changed_files(self) -> Sequence[ImportFile]:
        """The files whose progress is to be saved with the job's next transition."""
        _, _, files = self._tracker.snapshot()
        return files

    def empty_files(self) -> Sequence[str]:
        """The names of the files that are staged and have no rows, once :meth:`changed_files` was called."""
        return self._tracker.empty_files()

    @property
    def skipped_files(self) -> int:
        return len(self._skipped)

    def _limits_of_rejects(self) -> RejectLimits:
        """What each split may keep of its rejected rows: its share of the job's, the same on a repeat."""
        settings = self._context.settings
        if self._policy.on_error is not OnError.SKIP_ROW:
            return NOTHING_KEPT
        cluster_id = self._leased.job.cluster_id
        if self._context.catalog.jobs.reject_bytes(cluster_id) >= settings.max_reject_bytes:
            return NOTHING_KEPT
        splits = max(1, len(self._splits))
        return RejectLimits(
            rows=-(-settings.max_kept_rejects // splits), bytes=-(-settings.max_kept_reject_bytes // splits)
        )

    def check_budgets(self, *, is_complete: bool) -> None:
        """Raises TooManyErrors. Percentages are of all rows, so they are checked at the end."""
        policy, tracker = self._policy, self._tracker
        if policy.on_error is not OnError.SKIP_ROW or not (bad := tracker.rejected_rows()):
            return
        total = tracker.read_rows if is_complete else None
        self._check_budget(policy.per_job, sum(bad.values()), total, "max_errors")
        if policy.per_file is not None:
            for ordinal, of_file in sorted(bad.items()):
                total = tracker.rows_of(ordinal) if is_complete else None
                self._check_budget(policy.per_file, of_file, total, "max_errors_per_file")

    def _check_budget(self, budget: ErrorBudget | None, bad: int, total: int | None, option: str) -> None:
        if budget is not None and budget.is_exceeded(bad, total):
            first = sorted(self._first_errors, key=lambda pair: pair[0].ordinal)
            examples = [self._located(split, *error) for split, error in first]
            raise too_many_errors(option, budget, bad, total, examples)

    def _located(self, split: Split, number: int, error: DataError) -> DataError:
        """The error with its row counted in the file; without a row where that isn't known."""
        offset = self._tracker.row_offset(split, number)
        return error if error.row is None else error.at(row=None if offset is None else offset + error.row)

    def _skip(self, failed: Split, error: BaseException) -> list[Split]:
        """Leave out the files that a split failed for; returns the splits to stage again.

        Raises:
            TooManyErrors: these are too many.
        """
        files = []
        for failure in (error, *(error.others if isinstance(error, RangeFailed) else ())):
            explained = self._explained(failed, failure)
            file = self._skipped.add(explained.file, explained.cause)
            self._tracker.skipped(file)
            self._leased.log.warning("file.skipped", file=file.name, reason=file.reason)
            files.append(file)
        stale = [split for split in self.staged_splits() if self._skipped.has_rows_in(split)]
        self._context.catalog.leases.skip_files(self._leased.job, files, [split.ordinal for split in stale])
        self._skipped.check()
        return [failed, *self._unstage(stale, saved=True)]

    def _unstage(self, splits: Sequence[Split], *, saved: bool = False) -> list[Split]:
        """Make staged splits ones to be staged again, without the rows of the files that are left out."""
        if splits and not saved:
            self._context.catalog.leases.reset_splits(self._leased.job, [split.ordinal for split in splits])
        pending = {}
        for split in splits:
            pending[split.ordinal], staged = unstaged(split)
            self._engine.discard(self._collection.id, [staged])
            self._tracker.unstaged(split)
            self._staged_splits.pop(split.ordinal, None)
        self._splits = [pending.get(split.ordinal, split) for split in self._splits]
        return list(pending.values())

    def _stage_all(self) -> tuple[Split, BaseException] | None:
        """Stage the splits until all are staged or one has failed; return the failure that counts."""
        queue = deque(split for split in self._splits if split.state is not SplitState.STAGED)
        with ThreadPoolExecutor(max(1, len(queue)), "split") as threads:  # threads start on demand
            futures: dict[Future[None], Split] = {}
            ticks = Throttle(_TICK)
            ticks.is_ready()  # a small job ends before the next one, and saves its progress with its intent
            try:
                waiting: set[Future[None]] = set()
                while queue or waiting:
                    while queue and len(waiting) <= self._runner.slots:
                        split = queue.popleft()
                        self._halts.setdefault(split.ordinal, threading.Event())
                        future = threads.submit(copy_context().run, self._stage, split)
                        futures[future] = split
                        waiting.add(future)
                    done, waiting = wait(waiting, timeout=_TICK, return_when=FIRST_COMPLETED)
                    if ticks.is_ready():
                        self._leased.check_time()
                        self.save_progress()
                    for future in done:
                        queue += self._again(futures, future)
                    if self._leased.stop.is_set() or any(future.exception() for future in done if future in futures):
                        break
                    self.check_budgets(is_complete=False)
                return self._first_failure(futures)
            except BaseException:
                self._halt()
                raise

    def _again(self, futures: dict[Future[None], Split], future: Future[None]) -> list[Split]:
        """The splits to stage again after one has ended: those with rows of a file that is left out."""
        split, error = futures[future], future.exception()
        if error is None:
            staged = self._staged_splits.get(split.ordinal)
            # The file may have been left out while the split ran.
            return [] if staged is None or not self._skipped.has_rows_in(staged) else self._unstage([staged])
        cause = error.error if isinstance(error, RangeFailed) else error
        if not self._skipped.applies_to(cause):
            return []
        del futures[future]
        return self._skip(split, error)

    def _first_failure(self, futures: dict[Future[None], Split]) -> tuple[Split, BaseException] | None:
        """The failure of the earliest split, after waiting for those before it: the job's first bad row counts."""
        failures = sorted(
            (
                (split, future.exception())
                for future, split in futures.items()
                if future.done() and future.exception()
            ),
            key=lambda pair: pair[0].ordinal,
        )
        if not failures:
            if any(not future.done() for future in futures):
                self._halt()
            return None
        split = failures[0][0]
        earlier = [future for future, candidate in futures.items() if candidate.ordinal < split.ordinal]
        self._halt(keep={futures[future].ordinal for future in earlier})
        self._wait_for(earlier)
        if any(isinstance(future.exception(), TaskCancelled) for future in earlier):
            raise TaskCancelled("the server is stopping; the job resumes here after its restart")
        for future in sorted([*earlier, *futures], key=lambda future: futures[future].ordinal):
            error = future.exception() if future.done() and not future.cancelled() else None
            if error is not None and not isinstance(error, TaskCancelled):
                return futures[future], error
        return None

    def _wait_for(self, futures: Sequence[Future[Any]]) -> None:
        """Wait until all have ended. Raises what stops a job: TaskCancelled, JobTimedOut, LeaseLost."""
        while wait(futures, timeout=_TICK).not_done:
            self._leased.check_time()
            self.save_progress()  # which fails where the job was aborted

    def _explained(self, split: Split, error: BaseException) -> SplitFailed:
        """Name the file of an error, and count its row in the whole file."""
        number = 0
        if isinstance(error, RangeFailed):
            number, error = error.number, error.error
        elif isinstance(error, MemoryExceeded):
            number = self._tracker.current_range(split)
            name = self._tracker.name_of(split.ranges[number].file)
            error = too_large(name, error.details["taken"])
        if isinstance(error, TooManyErrors) and error.details.get("first"):
            examples = [self._located(split, *first) for first in error.details["first"]]
            error = too_many_errors(
                error.details["option"], error.details["budget"], error.details["bad"], None, examples
            )
        if isinstance(error, DataError) and error.row is not None:
            offset = self._tracker.row_offset(split, number)
            if offset is not None:
                error = error.at(row=offset + error.row)
        return SplitFailed(split.ranges[number].file, error)

    def _stage(self, split: Split) -> None:
        """Stage one split, with retries of transient errors."""
        facts = {"split": split.ordinal, "file": split.ranges[0].file, "bytes": split.size}
        with self._context.observer.step("split", facts):
            retry_transient(
                lambda: self._attempt(split),
                f"importing split {split.ordinal + 1}",
                self._context.settings,
                self._halts[split.ordinal],
                lambda error: self._leased.retrying("split", error),
            )

    def _attempt(self, split: Split) -> None:
        self._check(split)
        handle = self._submit(split)
        with self._lock:
            self._handles[split.ordinal] = handle
        if self._is_halted(split):
            handle.cancel()
        self._tracker.running(split, handle)
        try:
            result = handle.future.result()
        except Exception:
            self._context.catalog.leases.count_attempt(self._leased.job, split.ordinal)
            raise
        self._save_result(split, result)

    def _restored(self, splits: Sequence[Split]) -> Sequence[Split]:
        """The splits of the catalog, those that are staged already among them."""
        return splits

    def _submit(self, split: Split) -> TaskHandle[Any]:
        return self._runner.submit(stage_split, self._task(split))

    def _save_result(self, split: Split, result: Any) -> None:
        """Save the result of a split's task in the catalog, and count it."""
        assert isinstance(result, StageResult)
        staged, is_only = _staged_split(split, result), len(self._splits) == 1
        with self._discards_unless_saved(staged):
            self._check(split)
            if not is_only:
                self._save_split(staged)
            self._leased.show(None)
        rejected = [file_range.rejected for file_range in staged.ranges]
        self._tracker.staged(split, result.rows, rejected)
        with self._lock:  # from here on the main thread may unstage it, if it has rows of a bad file
            self._first_errors += [(split, error) for error in result.first_errors]
            self._staged_splits[split.ordinal] = staged
            self._unsaved += [staged] if is_only else []
            self.wrote_table = True
        self._context.observer.staged(result.staged.rows, split.size, sum(rejected))

    def _save_split(self, staged: Split) -> None:
        self._context.catalog.leases.save_split(
            self._leased.job,
            staged.ordinal,
            rows=[file_range.rows for file_range in staged.ranges],
            staged=staged.staged,
            warnings=staged.warnings,
        )

    @contextmanager
    def _discards_unless_saved(self, staged: Split) -> Iterator[None]:
        """Discard the files of a staged split if the catalog can't save it."""
        try:
            yield
        except CatalogUnavailable:
            # The catalog may or may not have saved it, so the files stay; the orphan cleanup removes them if not.
            raise
        except BaseException:
            self._engine.discard(self._collection.id, [staged_of(staged.staged)])
            raise

    def _save_unsaved(self) -> None:
        splits, self._unsaved = self._unsaved, []
        for split in splits:
            with self._discards_unless_saved(split):
                self._save_split(split)

    def _task(self, split: Split) -> StageTask:
        return replace(
            self._stage_task,
            split=split,
            locations={file_range.file: self._locations[file_range.file] for file_range in split.ranges},
            skipped=self._skipped.ordinals,
            reject_limits=self._reject_limits,
        )

    def save_progress(self) -> None:
        self._leased.save_importing(*self._tracker.snapshot())

    def save(self) -> None:
        """Save what the job's next transition would have saved, which has failed or is not to come."""
        self._save_unsaved()
        self.save_progress()

    def _halt(self, keep: Set[int] = frozenset()) -> None:
        """Cancel all splits but those in ``keep``."""
        ended = self._halts.keys() - keep
        for ordinal in ended:
            self._halts[ordinal].set()
        with self._lock:
            handles = [handle for ordinal, handle in self._handles.items() if ordinal in ended]
        for handle in handles:
            handle.cancel()

    def _is_halted(self, split: Split) -> bool:
        return self._halts[split.ordinal].is_set() or self._leased.stop.is_set()

    def _check(self, split: Split) -> None:
        if self._is_halted(split):
            raise TaskCancelled("the job is stopping")


def _rejected_rows(result: StageResult) -> Sequence[int]:
    """The rejected rows of each file range."""
    return [0] * len(result.rows) if result.rejects is None else result.rejects.rows


def _staged_split(split: Split, result: StageResult) -> Split:
    """A split as the catalog has it once it is staged."""
    ranges = tuple(
        replace(file_range, rows=rows, rejected=bad)
        for file_range, rows, bad in zip(split.ranges, result.rows, _rejected_rows(result), strict=True)
    )
    return replace(
        split,
        state=SplitState.STAGED,
        ranges=ranges,
        staged=note_of(result.staged, result.rejects),
        warnings=tuple(result.warnings),
    )

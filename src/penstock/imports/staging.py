"""Stage every split of a planned job, with retries of transient errors."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any

from penstock.domain.collections import Collection
from penstock.domain.jobs import Split, SplitState
from penstock.engines.base import Table
from penstock.errors import CatalogUnavailable, DataError, MemoryExceeded, TaskCancelled
from penstock.imports.context import note_of
from penstock.imports.leased_job import LeasedJob
from penstock.imports.memory_budget import too_large
from penstock.imports.progress import ProgressTracker
from penstock.imports.retry import retry_transient
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


class StagingRun:
    """Stages the splits of one job that aren't staged yet, in order. ``locations`` are those of its files.

    At most one more than the runner has slots is in flight; the number of slots may change meanwhile.
    """

    def __init__(
        self, leased: LeasedJob, runner: Runner, collection: Collection, locations: Mapping[int, Sequence[Location]]
    ) -> None:
        context = leased.context
        self._leased = leased
        self._context = context
        self._runner = runner
        self._collection = collection
        self._engine = context.engines.for_collection(collection)
        self._locations = locations
        partitions = context.catalog.collections.partitions(collection.id)
        self._partitions = [partition.number for partition in partitions]
        self._splits = self._restored(context.catalog.jobs.splits(leased.job.id))
        self._tracker = ProgressTracker(context.catalog.jobs.files(leased.job.id), self._splits)
        self._halted = threading.Event()
        self._keep: set[int] = set()
        self._lock = threading.Lock()
        self._handles: dict[int, TaskHandle[Any]] = {}

    def run(self) -> None:
        """Stage the splits, and save the job's progress a few times a second.

        When the process stops, the job times out or a write to the catalog fails, running splits are cancelled and
        their staged files discarded.

        Raises:
            SplitFailed: the first bad row in the order of the splits, whichever split failed first.
            TaskCancelled: the process stops.
            CatalogUnavailable, LeaseLost, JobTimedOut
        """
        failure = self._stage_all()
        if failure is not None:
            split, error = failure
            if isinstance(error, CatalogUnavailable):
                raise error
            failed = self._explained(split, error)
            self._tracker.failed(failed.file, str(failed.cause))
            self._save_progress()
            raise failed from error
        if self._leased.stop.is_set():
            raise TaskCancelled("the server is stopping; the job resumes here after its restart")
        self._save_progress()

    def _stage_all(self) -> tuple[Split, BaseException] | None:
        """Stage the splits until all are staged or one has failed; return the failure that counts."""
        queue = deque(split for split in self._splits if split.state is not SplitState.STAGED)
        with ThreadPoolExecutor(max(1, len(queue)), "split") as threads:  # threads start on demand
            futures: dict[Future[None], Split] = {}
            ticks = Throttle(_TICK)
            try:
                waiting: set[Future[None]] = set()
                while queue or waiting:
                    while queue and len(waiting) <= self._runner.slots:
                        split = queue.popleft()
                        future = threads.submit(copy_context().run, self._stage, split)
                        futures[future] = split
                        waiting.add(future)
                    done, waiting = wait(waiting, timeout=_TICK, return_when=FIRST_COMPLETED)
                    if ticks.is_ready():
                        self._leased.check_time()
                        self._save_progress()
                    if self._leased.stop.is_set() or any(future.exception() for future in done):
                        break
                return self._first_failure(futures)
            except BaseException:
                self._halt()
                raise

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
        wait(earlier)
        for future in sorted([*earlier, *futures], key=lambda future: futures[future].ordinal):
            error = future.exception() if future.done() and not future.cancelled() else None
            if error is not None and not isinstance(error, TaskCancelled):
                return futures[future], error
        return None

    def _explained(self, split: Split, error: BaseException) -> SplitFailed:
        """Name the file of an error, and count its row in the whole file."""
        number = 0
        if isinstance(error, RangeFailed):
            number, error = error.number, error.error
        elif isinstance(error, MemoryExceeded):
            number = self._tracker.current_range(split)
            name = self._tracker.name_of(split.ranges[number].file)
            error = too_large(name, error.details["taken"])
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
                self._halted,
                lambda error: self._leased.retrying("split", error),
            )

    def _attempt(self, split: Split) -> None:
        self._check(split)
        self._context.catalog.claims.count_attempt(self._leased.job, split.ordinal)
        handle = self._submit(split)
        with self._lock:
            self._handles[split.ordinal] = handle
        if self._is_halted(split):
            handle.cancel()
        self._tracker.running(split, handle)
        self._tracker.staged(split, self._save_result(split, handle.future.result()))

    def _restored(self, splits: Sequence[Split]) -> Sequence[Split]:
        """The splits of the catalog, those that are staged already among them."""
        return splits

    def _submit(self, split: Split) -> TaskHandle[Any]:
        return self._runner.submit(stage_split, self._task(split))

    def _save_result(self, split: Split, result: Any) -> Sequence[int]:
        """Save the result of a split's task in the catalog; return the rows of its file ranges."""
        assert isinstance(result, StageResult)
        staged = result.staged
        try:
            self._check(split)
            self._context.catalog.claims.save_split(
                self._leased.job, split.ordinal, rows=result.rows, staged=note_of(staged), warnings=result.warnings
            )
            self._leased.show(None)
        except CatalogUnavailable:
            # The catalog may or may not have saved it, so the files stay; the orphan cleanup removes them if not.
            raise
        except BaseException:
            self._engine.discard(self._collection.id, [staged])
            raise
        self._context.observer.staged(staged.rows, split.size)
        return result.rows

    def _task(self, split: Split) -> StageTask:
        job, settings = self._leased.job, self._context.settings
        return StageTask(
            engine=self._engine,
            table=Table.of(self._collection),
            job_id=job.id,
            split=split,
            locations={file_range.file: self._locations[file_range.file] for file_range in split.ranges},
            partitions=self._partitions,
            options=job.options,
            unknown_columns=UnknownColumns.of(job.options),
            batch_bytes=settings.batch_bytes,
            memory_limit=settings.worker_memory,
        )

    def _save_progress(self) -> None:
        self._leased.save_importing(*self._tracker.snapshot())

    def _halt(self, keep: set[int] | None = None) -> None:
        """Cancel all splits but those in ``keep``."""
        self._keep = keep or set()
        self._halted.set()
        with self._lock:
            for ordinal, handle in self._handles.items():
                if ordinal not in self._keep:
                    handle.cancel()

    def _is_halted(self, split: Split) -> bool:
        return (self._halted.is_set() and split.ordinal not in self._keep) or self._leased.stop.is_set()

    def _check(self, split: Split) -> None:
        if self._is_halted(split):
            raise TaskCancelled("the job is stopping")

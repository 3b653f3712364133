"""Stage every split of a planned job, with retries of transient errors."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context

from penstock.domain.jobs import Split, SplitState
from penstock.engines.base import Staged
from penstock.errors import CatalogUnavailable, DataError, MemoryExceeded, TaskCancelled
from penstock.imports.events import Observer
from penstock.imports.memory_budget import too_large
from penstock.imports.progress import ProgressTracker
from penstock.imports.retry import retry_transient
from penstock.imports.settings import JobSettings
from penstock.imports.tasks import PartFailed, StageResult, StageTask, stage_split
from penstock.imports.throttle import Throttle
from penstock.runners.base import Runner, TaskHandle

__all__ = ["SplitFailed", "stage_splits"]

_TICK = 0.2
"""Seconds between progress updates."""


class SplitFailed(Exception):
    """A split failed with ``cause``, a permanent error; ``part`` is the index of the file range, if known."""

    def __init__(self, split: Split, part: int, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.file = split.parts[part].file
        self.cause = cause


def stage_splits(
    splits: Sequence[Split],
    *,
    runner: Runner,
    tracker: ProgressTracker,
    settings: JobSettings,
    stop: threading.Event,
    task_of: Callable[[Split], StageTask],
    begin: Callable[[Split], None],
    save: Callable[[Split, StageResult], None],
    tick: Callable[[], None],
    discard: Callable[[Staged], None],
    retrying: Callable[[BaseException], None],
    observer: Observer,
) -> None:
    """Stage every split that isn't staged yet, in order; at most one more than the runner has slots is in flight.

    The runner's number of slots may change meanwhile. ``begin`` is called before each attempt, ``save`` with each
    result, ``retrying`` with an error after which a split is retried, ``tick`` a few times a second. When ``stop`` is
    set, or any callback raises, running splits are cancelled and their staged files discarded.

    Raises:
        SplitFailed: the first bad row in the order of the splits, whichever split failed first.
        TaskCancelled: ``stop`` was set.
    """
    run = StagingRun(runner, tracker, settings, stop, task_of, begin, save, discard, retrying, observer)
    pending = [split for split in splits if split.state is not SplitState.STAGED]
    with ThreadPoolExecutor(max(1, len(pending)), "split") as threads:  # threads start on demand
        futures: dict[Future[None], Split] = {}
        queue = deque(pending)
        ticks = Throttle(_TICK)
        try:
            waiting: set[Future[None]] = set()
            while queue or waiting:
                while queue and len(waiting) <= runner.slots:
                    split = queue.popleft()
                    future = threads.submit(copy_context().run, run.stage, split)
                    futures[future] = split
                    waiting.add(future)
                done, waiting = wait(waiting, timeout=_TICK, return_when=FIRST_COMPLETED)
                if ticks.is_ready():
                    tick()
                if stop.is_set() or any(future.exception() for future in done):
                    break
            failure = _first_failure(futures, run)
        except BaseException:
            run.halt()
            raise
    if failure is not None:
        split, error = failure
        index = 0
        if isinstance(error, PartFailed):
            index, error = error.part, error.error
        elif isinstance(error, MemoryExceeded):
            index = tracker.current_range(split)
            error = too_large(tracker.name_of(split.parts[index].file), error.details["taken"])
        if isinstance(error, DataError) and error.row is not None:
            offset = tracker.row_offset(split, index)
            if offset is not None:
                error = error.at(row=offset + error.row)
        raise SplitFailed(split, index, error) from error
    if stop.is_set():
        raise TaskCancelled("the server is stopping; the job resumes here after its restart")


def _first_failure(futures: dict[Future[None], Split], run: StagingRun) -> tuple[Split, BaseException] | None:
    """The failure of the earliest split, after waiting for the splits before it: the job's first bad row counts."""
    failures = sorted(
        ((split, future.exception()) for future, split in futures.items() if future.done() and future.exception()),
        key=lambda pair: pair[0].ordinal,
    )
    if not failures:
        if any(not future.done() for future in futures):
            run.halt()
        return None
    split = failures[0][0]
    earlier = [future for future, candidate in futures.items() if candidate.ordinal < split.ordinal]
    run.halt(keep={futures[future].ordinal for future in earlier})
    wait(earlier)
    for future in sorted([*earlier, *futures], key=lambda future: futures[future].ordinal):
        error = future.exception() if future.done() and not future.cancelled() else None
        if error is not None and not isinstance(error, TaskCancelled):
            return futures[future], error
    return None


class StagingRun:
    """The splits in flight, and their cancellation."""

    def __init__(
        self,
        runner: Runner,
        tracker: ProgressTracker,
        settings: JobSettings,
        stop: threading.Event,
        task_of: Callable[[Split], StageTask],
        begin: Callable[[Split], None],
        save: Callable[[Split, StageResult], None],
        discard: Callable[[Staged], None],
        retrying: Callable[[BaseException], None],
        observer: Observer,
    ) -> None:
        self._runner = runner
        self._tracker = tracker
        self._settings = settings
        self._stop = stop
        self._task_of = task_of
        self._begin = begin
        self._save = save
        self._discard = discard
        self._retrying = retrying
        self._observer = observer
        self._halted = threading.Event()
        self._keep: set[int] = set()
        self._lock = threading.Lock()
        self._handles: dict[int, TaskHandle[StageResult]] = {}

    def stage(self, split: Split) -> None:
        """Stage one split, with retries of transient errors."""
        with self._observer.step("split", {"split": split.ordinal, "file": split.parts[0].file, "bytes": split.size}):
            retry_transient(
                lambda: self._attempt(split),
                f"importing split {split.ordinal + 1}",
                self._settings,
                self._halted,
                self._retrying,
            )

    def _attempt(self, split: Split) -> None:
        self._check(split)
        self._begin(split)
        handle = self._runner.submit(stage_split, self._task_of(split))
        with self._lock:
            self._handles[split.ordinal] = handle
        if self._is_halted(split):
            handle.cancel()
        self._tracker.running(split, handle)
        result: StageResult = handle.future.result()
        try:
            self._check(split)
            self._save(split, result)
        except CatalogUnavailable:
            # The catalog may or may not have saved it, so the files stay; the orphan cleanup removes them if not.
            raise
        except BaseException:
            self._discard(result.staged)
            raise
        self._tracker.staged(split, result.rows)
        self._observer.staged(result.staged.rows, split.size)

    def halt(self, keep: set[int] | None = None) -> None:
        """Cancel all splits but those in ``keep``."""
        self._keep = keep or set()
        self._halted.set()
        with self._lock:
            for ordinal, handle in self._handles.items():
                if ordinal not in self._keep:
                    handle.cancel()

    def _is_halted(self, split: Split) -> bool:
        return (self._halted.is_set() and split.ordinal not in self._keep) or self._stop.is_set()

    def _check(self, split: Split) -> None:
        if self._is_halted(split):
            raise TaskCancelled("the job is stopping")

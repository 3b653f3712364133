"""Run a distributed index build: a task that trains the partitions, one for each group of rows, and one that commits.

A task that is lost with its worker or host is repeated. Whatever else fails ends the build: the table has its old
index, and what the tasks have written is deleted, or is found later as orphan files.

A group takes more than half of the processors of the largest host: the engine uses all of a host's, so no two groups
should meet on one; other tasks have the rest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

import structlog

from penstock.domain.index import IndexSpec
from penstock.engines.base import MaintainableEngine
from penstock.engines.values import BuiltGroup, DistributedBuild, Table
from penstock.errors import TaskCancelled
from penstock.imports.maintenance_tasks import IndexTask, build_indexes
from penstock.imports.memory_budget import reserve
from penstock.imports.retry import retry_transient
from penstock.imports.settings import JobSettings
from penstock.runners.base import Runner, TaskContext, TaskHandle

log = structlog.get_logger(__name__)

_TICK = 0.2
_TRAINING_SHARE = 0.2
"""Of the progress; the groups have the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildTask:
    """A step of a distributed build, and what is reserved for it: slots, and the memory of as many.

    ``group`` is the number of the one to index, ``groups`` are all of them, to commit.
    """

    engine: MaintainableEngine
    table: Table
    build: DistributedBuild
    group: int = 0
    groups: Sequence[BuiltGroup] = ()
    slots: int = 1
    memory_limit: int | None = None


def train_partitions(task: BuildTask, context: TaskContext) -> None:
    context.check()
    task.engine.train_partitions(task.table, task.build, task.memory_limit)


def build_group(task: BuildTask, context: TaskContext) -> BuiltGroup:
    context.check()
    return task.engine.build_group(task.table, task.build, task.group, task.memory_limit)


def commit_groups(task: BuildTask, context: TaskContext) -> int:
    """Returns the table's new version."""
    context.check()
    return task.engine.commit_groups(task.table, task.build, task.groups)


def hosts_of(runner: Runner) -> int:
    """The number of hosts as large as the largest one of a runner."""
    return max(1, runner.slots // max(1, runner.slots_per_task))


@dataclass(kw_only=True)
class BuildRun:
    """One distributed build, run in the caller's thread; other threads wait for its tasks.

    ``keep`` is called several times a second, and ends the build by what it raises. ``newest`` returns the version of
    the table that readers have: while an index is retrained, the rows of later ones are added to the old index.
    ``committed`` is called with each version that has a new segment.
    """

    engine: MaintainableEngine
    table: Table
    specs: Sequence[IndexSpec]
    build: DistributedBuild
    runner: Runner
    settings: JobSettings
    keep: Callable[[], None]
    newest: Callable[[], int]
    committed: Callable[[int], None]
    progress: Callable[[float], None] = lambda share: None
    _halted: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _running: list[TaskHandle[Any]] = field(default_factory=list)
    _extension: Future[int] | None = None
    _extended: int = 0
    """The version for which the index was last extended."""

    def run(self) -> None:
        """Build the index and commit it.

        Raises:
            StorageConflict: another process changed the index; nothing has changed.
            TaskCancelled, MemoryExceeded, StorageError, RetriesExhausted
        """
        log.info("index.distributed", table=self.table.id, groups=self.build.groups, anew=self.build.is_training)
        threads = ThreadPoolExecutor(self.build.groups + 1, "distributed-build")
        groups: list[Future[BuiltGroup]] = []
        try:
            self._wait(threads, [self._start(threads, train_partitions, self._task(self.build.training_memory))])
            self.progress(_TRAINING_SHARE)
            # No two of them on one host, as long as others are free.
            slots = self.runner.slots_per_task // 2 + 1
            for number in range(self.build.groups):
                task = self._task(self.build.group_memory, slots, group=number)
                groups.append(self._start(threads, build_group, task))
            self._wait(threads, groups)
            self._end_extension()
        except BaseException:
            self._halt()
            self.engine.discard_build(self.table, self.build, [step.result() for step in groups if _succeeded(step)])
            raise
        finally:
            # Not waited for: a task that doesn't stop is killed by its runner.
            threads.shutdown(wait=False, cancel_futures=True)
        self._commit([step.result() for step in groups])

    def _commit(self, groups: Sequence[BuiltGroup]) -> None:
        """Not repeated, and nothing is deleted here if it fails: its worker may be lost and still commit."""
        handle = self.runner.submit(commit_groups, self._task(self.build.group_memory, groups=groups))
        try:
            while not wait([handle.future], _TICK).done:
                self.keep()
        except BaseException:
            handle.cancel()
            raise
        self.committed(handle.future.result())

    def _wait(self, threads: ThreadPoolExecutor, steps: Sequence[Future[Any]]) -> None:
        """Wait for steps, or for the first one that fails."""
        while True:
            done, waiting = wait(steps, _TICK, FIRST_EXCEPTION)
            for step in done:
                step.result()
            if not waiting:
                return
            if len(steps) > 1:
                self.progress(_TRAINING_SHARE + (1 - _TRAINING_SHARE) * len(done) / len(steps))
            if self.build.is_training:
                self._extend(threads)
            self.keep()

    def _extend(self, threads: ThreadPoolExecutor) -> None:
        """Add the rows that have arrived to the old index, so that no job waits for the new one."""
        if self._extension is not None and self._extension.done():
            self._end_extension()
        if self._extension is None and (newest := self.newest()) > self._extended:
            self._extended = newest
            slots, limit = self._reserved(self.build.group_memory)
            task = IndexTask(
                engine=self.engine,
                table=self.table,
                specs=self.specs,
                slots=slots,
                memory_limit=limit,
                kept=self.build.replaced,
            )
            self._extension = self._start(threads, build_indexes, task)

    def _end_extension(self) -> None:
        extension, self._extension = self._extension, None
        if extension is not None:
            while not wait([extension], _TICK).done:
                self.keep()
            self.committed(extension.result())

    def _start(
        self, threads: ThreadPoolExecutor, function: Callable[[Any, TaskContext], Any], task: Any
    ) -> Future[Any]:
        return threads.submit(copy_context().run, self._step, function, task)

    def _step(self, function: Callable[[Any, TaskContext], Any], task: Any) -> Any:
        """Run a task, and repeat it after transient errors."""
        return retry_transient(
            lambda: self._attempt(function, task),
            f"building an index of the table {self.table.id}",
            self.settings,
            self._halted,
            lambda error: None,
            "It is tried again later",
        )

    def _attempt(self, function: Callable[[Any, TaskContext], Any], task: Any) -> Any:
        with self._lock:
            if self._halted.is_set():
                raise TaskCancelled("the build has ended")
            handle = self.runner.submit(function, task)
            self._running.append(handle)
        return handle.future.result()

    def _halt(self) -> None:
        with self._lock:
            self._halted.set()
        for handle in self._running:
            handle.cancel()

    def _task(
        self, memory: int, least_slots: int = 1, *, group: int = 0, groups: Sequence[BuiltGroup] = ()
    ) -> BuildTask:
        slots, limit = self._reserved(memory, least_slots)
        return BuildTask(
            engine=self.engine,
            table=self.table,
            build=self.build,
            group=group,
            groups=groups,
            slots=slots,
            memory_limit=limit,
        )

    def _reserved(self, memory: int, least_slots: int = 1) -> tuple[int, int | None]:
        settings, most = self.settings, self.runner.slots_per_task
        return reserve(memory, settings.worker_memory, most, settings.build_memory, least_slots)


def _succeeded(step: Future[Any]) -> bool:
    return step.done() and not step.cancelled() and step.exception() is None

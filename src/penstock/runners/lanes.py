"""One runner shared by many: its workers go round the lanes that have tasks waiting.

However many tasks wait in one lane, the first task of another waits for one task of each other lane at most, beside
those that have begun.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from penstock.errors import TaskCancelled
from penstock.runners.base import Runner, TaskContext, TaskHandle

__all__ = ["Lanes"]


class Lanes:
    """Gives ``inner`` as many tasks as it has slots. Safe to share between threads."""

    def __init__(self, inner: Runner) -> None:
        self.inner = inner
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, deque[_Task]] = OrderedDict()
        self._begun = 0

    def lane(self, name: str) -> Runner:
        """The runner for whoever goes by this name."""
        return _Lane(self, name)

    def submit(self, lane: str, function: Callable[[Any, TaskContext], Any], argument: Any) -> TaskHandle[Any]:
        task = _Task(function, argument, copy_context())
        with self._lock:
            self._waiting.setdefault(lane, deque()).append(task)
        self._give_work()
        return _Handle(self, lane, task)

    def cancel(self, lane: str, task: _Task) -> None:
        with self._lock:
            task.is_cancelled = True
            handle, waiting = task.handle, self._waiting.get(lane)
            was_waiting = waiting is not None and task in waiting
            if waiting is not None and was_waiting:
                waiting.remove(task)
                if not waiting:
                    del self._waiting[lane]
        if handle is not None:
            handle.cancel()
        elif was_waiting:
            task.future.set_exception(TaskCancelled("the task was cancelled before it began"))

    def _give_work(self) -> None:
        while (task := self._next()) is not None:
            try:
                # In the context of who wants it: a trace goes on there.
                handle = task.context.run(self.inner.submit, task.function, task.argument)
            except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for the task
                self._leave()
                task.future.set_exception(error)
                continue
            with self._lock:
                task.handle, is_cancelled = handle, task.is_cancelled
            if is_cancelled:
                handle.cancel()
            handle.future.add_done_callback(partial(self._end, task))

    def _next(self) -> _Task | None:
        with self._lock:
            if not self._waiting or self._begun >= max(1, self.inner.slots):
                return None
            lane, waiting = self._waiting.popitem(last=False)
            task = waiting.popleft()
            if waiting:
                self._waiting[lane] = waiting  # behind all others
            self._begun += 1
            return task

    def _leave(self) -> None:
        with self._lock:
            self._begun -= 1

    def _end(self, task: _Task, ended: Future[Any]) -> None:
        self._leave()
        self._give_work()
        if (error := ended.exception()) is not None:
            task.future.set_exception(error)
        else:
            task.future.set_result(ended.result())


@dataclass(slots=True, eq=False)
class _Task:
    """A task that waits for its turn, or with a ``handle``, runs."""

    function: Callable[[Any, TaskContext], Any]
    argument: Any
    context: Context
    future: Future[Any] = field(default_factory=Future)
    handle: TaskHandle[Any] | None = None
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class _Lane:
    lanes: Lanes
    name: str

    @property
    def slots(self) -> int:
        return self.lanes.inner.slots

    def submit(self, function: Callable[[Any, TaskContext], Any], argument: Any) -> TaskHandle[Any]:
        return self.lanes.submit(self.name, function, argument)

    def close(self) -> None:
        """The runner belongs to who made it."""


@dataclass(frozen=True, slots=True)
class _Handle:
    lanes: Lanes
    lane: str
    task: _Task

    @property
    def future(self) -> Future[Any]:
        return self.task.future

    def progress(self) -> tuple[int, int]:
        return (0, 0) if self.task.handle is None else self.task.handle.progress()

    def cancel(self) -> None:
        self.lanes.cancel(self.lane, self.task)

"""Fair-share runner: fair queueing between tenants (orgs) by the worker time that each has had.

A free worker goes to the tenant that has used the least worker seconds (start-time fair queueing: what a tenant did
not use while it had no tasks is not saved up). The seconds are measured, so a tenant with long tasks waits for
tenants with short ones, and not the other way round.

A task that runs long gives way, too. When a tenant without a worker has waited for :data:`_PREEMPT_AFTER` seconds, a
running task of a tenant that has had more is told to stop and is started again later, unseen by its submitter:

* A tenant with several workers loses the task that began last. Its oldest one is never chosen, so the tenant gets on.
* Where every tenant has one worker at most, the task is chosen that belongs to the tenant with the most time used,
once
  it has run for a quantum of time, which doubles with each time that it is stopped. So what is done twice takes no
  longer than what is done once, and any task comes to its end.

The tenant that gave way takes the worker back when the other has been quiet for :data:`_QUIET` seconds, or has used
as much as itself: small jobs are a chain of short tasks, with moments between them.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import structlog

from penstock.errors import TaskCancelled, WorkerLost
from penstock.runners.base import Runner, TaskContext, TaskHandle

__all__ = ["FairShareRunner"]

log = structlog.get_logger(__name__)

_PREEMPT_AFTER = 1.0
"""Seconds that a tenant without a worker waits before a running task is stopped for it; the first quantum, too."""
_QUIET = 0.5
CANCEL_GRACE = 3.0
"""Seconds after which a task that should give way, and doesn't, is ended by force."""
_LOOK_SECONDS = 0.1


class FairShareRunner:
    """Gives ``inner`` as many tasks as it has slots. Safe to share between threads."""

    def __init__(self, inner: Runner, clock: Callable[[], float] = time.monotonic) -> None:
        self.inner = inner
        self._clock = clock
        self._lock = threading.Lock()
        self._tenants: dict[str, _Tenant] = {}
        self._begun = 0
        self._turns = count(1)
        self._watched = False

    def for_tenant(self, name: str) -> Runner:
        """The runner for the tasks of one org."""
        return _TenantRunner(self, name)

    def submit(self, name: str, function: Callable[[Any, TaskContext], Any], argument: Any) -> TaskHandle[Any]:
        task = _Task(name, function, argument, copy_context(), self._clock())
        with self._lock:
            self._open(name).waiting.append(task)
        self._give_work()
        self._watch()
        return _Handle(self, task)

    def cancel(self, task: _Task) -> None:
        with self._lock:
            task.is_cancelled = True
            handle, tenant = task.handle, self._tenants.get(task.tenant)
            was_waiting = tenant is not None and task in tenant.waiting
            if tenant is not None and was_waiting:
                tenant.waiting.remove(task)
        if handle is not None:
            handle.cancel()
        elif was_waiting:
            task.future.set_exception(TaskCancelled("the task was cancelled before it began"))

    # Which tenant is next

    def _open(self, name: str) -> _Tenant:
        """The tenant; one that had no tasks begins where the least served one stands."""
        now = self._clock()
        active = [tenant.time_used(now) for tenant in self._tenants.values() if tenant.is_active]
        least = min(active, default=None)
        if least is None:
            self._tenants.clear()
        else:
            self._tenants = {
                known: tenant
                for known, tenant in self._tenants.items()
                if tenant.is_active or tenant.used > least or now - tenant.last_end < _QUIET
            }
        tenant = self._tenants.setdefault(name, _Tenant())
        if not tenant.is_active and least is not None:
            tenant.used = max(tenant.used, least)
        return tenant

    def _first(self, now: float) -> _Tenant | None:
        """The waiting tenant that is next, without those that give way to another."""
        waiting = [tenant for tenant in self._tenants.values() if tenant.waiting and not self._gives_way(tenant, now)]
        return min(waiting, key=lambda tenant: (tenant.time_used(now), tenant.turn), default=None)

    def _gives_way(self, tenant: _Tenant, now: float) -> bool:
        other = tenant.gave_way_to
        if other is None:
            return False
        is_there = other.is_active or now - other.last_end < _QUIET
        if is_there and other.time_used(now) <= tenant.time_used(now):
            return True
        tenant.gave_way_to = None
        return False

    def _next(self) -> _Task | None:
        with self._lock:
            if self._begun >= max(1, self.inner.slots):
                return None
            now = self._clock()
            tenant = self._first(now)
            if tenant is None:
                return None
            task = tenant.waiting.popleft()
            task.began, task.is_stopped = now, False
            tenant.running.append(task)
            tenant.turn = next(self._turns)
            self._begun += 1
            return task

    def _give_work(self) -> None:
        while (task := self._next()) is not None:
            try:
                # In the submitter's context, so that its trace goes on.
                handle = task.context.run(self.inner.submit, task.function, task.argument)
            except Exception as error:  # noqa: BLE001 - the submitter waits for the task, whatever it is
                self._leave(task)
                task.future.set_exception(error)
                continue
            with self._lock:
                task.handle, is_cancelled = handle, task.is_cancelled
            if is_cancelled:
                handle.cancel()
            handle.future.add_done_callback(partial(self._end, task))

    # Tasks that end, or begin again

    def _leave(self, task: _Task, *, again: bool = False) -> None:
        with self._lock:
            now, tenant = self._clock(), self._tenants[task.tenant]
            tenant.running.remove(task)
            tenant.used += now - task.began
            tenant.last_end = now
            self._begun -= 1
            if again:
                task.handle, task.stops, task.submitted = None, task.stops + 1, now
                tenant.waiting.appendleft(task)

    def _end(self, task: _Task, ended: Future[Any]) -> None:
        error = ended.exception()
        again = task.is_stopped and not task.is_cancelled and isinstance(error, TaskCancelled | WorkerLost)
        self._leave(task, again=again)
        self._give_work()
        if again:
            self._watch()
        elif error is not None:
            task.future.set_exception(error)
        else:
            task.future.set_result(ended.result())

    # Tasks that give way

    def _watch(self) -> None:
        """Look after what waits, in a thread that ends when nothing does."""
        with self._lock:
            if self._watched or not any(tenant.waiting for tenant in self._tenants.values()):
                return
            self._watched = True
        threading.Thread(target=self._look_on, name="tenants", daemon=True).start()

    def _look_on(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            with self._lock:
                if not any(tenant.waiting for tenant in self._tenants.values()):
                    self._watched = False
                    return
            self.look()

    def look(self) -> None:
        """Begin what need not give way any more, and stop a task where a tenant has waited too long."""
        self._give_work()
        with self._lock:
            task = self._choose(self._clock())
            if task is None or task.handle is None:
                return
            task.is_stopped, handle = True, task.handle
        log.info("task.preempted", task=getattr(task.function, "__name__", ""), stops=task.stops + 1)
        handle.cancel(CANCEL_GRACE)

    def _choose(self, now: float) -> _Task | None:
        """The task to stop, one at a time; its tenant is noted to give way."""
        tenant = self._first(now)
        if tenant is None or tenant.running or now - tenant.waiting[0].submitted < _PREEMPT_AFTER:
            return None
        others = [other for other in self._tenants.values() if other.running]
        if any(task.is_stopped for other in others for task in other.running):
            return None
        most = max((len(other.running) for other in others), default=0)
        ranked = sorted(
            (other for other in others if len(other.running) == most),
            key=lambda other: other.time_used(now),
            reverse=True,
        )
        for other in ranked:
            task = other.running[-1]
            has_had_its_quantum = most > 1 or now - task.began >= _PREEMPT_AFTER * 2**task.stops
            if other.time_used(now) > tenant.time_used(now) and has_had_its_quantum and task.handle is not None:
                other.gave_way_to = tenant
                return task
        return None


@dataclass(slots=True, eq=False)
class _Task:
    """A task that waits for its turn, or with a ``handle``, runs.

    ``stops`` counts how often it was stopped to give way; ``is_stopped``: it was told to, and still runs.
    """

    tenant: str
    function: Callable[[Any, TaskContext], Any]
    argument: Any
    context: Context
    submitted: float
    future: Future[Any] = field(default_factory=Future)
    handle: TaskHandle[Any] | None = None
    began: float = 0.0
    stops: int = 0
    is_stopped: bool = False
    is_cancelled: bool = False


@dataclass(slots=True, eq=False)
class _Tenant:
    """The tasks of one org; those that run, in the order in which they began.

    ``used``: the worker seconds of ended tasks, on the scale that all tenants share; ``turn`` numbers the last start.
    """

    waiting: deque[_Task] = field(default_factory=deque)
    running: list[_Task] = field(default_factory=list)
    used: float = 0.0
    turn: int = 0
    last_end: float = 0.0
    gave_way_to: _Tenant | None = None

    @property
    def is_active(self) -> bool:
        return bool(self.waiting or self.running)

    def time_used(self, now: float) -> float:
        return self.used + sum(now - task.began for task in self.running)


@dataclass(frozen=True, slots=True)
class _TenantRunner:
    fair_share: FairShareRunner
    name: str

    @property
    def slots(self) -> int:
        return self.fair_share.inner.slots

    def submit(self, function: Callable[[Any, TaskContext], Any], argument: Any) -> TaskHandle[Any]:
        return self.fair_share.submit(self.name, function, argument)

    def close(self) -> None:
        """The runner belongs to its maker."""


@dataclass(frozen=True, slots=True)
class _Handle:
    fair_share: FairShareRunner
    task: _Task

    @property
    def future(self) -> Future[Any]:
        return self.task.future

    def progress(self) -> tuple[int, int]:
        handle = self.task.handle
        return (0, 0) if handle is None else handle.progress()

    def cancel(self, grace: float | None = None) -> None:
        self.fair_share.cancel(self.task)

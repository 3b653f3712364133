"""Share workers fairly between tenants (orgs), by the worker time that each has used.

A free worker goes to the tenant that has used the least worker seconds (start-time fair queueing: what a tenant did
not use while it had no tasks is not saved up). The seconds are measured, so a tenant with long tasks waits for
tenants with short ones, and not the other way round.

Long tasks are preempted. When a tenant without a worker has waited for :data:`_PREEMPT_AFTER` seconds, a running task
of a tenant that has used more is cancelled and restarted later, transparently to its submitter:

* A tenant with several workers loses the task that started last. Its oldest one is never chosen, so it progresses.
* Where every tenant has one worker at most, the task of the tenant with the most time used is chosen, once it has run
  for a quantum of time, which doubles with each preemption. So repeated work takes no longer than work done once, and
  every task finishes.

Small tasks that wait behind each other go to a worker as a group (:mod:`penstock.runners.task_groups`).

The preempted tenant takes the worker back when the other has had no tasks for :data:`_QUIET` seconds, or has used as
much time: small jobs are a chain of short tasks with short gaps.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import structlog

from penstock.errors import TaskCancelled, WorkerLost
from penstock.runners.base import Runner, TaskContext, TaskHandle, slots_of
from penstock.runners.task_groups import MAX_BYTES, MAX_TASKS, Succeeded, TaskGroup, run_group, size_in_group

log = structlog.get_logger(__name__)

_PREEMPT_AFTER = 1.0
"""Seconds that a tenant without a worker waits before a preemption; also the first quantum."""
_QUIET = 0.5
CANCEL_GRACE = 3.0
"""Seconds after which a preempted task that doesn't stop is killed."""
_CHECK_SECONDS = 0.1


class FairShareRunner:
    """Submits to ``inner`` as many tasks as it has slots. Thread-safe.

    A task that reserves several slots waits until they are free; tasks behind it wait as well, or it might for ever.
    """

    def __init__(self, inner: Runner, clock: Callable[[], float] = time.monotonic) -> None:
        self.inner = inner
        self._clock = clock
        self._lock = threading.Lock()
        self._tenants: dict[str, _Tenant] = {}
        self._taken = 0  # slots
        self._turns = count(1)
        self._watched = False

    def for_tenant(self, name: str) -> Runner:
        """The runner for the tasks of one org."""
        return _TenantRunner(self, name)

    def submit(self, name: str, function: Callable[[Any, TaskContext], Any], argument: Any) -> TaskHandle[Any]:
        task = _Task(name, function, argument, copy_context(), self._clock())
        with self._lock:
            self._open(name).waiting.append(task)
        self._dispatch()
        self._watch()
        return _Handle(self, task)

    def cancel(self, task: _Task) -> None:
        with self._lock:
            task.is_cancelled = True
            handle, tenant = (task.group or task).handle, self._tenants.get(task.tenant)
            was_waiting = tenant is not None and task in tenant.waiting
            if tenant is not None and was_waiting:
                tenant.waiting.remove(task)
        if handle is not None:
            handle.cancel()
        elif was_waiting:
            task.future.set_exception(TaskCancelled("the task was cancelled before it began"))

    # Selection of the next tenant

    def _open(self, name: str) -> _Tenant:
        """The tenant; one without tasks starts with the time of the active tenant that has used least."""
        now = self._clock()
        active = [tenant.time_used(now) for tenant in self._tenants.values() if tenant.is_active]
        least = min(active, default=None)
        if least is None:
            self._tenants.clear()
        else:
            self._tenants = {
                key: tenant
                for key, tenant in self._tenants.items()
                if tenant.is_active or tenant.used > least or now - tenant.last_end < _QUIET
            }
        tenant = self._tenants.setdefault(name, _Tenant())
        if not tenant.is_active and least is not None:
            tenant.used = max(tenant.used, least)
        return tenant

    def _first(self, now: float) -> _Tenant | None:
        """The next waiting tenant, without those that yield to another."""
        waiting = [tenant for tenant in self._tenants.values() if tenant.waiting and not self._yields(tenant, now)]
        return min(waiting, key=lambda tenant: (tenant.time_used(now), tenant.turn), default=None)

    def _yields(self, tenant: _Tenant, now: float) -> bool:
        preemptor = tenant.gave_way_to
        if preemptor is None:
            return False
        is_preemptor_active = preemptor.is_active or now - preemptor.last_end < _QUIET
        if is_preemptor_active and preemptor.time_used(now) <= tenant.time_used(now):
            return True
        tenant.gave_way_to = None
        return False

    def _next(self) -> _Task | None:
        with self._lock:
            slots = max(1, self.inner.slots)
            if self._taken >= slots:
                return None
            now = self._clock()
            tenant = self._first(now)
            if tenant is None:
                return None
            task = tenant.waiting[0]
            taken = min(slots_of(task.argument), slots)
            if self._taken + taken > slots:
                return None
            task = _group_of(_take_small(tenant.waiting, slots)) or tenant.waiting.popleft()
            task.began, task.is_stopped, task.slots = now, False, taken
            tenant.running.append(task)
            tenant.turn = next(self._turns)
            self._taken += taken
            return task

    def _dispatch(self) -> None:
        while (task := self._next()) is not None:
            try:
                # In the submitter's context, so that its trace continues.
                handle = task.context.run(self.inner.submit, task.function, task.argument)
            except Exception as error:  # noqa: BLE001 - the submitter waits for the task, whatever it is
                self._leave(task)
                for each in task.members or (task,):
                    each.future.set_exception(error)
                continue
            with self._lock:
                task.handle = handle
                is_cancelled = task.is_cancelled or any(member.is_cancelled for member in task.members)
            if is_cancelled:
                handle.cancel()
            handle.future.add_done_callback(partial(self._end, task))

    # End and restart of tasks

    def _leave(self, task: _Task, *, again: Sequence[_Task] = ()) -> None:
        """End a task that was running; those of ``again`` wait again, before all others, to run alone."""
        with self._lock:
            now, tenant = self._clock(), self._tenants[task.tenant]
            tenant.running.remove(task)
            tenant.used += (now - task.began) * task.slots
            tenant.last_end = now
            self._taken -= task.slots
            for each in reversed(again):
                each.handle, each.stops, each.submitted = None, each.stops + 1, now
                each.group, each.runs_alone = None, True
                tenant.waiting.appendleft(each)

    def _end(self, task: _Task, future: Future[Any]) -> None:
        error = future.exception()
        if task.members:
            self._end_group(task, [None] * len(task.members) if error is not None else future.result())
            return
        restart = task.is_stopped and not task.is_cancelled and isinstance(error, TaskCancelled | WorkerLost)
        self._leave(task, again=[task] if restart else [])
        self._dispatch()
        if restart:
            self._watch()
        elif error is not None:
            task.future.set_exception(error)
        else:
            task.future.set_result(future.result())

    def _end_group(self, group: _Task, outcomes: Sequence[Succeeded | None]) -> None:
        """Give the tasks of a group their results; those without one run again, alone."""
        ended = list(zip(group.members, outcomes, strict=True))
        again = [task for task, outcome in ended if outcome is None and not task.is_cancelled]
        self._leave(group, again=again)
        self._dispatch()
        self._watch()
        for task, outcome in ended:
            if outcome is not None:
                task.future.set_result(outcome.result)
            elif task not in again:
                task.future.set_exception(TaskCancelled("the task was cancelled"))

    # Preemption

    def _watch(self) -> None:
        """Start the preemption thread, which ends when no task waits."""
        with self._lock:
            if self._watched or not any(tenant.waiting for tenant in self._tenants.values()):
                return
            try:
                threading.Thread(target=self._watch_loop, name="fair-share", daemon=True).start()
            except RuntimeError as error:
                # Tasks start and end without it; the next one that waits starts it.
                log.warning("preemption.not_started", error=str(error))
                return
            self._watched = True

    def _watch_loop(self) -> None:
        while True:
            time.sleep(_CHECK_SECONDS)
            with self._lock:
                if not any(tenant.waiting for tenant in self._tenants.values()):
                    self._watched = False
                    return
            self.look()

    def look(self) -> None:
        """Start tasks of tenants that no longer yield, and preempt a task where a tenant has waited too long."""
        self._dispatch()
        with self._lock:
            task = self._choose(self._clock())
            if task is None or task.handle is None:
                return
            task.is_stopped, handle = True, task.handle
        log.info("task.preempted", task=getattr(task.function, "__name__", ""), stops=task.stops + 1)
        handle.cancel(CANCEL_GRACE)

    def _choose(self, now: float) -> _Task | None:
        """The task to preempt, one at a time; marks its tenant as yielding."""
        tenant = self._first(now)
        if tenant is None or tenant.running or now - tenant.waiting[0].submitted < _PREEMPT_AFTER:
            return None
        holders = [holder for holder in self._tenants.values() if holder.running]
        if any(task.is_stopped for holder in holders for task in holder.running):
            return None
        most = max((len(holder.running) for holder in holders), default=0)
        ranked = sorted(
            (holder for holder in holders if len(holder.running) == most),
            key=lambda holder: holder.time_used(now),
            reverse=True,
        )
        for holder in ranked:
            task = holder.running[-1]
            quantum_is_over = most > 1 or now - task.began >= _PREEMPT_AFTER * 2**task.stops
            if holder.time_used(now) > tenant.time_used(now) and quantum_is_over and task.handle is not None:
                holder.gave_way_to = tenant
                return task
        return None


@dataclass(slots=True, eq=False)
class _Task:
    """A waiting task, or a running one with a ``handle``.

    ``slots`` are those that it has taken; ``stops`` counts its preemptions; ``is_stopped``: it is being preempted,
    and still runs. ``members`` are the tasks that it is a group of, each of which runs as part of its ``group``;
    ``runs_alone``: it is not to be part of one again.
    """

    tenant: str
    function: Callable[[Any, TaskContext], Any]
    argument: Any
    context: Context
    submitted: float
    future: Future[Any] = field(default_factory=Future)
    handle: TaskHandle[Any] | None = None
    slots: int = 1
    began: float = 0.0
    stops: int = 0
    is_stopped: bool = False
    is_cancelled: bool = False
    members: Sequence[_Task] = ()
    group: _Task | None = None
    runs_alone: bool = False


def _take_small(waiting: deque[_Task], slots: int) -> list[_Task]:
    """Take the small tasks at the head of a queue that make up a group: one worker's share of those that wait."""
    most, left, taken = min(MAX_TASKS, -(-len(waiting) // slots)), MAX_BYTES, list[_Task]()
    while waiting and len(taken) < most and not waiting[0].runs_alone:
        size = size_in_group(waiting[0].argument)
        if size is None or size > left:
            break
        left -= size
        taken.append(waiting.popleft())
    return taken


def _group_of(tasks: Sequence[_Task]) -> _Task | None:
    """A task that runs all of these."""
    if len(tasks) < 2:
        return tasks[0] if tasks else None
    first = tasks[0]
    argument = TaskGroup([(task.function, task.argument) for task in tasks])
    group = _Task(first.tenant, run_group, argument, first.context, first.submitted, members=tasks)
    for task in tasks:
        task.group = group
    return group


@dataclass(slots=True, eq=False)
class _Tenant:
    """The tasks of one org; running ones in the order of their start.

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
        return self.used + sum((now - task.began) * task.slots for task in self.running)


@dataclass(frozen=True, slots=True)
class _TenantRunner:
    fair_share: FairShareRunner
    name: str

    @property
    def slots(self) -> int:
        return self.fair_share.inner.slots

    @property
    def slots_per_task(self) -> int:
        return self.fair_share.inner.slots_per_task

    def submit(self, function: Callable[[Any, TaskContext], Any], argument: Any) -> TaskHandle[Any]:
        return self.fair_share.submit(self.name, function, argument)

    def close(self) -> None:
        """Does nothing: the owner of the inner runner closes it."""


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

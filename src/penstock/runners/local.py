"""Run tasks on one machine, in a few warm worker processes, forked by a fork server.

Lance holds threads that don't survive a fork, so workers are not forked from the server. Python's fork server is a
program of its own: it loads modules once for all workers (:func:`preload_workers`), but not Lance. Progress and
cancellation pass through lock-free shared memory: a worker may be killed at any moment and leaves nothing locked.

Each worker is a pool of one process. A pool whose process dies fails all its tasks, and doesn't record which process
ran which task; with one process per pool only the running task fails.

A worker that hangs, through a debugger, a signal or a deadlock, would keep its task for ever: each worker sends
heartbeats, and is killed when they stop. So is one whose task ignores its cancellation, or stalls
(:mod:`penstock.runners.stalls`).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from ctypes import c_int64
from dataclasses import dataclass
from functools import partial
from multiprocessing import forkserver
from multiprocessing.sharedctypes import RawArray
from typing import Any

import structlog

from penstock.errors import PenstockError, TaskCancelled, WorkerLost
from penstock.machine import memory_limit, oom_kills
from penstock.runners.base import Bounded, Reserving
from penstock.runners.memory import (
    die_before_server,
    limit_memory,
    memory_exceeded,
    private_bytes,
    trim_malloc,
)
from penstock.runners.parent_death import die_with_forker, die_with_parent
from penstock.runners.stalls import STALL_SECONDS, StallWatch

log = structlog.get_logger(__name__)

_CLOSING = 0
"""The board's first index: set when the runner closes."""
_WORKERS = 1
"""From here on, for each worker: its process id, 0 until it has started, and a heartbeat counter."""
_PID, _BEAT, _PLACES = 0, 1, 2
_STALLED = -1
"""In place of the heartbeat counter: the task has stalled."""
_SLOTS_PER_WORKER = 256
"""After the workers come the slots of tasks that run or wait. A task's slot is the index where it begins."""
_BYTES, _ROWS, _STOP, _EXCESS, _WIDTH = 0, 1, 2, 3, 4
"""``_STOP`` is 0, or cancels the task: then it is the milliseconds until its worker is killed."""
_BEAT_SECONDS = 0.5
_CHECK_SECONDS = 1.0
HEARTBEAT_TIMEOUT = 30.0
CANCEL_GRACE = 30.0
_CLOSING_SECONDS = 5.0
"""Time left to a task at closing. An index build can't be cancelled and may take minutes; it is repeated."""
_NICENESS = 10
"""Workers have a lower priority than the server process, so that calls are answered while both cores parse."""


_FORKS = multiprocessing.get_context("forkserver")
_STARTING = threading.Lock()


def preload_workers(modules: Sequence[str]) -> None:
    """Have the fork server of this process, before it starts, import modules: they are loaded in each worker.

    What they do when they are imported must survive a fork. A module that isn't found is left out.
    """
    _FORKS.set_forkserver_preload(list(modules))


def _ensure_fork_server() -> None:
    """Start the fork server if it doesn't run.

    It looks for modules in the working directory first, unless it runs in safe mode: any file there with the name of
    one that it loads would be run. Python reads the mode from the environment.
    """
    with _STARTING:
        mode = os.environ.get("PYTHONSAFEPATH")
        os.environ["PYTHONSAFEPATH"] = "1"
        try:
            forkserver.ensure_running()
        finally:
            if mode is None:
                del os.environ["PYTHONSAFEPATH"]
            else:
                os.environ["PYTHONSAFEPATH"] = mode


class LocalRunner:
    """Runs tasks in ``workers`` processes. ``setup`` runs once in each.

    When a worker dies, the task that it was running ends with ``WorkerLost`` and a fresh worker takes its place;
    tasks of other workers, and waiting tasks, continue.

    Args:
        silence: seconds without a heartbeat after which a worker is killed.
        grace: seconds after the cancellation of its task after which a worker is killed.
        stall: seconds without processor time after which the worker of a task is killed.
    """

    def __init__(
        self,
        workers: int,
        setup: Callable[[], None] | None = None,
        *,
        silence: float = HEARTBEAT_TIMEOUT,
        grace: float = CANCEL_GRACE,
        stall: float = STALL_SECONDS,
    ) -> None:
        slots = _WORKERS + workers * _PLACES
        self._board = RawArray(c_int64, slots + workers * _SLOTS_PER_WORKER * _WIDTH)
        self._slots = range(slots, len(self._board), _WIDTH)
        self._free = list(self._slots)
        self._lock = threading.Lock()
        self._closed = False
        self._workers = [_Worker(self._board, number, setup, stall) for number in range(workers)]
        self._idle = list(self._workers)
        self._waiting: deque[_Task] = deque()
        self._silence, self._grace = silence, grace
        self._oom_kills = oom_kills()
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="workers", daemon=True).start()

    @property
    def slots(self) -> int:
        return len(self._workers)

    @property
    def slots_per_task(self) -> int:
        return self.slots

    @property
    def restarts(self) -> int:
        """Number of restarts of workers that died."""
        return sum(worker.restarts for worker in self._workers)

    def warm(self) -> None:
        """Start the workers now, without waiting for them."""
        # The first one waits until the fork server has loaded its modules.
        threading.Thread(target=self._warm, name="warm-workers", daemon=True).start()

    def _warm(self) -> None:
        for worker in self._workers:
            with self._lock:
                if self._closed or worker not in self._idle:
                    continue
                self._idle.remove(worker)
                task = worker.task = self._new_task(_do_nothing, None)
            self._start(task, worker)

    def submit(self, function: Callable[[Any, _Context], Any], argument: Any) -> _Handle:
        with self._lock:
            if self._closed:
                raise TaskCancelled("the server is stopping")
            task = self._new_task(function, argument)
            self._waiting.append(task)
        self._dispatch()
        return task.handle

    def _new_task(self, function: Callable[[Any, _Context], Any], argument: Any) -> _Task:
        if not self._free:
            raise RuntimeError(f"more than {len(self._slots)} tasks at a time; submit fewer")
        slot = self._free.pop()
        self._board[slot : slot + _WIDTH] = [0] * _WIDTH
        return _Task(function, argument, slot, _Handle(self._board, slot, self._lock, self._grace))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            waiting = list(self._waiting)
            self._waiting.clear()
            for slot in self._slots:
                self._board[slot + _STOP] = _millis(self._grace)
            self._board[_CLOSING] = 1
        for task in waiting:
            task.handle.future.set_exception(TaskCancelled("the task was cancelled before it began"))
        for worker in self._workers:
            worker.close()
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(_CHECK_SECONDS):
            for worker in self._workers:
                if worker.task is not None or self._closed:
                    worker.look(self._silence)

    def _dispatch(self) -> None:
        """Start waiting tasks on idle workers."""
        while True:
            with self._lock:
                if not self._waiting or not self._idle:
                    return
                task, worker = self._waiting.popleft(), self._idle.pop()
                worker.task = task
            self._start(task, worker)

    def _start(self, task: _Task, worker: _Worker) -> None:
        """Start a task on a worker that is taken from the idle ones: no other thread submits to it or replaces it."""
        future = worker.submit(_run, task.function, task.argument, task.slot)
        future.add_done_callback(partial(self._finish, task, worker))

    def _why_lost(self, taken: int, fault: str) -> PenstockError:
        """``taken``: the bytes for which the worker was killed, 0 if not; ``fault``: another reason, or ``""``."""
        if taken:
            return memory_exceeded(taken)
        with self._lock:
            before, self._oom_kills = self._oom_kills, oom_kills()
        if not fault and self._oom_kills > before:
            limit = memory_limit()
            return WorkerLost(
                "a worker process was killed by the kernel, out of memory: the server and its workers have "
                f"{limit.size >> 20} MiB ({limit.source}). Raise the limit, or lower workers or memory_budget"
            )
        return WorkerLost(f"a worker process {fault or 'was killed while it worked on this task'}")

    def _finish(self, task: _Task, worker: _Worker, running: Future[Any]) -> None:
        # The slot is freed only after the handle is done: a late cancel() must not reach the next task.
        task.handle.progress()
        future = task.handle.future
        worker.task = None
        if running.cancelled():
            future.set_exception(TaskCancelled("the task was cancelled before it began"))
        elif isinstance(error := running.exception(), BrokenProcessPool):
            why = self._why_lost(self._board[task.slot + _EXCESS], worker.fault)
            worker.replace()
            future.set_exception(why)
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(running.result())
        with self._lock:
            self._free.append(task.slot)
            self._idle.append(worker)
        self._dispatch()


@dataclass(frozen=True, slots=True)
class _Task:
    """A waiting or running task."""

    function: Callable[[Any, _Context], Any]
    argument: Any
    slot: int
    handle: _Handle


class _Worker:
    """One worker process, restarted after its death. Runs one task at a time."""

    def __init__(self, board: Any, number: int, setup: Callable[[], None] | None, stall: float) -> None:
        self._board = board
        self._place = _WORKERS + number * _PLACES
        self._setup = setup
        self._stall = stall
        self._pool: ProcessPoolExecutor | None = self._start()
        self._broken: ProcessPoolExecutor | None = None
        self._closed = False
        self.restarts = 0
        self.task: _Task | None = None
        self.fault = ""
        self._last_check: tuple[_Task | None, int] = (None, 0)
        self._silent_checks = self._cancelled_checks = 0

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Submit to the process. Never raises: the future has the error if it can't start."""
        try:
            _ensure_fork_server()
            try:
                return self._running_pool().submit(function, *arguments)
            except BrokenProcessPool:  # it died while idle
                self.replace()
                return self._running_pool().submit(function, *arguments)
        except (OSError, EOFError, RuntimeError) as error:
            if self._closed:
                return _failed(TaskCancelled("the server is stopping"))
            # The system is out of files, processes or threads (RuntimeError), or the fork server has ended (EOFError)
            # and is started anew next time. The pool would run this task with the next one, or never any.
            self._kill_pool()
            return _failed(WorkerLost(f"a worker process cannot be started: {error}"))

    def replace(self) -> None:
        """Give up the dead process; the next task starts another one, or fails if the system refuses it."""
        self.restarts += 1
        self.fault = ""
        # From Python 3.12 on a broken pool holds a lock while it runs the callbacks of its tasks, which lead here,
        # and takes it again when it is garbage-collected: keep a reference until the callbacks are over.
        self._broken, self._pool = self._pool, None

    def _kill_pool(self) -> None:
        processes = None if self._pool is None else self._pool._processes
        for process in list((processes or {}).values()):
            process.kill()
        self.replace()

    def look(self, silence: float) -> None:
        """Kill the process after ``silence`` seconds without a heartbeat, or if its task stalls or goes on too long.

        Seconds are counted by checks and not by a clock: this process may have been suspended itself.
        """
        task, pid, beat = self.task, self._board[self._place + _PID], self._board[self._place + _BEAT]
        last_task, last_beat = self._last_check
        self._last_check = (task, beat)
        if not pid or task is not last_task:
            self._silent_checks = self._cancelled_checks = 0
            return
        grace = 0.0 if task is None else self._board[task.slot + _STOP] / 1000
        self._silent_checks = self._silent_checks + 1 if beat == last_beat else 0
        self._cancelled_checks = self._cancelled_checks + 1 if grace else 0
        if beat == _STALLED:
            self._kill(pid, f"used no processor for {self._stall:g} s")
        elif self._silent_checks * _CHECK_SECONDS >= silence:
            self._kill(pid, f"sent no heartbeat for {silence:g} s")
        elif grace and self._cancelled_checks * _CHECK_SECONDS >= grace:
            self._kill(pid, f"did not stop within {grace:g} s after cancellation")

    def _kill(self, pid: int, fault: str) -> None:
        self.fault = f"{fault}, and was killed"
        log.warning("worker.ended", pid=pid, reason=fault)
        self._board[self._place + _PID] = 0  # once is enough
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _running_pool(self) -> ProcessPoolExecutor:
        if self._closed:
            raise RuntimeError("the runner is closed")
        if self._pool is None:
            self._pool = self._start()
        return self._pool

    def _start(self) -> ProcessPoolExecutor:
        self._board[self._place + _PID] = 0
        arguments = (self._board, self._place, self._setup, self._stall)
        return ProcessPoolExecutor(1, mp_context=_FORKS, initializer=_begin, initargs=arguments)


def _millis(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _failed(error: Exception) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


class _Handle:
    def __init__(self, board: Any, slot: int, lock: threading.Lock, grace: float) -> None:
        self._board = board
        self._grace = grace
        self._slot = slot
        self._lock = lock
        self._future: Future[Any] = Future()
        self._last = (0, 0)

    @property
    def future(self) -> Future[Any]:
        return self._future

    def progress(self) -> tuple[int, int]:
        # A finished task's slot may already belong to another task.
        if not self._future.done():
            self._last = (self._board[self._slot + _BYTES], self._board[self._slot + _ROWS])
        return self._last

    def cancel(self, grace: float | None = None) -> None:
        with self._lock:
            if not self._future.done():
                self._board[self._slot + _STOP] = _millis(self._grace if grace is None else grace)


class _Context:
    """A task's side of its slot on the board."""

    def __init__(self, board: Any, slot: int) -> None:
        self._board = board
        self._slot = slot

    def report(self, done_bytes: int, done_rows: int) -> None:
        self._board[self._slot + _BYTES] = done_bytes
        self._board[self._slot + _ROWS] = done_rows

    def check(self) -> None:
        if self._board[self._slot + _STOP]:
            raise TaskCancelled("the task was cancelled")

    def end_for_memory(self, taken: int) -> None:
        """Record ``taken``, and end this process before the machine runs out of memory."""
        self._board[self._slot + _EXCESS] = taken
        os._exit(1)


# In the worker

_worker_board: Any = None
_tasks = [0, 0]
"""How many tasks began here, and how many have ended."""


def _begin(board: Any, place: int, setup: Callable[[], None] | None, stall: float) -> None:
    global _worker_board
    _worker_board = board
    board[place + _PID] = os.getpid()
    # Ctrl-C reaches the whole process group; the server decides how its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    die_before_server()
    die_with_parent()
    die_with_forker()
    threading.Thread(target=_heartbeat, args=(place, stall), name="heartbeat", daemon=True).start()
    if setup is not None:
        setup()


def _heartbeat(place: int, stall: float) -> None:
    """Send heartbeats until the runner closes; then end the process. Trim memory after a beat without a task."""
    last = trimmed = 0
    watch = StallWatch(stall, _BEAT_SECONDS)
    while not _worker_board[_CLOSING]:
        begun, ended = _tasks
        if watch.is_stalled(begun if begun > ended else 0):
            _worker_board[place + _BEAT] = _STALLED
        else:
            _worker_board[place + _BEAT] += 1
        if begun == ended == last != trimmed:
            trim_malloc()
            trimmed = ended
        last = ended
        time.sleep(_BEAT_SECONDS)
    time.sleep(_CLOSING_SECONDS)
    os._exit(1)


def _run(function: Callable[[Any, _Context], Any], argument: Any, slot: int) -> Any:
    context = _Context(_worker_board, slot)
    context.check()
    limit = argument.memory_limit if isinstance(argument, Bounded) else None
    reserves = isinstance(argument, Reserving)
    _tasks[0] += 1
    try:
        with limit_memory(limit, context.end_for_memory, refuses=not reserves):
            return function(argument, context)
    finally:
        # The next split of a job needs as much again, and each page that was given back is filled with zeros first:
        # 12,000 to 20,000 page faults for a split of 60 MB, and 2,000 to 3,000 if its memory is that of the last one.
        # After a task that had reserved more than one slot, the next one has a lower limit.
        if limit is None or reserves or private_bytes() > limit // 2:
            trim_malloc()
        _tasks[1] += 1


def _do_nothing(_argument: None, _context: _Context) -> None:
    """The task that has a worker started."""

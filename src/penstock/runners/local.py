"""The runner of one machine: a few warm worker processes, started by ``spawn``.

Lance and Arrow hold threads that don't survive a fork, so workers begin fresh. How far a task is, and whether it
should stop, passes through a piece of shared memory without locks: a worker may be killed at any moment and leaves
nothing locked.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from ctypes import c_int64
from multiprocessing.sharedctypes import RawArray
from typing import Any

from penstock.errors import TaskCancelled, WorkerLost
from penstock.runners.memory import give_memory_back

__all__ = ["LocalRunner"]

_SLOTS = 256
_BYTES, _ROWS, _STOP, _WIDTH = 0, 1, 2, 3
_NICENESS = 10
"""Workers give way to the server process, so that calls are answered while both cores parse."""


class LocalRunner:
    """Runs tasks in ``workers`` processes. ``setup`` runs once in each, e.g. to import what every task needs.

    When a worker dies, all tasks that were running or queued end with ``WorkerLost`` and the next submit starts
    fresh workers.
    """

    def __init__(self, workers: int, setup: Callable[[], None] | None = None) -> None:
        self._workers = workers
        self._setup = setup
        self._context = multiprocessing.get_context("spawn")
        self._board = RawArray(c_int64, _SLOTS * _WIDTH)
        self._free = list(range(_SLOTS))
        self._lock = threading.Lock()
        self._closed = False
        self._restarts = 0
        self._pool = self._start()

    @property
    def slots(self) -> int:
        return self._workers

    @property
    def restarts(self) -> int:
        """How often the workers were started again because one of them had died."""
        return self._restarts

    def warm(self) -> None:
        """Start the workers now, without waiting for them."""
        for _ in range(self._workers):
            self._submit(_pid)

    def submit(self, function: Callable[[Any, _Context], Any], argument: Any) -> _Handle:
        with self._lock:
            if not self._free:
                raise RuntimeError(f"more than {_SLOTS} tasks at a time; submit fewer")
            slot = self._free.pop()
            start = slot * _WIDTH
            self._board[start : start + _WIDTH] = [0, 0, 0]
        handle = _Handle(self._board, slot, self._lock)
        try:
            inner = self._submit(_run, function, argument, slot)
        except BaseException:
            self._release(slot)
            raise
        inner.add_done_callback(lambda done: self._finish(done, handle, slot))
        return handle

    def close(self) -> None:
        with self._lock:
            self._closed = True
            pool = self._pool
            for slot in range(_SLOTS):
                self._board[slot * _WIDTH + _STOP] = 1
        pool.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._workers, mp_context=self._context, initializer=_begin, initargs=(self._board, self._setup)
        )

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        with self._lock:
            if self._closed:
                raise TaskCancelled("the server is stopping")
            try:
                return self._pool.submit(function, *arguments)
            except BrokenProcessPool:
                self._restarts += 1
                self._pool = self._start()
                return self._pool.submit(function, *arguments)

    def _finish(self, inner: Future[Any], handle: _Handle, slot: int) -> None:
        # The slot is given away only after the handle knows its end: a late cancel() must not reach the next task.
        handle.progress()
        self._settle(inner, handle)
        self._release(slot)

    def _settle(self, inner: Future[Any], handle: _Handle) -> None:
        if inner.cancelled():
            handle.future.set_exception(TaskCancelled("the task was cancelled before it began"))
            return
        error = inner.exception()
        if isinstance(error, BrokenProcessPool):
            lost = WorkerLost("a worker process ended while it worked on this task (killed, or out of memory)")
            handle.future.set_exception(lost)
        elif error is not None:
            handle.future.set_exception(error)
        else:
            handle.future.set_result(inner.result())

    def _release(self, slot: int) -> None:
        with self._lock:
            self._free.append(slot)


class _Handle:
    def __init__(self, board: Any, slot: int, lock: threading.Lock) -> None:
        self._board = board
        self._start = slot * _WIDTH
        self._lock = lock
        self._future: Future[Any] = Future()
        self._last = (0, 0)

    @property
    def future(self) -> Future[Any]:
        return self._future

    def progress(self) -> tuple[int, int]:
        # A finished task's slot may belong to another task already.
        if not self._future.done():
            self._last = (self._board[self._start + _BYTES], self._board[self._start + _ROWS])
        return self._last

    def cancel(self) -> None:
        with self._lock:
            if not self._future.done():
                self._board[self._start + _STOP] = 1


class _Context:
    """A task's side of its slot on the board."""

    def __init__(self, board: Any, slot: int) -> None:
        self._board = board
        self._start = slot * _WIDTH

    def report(self, done_bytes: int, done_rows: int) -> None:
        self._board[self._start + _BYTES] = done_bytes
        self._board[self._start + _ROWS] = done_rows

    def check(self) -> None:
        if self._board[self._start + _STOP]:
            raise TaskCancelled("the task was told to stop")


# In the worker

_worker_board: Any = None


def _begin(board: Any, setup: Callable[[], None] | None) -> None:
    global _worker_board
    _worker_board = board
    # Ctrl-C reaches the whole group; the server decides what its workers do then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if setup is not None:
        setup()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _run(function: Callable[[Any, _Context], Any], argument: Any, slot: int) -> Any:
    context = _Context(_worker_board, slot)
    context.check()
    try:
        return function(argument, context)
    finally:
        give_memory_back()


def _pid() -> int:
    return os.getpid()

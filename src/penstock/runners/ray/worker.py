"""The code that runs in the cluster: tasks in Ray's workers, and the board of their progress."""

from __future__ import annotations

import os
import pickle  # nosec B403
import socket
import time
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import ray
from ray.exceptions import RayError

from penstock.errors import PenstockError, TaskCancelled, WorkerLost
from penstock.runners.base import Bounded, Reserving
from penstock.runners.memory import limit_memory, trim_malloc
from penstock.version import DISTRIBUTION

REPORT_SECONDS = 1.0
"""A report costs the worker 0.4 ms of processor time and the board 0.5 ms: this rate serves a thousand workers."""

_FINAL_REPORT_SECONDS = 2.0


class Board:
    """Actor that holds the last reports of running tasks, and which tasks are cancelled."""

    def __init__(self) -> None:
        self._progress: dict[int, tuple[int, int]] = {}
        self._stopped: set[int] = set()
        self._excess: dict[int, int] = {}

    def begin(self, task: int) -> bool:
        """Register a task at its start; return whether it is cancelled."""
        self._progress[task] = (0, 0)
        return task in self._stopped

    def report(self, task: int, done_bytes: int, done_rows: int) -> bool:
        """Save a task's progress; return whether it is cancelled. Late reports of ended tasks are ignored."""
        if task in self._progress:
            self._progress[task] = (done_bytes, done_rows)
        return task in self._stopped

    def stop(self, task: int) -> bool:
        """Cancel a task at its next report; return whether it has started."""
        self._stopped.add(task)
        return task in self._progress

    def exceed(self, task: int, taken: int) -> None:
        """Record that a task's worker exceeds its memory limit and is about to end."""
        self._excess[task] = taken

    def excess(self, task: int) -> int:
        """Remove and return the bytes for which a task's worker ended; 0 if it ended for another reason."""
        return self._excess.pop(task, 0)

    def progress(self, ended: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Remove ``ended`` tasks; return the bytes and rows of the running ones."""
        for task in ended:
            self._progress.pop(task, None)
            self._stopped.discard(task)
        return self._progress


class RayContext:
    """A task's side of the board. Calls are asynchronous; the reply is read once it has arrived."""

    def __init__(self, board: Any, task: int) -> None:
        self._board = board
        self._task = task
        self._done = (0, 0)
        self._last_report = -REPORT_SECONDS
        self._reply: Any = None
        self._stopped = False

    def begin(self) -> None:
        """Raises TaskCancelled for a task that was cancelled before it started."""
        self._stopped = self._read(self._board.begin.remote(self._task))
        self.check()

    def report(self, done_bytes: int, done_rows: int) -> None:
        self._done = (done_bytes, done_rows)
        self._exchange()

    def check(self) -> None:
        self._exchange()
        if self._stopped:
            raise TaskCancelled("the task was cancelled")

    def end_for_memory(self, taken: int) -> None:
        """Report ``taken``, and end this process before its host runs out of memory."""
        with suppress(RayError):
            ray.get(self._board.exceed.remote(self._task, taken), timeout=_FINAL_REPORT_SECONDS)
        os._exit(1)

    def _exchange(self) -> None:
        if self._reply is not None and ray.wait([self._reply], timeout=0)[0]:
            self._stopped = self._stopped or self._read(self._reply)
            self._reply = None
        now = time.monotonic()
        if self._reply is None and now - self._last_report >= REPORT_SECONDS:
            self._last_report = now
            self._reply = self._board.report.remote(self._task, *self._done)

    def _read(self, reply: Any) -> bool:
        try:
            return bool(ray.get(reply))
        except RayError:
            # The board is being restarted; cancelled tasks are then killed after their grace.
            return False


def run_task(needed: dict[str, str], setup: bytes, work: bytes, board: Any, number: int) -> bytes:
    """Run the pickled function on its argument; return a pickled pair: success, and the result or error.

    Errors are returned as values: Ray would wrap them and write them into its own logs.

    Args:
        needed: the versions that the server has; see :func:`versions`.
        setup: pickled, called once in each worker.
    """
    try:
        _compare(needed)
        _prepare(setup)
        context = RayContext(board, number)
        context.begin()
        function, argument = pickle.loads(work)  # nosec B301
        limit = argument.memory_limit if isinstance(argument, Bounded) else None
        with limit_memory(limit, context.end_for_memory, refuses=not isinstance(argument, Reserving)):
            return pickle.dumps((True, function(argument, context)))
    except Exception as error:  # noqa: BLE001 - it is the caller's
        return pickle.dumps((False, _portable(error)))
    finally:
        trim_malloc()


def versions() -> dict[str, str]:
    """The versions that must be equal on every host. Ray itself compares Python and Ray."""
    return {name: _installed(name) for name in (DISTRIBUTION, "pylance")}


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


@cache
def _own_versions() -> dict[str, str]:
    return versions()


def _compare(needed: dict[str, str]) -> None:
    if _own_versions() != needed:
        raise WorkerLost(f"the host {socket.gethostname()} has {describe(_own_versions())}, not {describe(needed)}")


def describe(those: Mapping[str, str]) -> str:
    """Format versions for messages."""
    return ", ".join(f"{name} {number}" for name, number in those.items())


@cache
def _prepare(setup: bytes) -> None:
    call = pickle.loads(setup)  # nosec B301
    if call is not None:
        call()


def _portable(error: Exception) -> Exception:
    """The error, or its text where it can't be pickled; unexpected errors get a note with their traceback."""
    if not isinstance(error, PenstockError):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # nosec B301
    except Exception:  # noqa: BLE001 - whatever an error's own pickling raises
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error

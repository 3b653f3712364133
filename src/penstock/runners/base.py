"""A runner runs a function over tasks, somewhere else: in worker processes, or on other hosts.

It knows no job and no catalog. The function and its argument must be picklable and importable in a worker.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar, runtime_checkable

__all__ = ["Bounded", "Runner", "TaskContext", "TaskHandle"]

Result = TypeVar("Result", covariant=True)


@runtime_checkable
class Bounded(Protocol):
    """A task's argument that says how many bytes of memory its worker may have meanwhile; None for no limit.

    A worker that has more is ended, and the task fails with :class:`~penstock.errors.MemoryExceeded`.
    """

    @property
    def memory_limit(self) -> int | None: ...


class TaskContext(Protocol):
    """What a task may tell and ask its runner while it works. Cheap: call it once per batch."""

    def report(self, done_bytes: int, done_rows: int) -> None:
        """How far the task is."""
        ...

    def check(self) -> None:
        """Raise :class:`~penstock.errors.TaskCancelled` when the task has been told to stop."""
        ...


class TaskHandle(Protocol[Result]):
    """A submitted task."""

    @property
    def future(self) -> Future[Any]:
        """The function's result or exception; :class:`~penstock.errors.WorkerLost` when the worker died."""
        ...

    def progress(self) -> tuple[int, int]:
        """Bytes and rows that the task reported last."""
        ...

    def cancel(self, grace: float | None = None) -> None:
        """Ask the task to stop; it ends with :class:`~penstock.errors.TaskCancelled` at its next ``check``.

        One that hasn't stopped after ``grace`` seconds (None: as the runner was told) is ended by force, and fails
        with :class:`~penstock.errors.WorkerLost`.
        """
        ...


class Runner(Protocol):
    @property
    def slots(self) -> int:
        """How many tasks run at the same time."""
        ...

    def submit(self, function: Callable[[Any, TaskContext], Any], argument: Any) -> TaskHandle[Any]: ...

    def close(self) -> None:
        """Stop the workers; running tasks end with ``TaskCancelled`` or ``WorkerLost``."""
        ...

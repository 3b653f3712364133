"""The runner interface: run functions on tasks in worker processes, or on other hosts.

A runner depends on neither jobs nor the catalog. The function and its argument must be picklable and importable in a
worker.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar, runtime_checkable

Result = TypeVar("Result", covariant=True)


@runtime_checkable
class Bounded(Protocol):
    """A task argument with a memory limit in bytes for its worker; None for no limit.

    A worker that exceeds it is killed, and the task fails with :class:`~penstock.errors.MemoryExceeded`.
    """

    @property
    def memory_limit(self) -> int | None: ...


@runtime_checkable
class Reserving(Bounded, Protocol):
    """A task argument that reserves ``slots`` of one host before the task starts: for the memory of as many tasks.

    Its worker is watched as above, but no allocation is refused: Lance ends the process when one is, and an index
    build allocated 826 MiB of which it filled 504.
    """

    @property
    def slots(self) -> int: ...


@runtime_checkable
class Groupable(Protocol):
    """A task argument with the bytes that the task reads: small tasks may be sent to a worker together.

    None: it must run alone, as one that waits for a network does, or those behind it in the group would wait, too.
    """

    @property
    def group_bytes(self) -> int | None: ...


def slots_of(argument: object) -> int:
    """The slots that a task takes."""
    return max(1, argument.slots) if isinstance(argument, Reserving) else 1


class TaskContext(Protocol):
    """A task's connection to its runner while it runs. Cheap: call it once per batch."""

    def report(self, done_bytes: int, done_rows: int) -> None:
        """Report the task's progress."""
        ...

    def check(self) -> None:
        """Raise :class:`~penstock.errors.TaskCancelled` when the task has been cancelled."""
        ...


class TaskHandle(Protocol[Result]):
    """A submitted task."""

    @property
    def future(self) -> Future[Any]:
        """The function's result or exception; :class:`~penstock.errors.WorkerLost` when the worker died."""
        ...

    def progress(self) -> tuple[int, int]:
        """The bytes and rows of the task's last report."""
        ...

    def cancel(self, grace: float | None = None) -> None:
        """Cancel the task; it ends with :class:`~penstock.errors.TaskCancelled` at its next ``check``.

        One that hasn't stopped after ``grace`` seconds (None: the runner's default) is killed, and fails
        with :class:`~penstock.errors.WorkerLost`.
        """
        ...


class Runner(Protocol):
    @property
    def slots(self) -> int:
        """Number of tasks that run at the same time."""
        ...

    @property
    def slots_per_task(self) -> int:
        """The most slots that one task can reserve: those of the largest host."""
        ...

    def submit(self, function: Callable[[Any, TaskContext], Any], argument: Any) -> TaskHandle[Any]: ...

    def close(self) -> None:
        """Stop the workers; running tasks end with ``TaskCancelled`` or ``WorkerLost``."""
        ...

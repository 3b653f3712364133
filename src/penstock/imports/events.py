"""What running jobs tells to whoever counts and traces it; this package knows neither how nor where to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Protocol

from penstock.domain.jobs import ImportJob

__all__ = ["NullObserver", "Observer", "Observers"]


class Observer(Protocol):
    """Called from many threads. Nothing here may raise or wait: a job doesn't fail for being watched."""

    def context(self) -> str | None:
        """What this thread does, as a text that may be kept (W3C ``traceparent``); None where nobody traces it."""
        ...

    def claimed(self, job: ImportJob) -> None:
        """This process begins to work on the job, or goes on with it."""
        ...

    def moved(self, job: ImportJob) -> None:
        """The job that this thread works on has come to another state."""
        ...

    def lost(self, job: ImportJob) -> None:
        """The job was ended from outside or taken over by another process while this one worked on it."""
        ...

    def retrying(self, doing: str, error: BaseException) -> None:
        """``doing`` (``planning``, ``split``, ``commit``) failed for a cause that may pass; it is tried again."""
        ...

    def staged(self, rows: int, size: int) -> None:
        """A split was read, checked and staged: its rows, and the bytes of its part of the file."""
        ...

    def published(self, rows: int, size: int) -> None:
        """A job's rows became visible: how many, and the bytes of its files."""
        ...

    def step(
        self, name: str, facts: Mapping[str, str | int], within: str | None = None
    ) -> AbstractContextManager[None]:
        """Around a step, in the thread that does it; an exception that leaves it says that the step failed.

        The steps: ``job`` (as long as this process works on it), and in it ``planning``, ``staging`` (in it each
        ``split``), ``commit``, ``index``. An index that is built in the background has no job around it, and neither
        has ``upkeep``, the compaction of a table. ``within`` is what :meth:`context` gave where the step's cause was,
        maybe in another process.
        """
        ...


class NullObserver:
    """Looks away."""

    def context(self) -> str | None:
        return None

    def claimed(self, job: ImportJob) -> None:
        return None

    def moved(self, job: ImportJob) -> None:
        return None

    def lost(self, job: ImportJob) -> None:
        return None

    def retrying(self, doing: str, error: BaseException) -> None:
        return None

    def staged(self, rows: int, size: int) -> None:
        return None

    def published(self, rows: int, size: int) -> None:
        return None

    def step(
        self, name: str, facts: Mapping[str, str | int], within: str | None = None
    ) -> AbstractContextManager[None]:
        return nullcontext()


class Observers:
    """Several observers, told in order."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def context(self) -> str | None:
        return next(filter(None, (observer.context() for observer in self._observers)), None)

    def claimed(self, job: ImportJob) -> None:
        for observer in self._observers:
            observer.claimed(job)

    def moved(self, job: ImportJob) -> None:
        for observer in self._observers:
            observer.moved(job)

    def lost(self, job: ImportJob) -> None:
        for observer in self._observers:
            observer.lost(job)

    def retrying(self, doing: str, error: BaseException) -> None:
        for observer in self._observers:
            observer.retrying(doing, error)

    def staged(self, rows: int, size: int) -> None:
        for observer in self._observers:
            observer.staged(rows, size)

    def published(self, rows: int, size: int) -> None:
        for observer in self._observers:
            observer.published(rows, size)

    @contextmanager
    def step(self, name: str, facts: Mapping[str, str | int], within: str | None = None) -> Iterator[None]:
        with ExitStack() as stack:
            for observer in self._observers:
                stack.enter_context(observer.step(name, facts, within))
            yield

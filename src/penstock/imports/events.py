"""The observer interface of running jobs, for metrics and traces; this package depends on neither."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Protocol

from penstock.domain.jobs import ImportJob


class Observer(Protocol):
    """Called from many threads. No method may raise or wait: observation must not fail a job."""

    def context(self) -> str | None:
        """This thread's trace context as text that may be stored (W3C ``traceparent``); None without tracing."""
        ...

    def claimed(self, job: ImportJob) -> None:
        """This process starts or continues the job."""
        ...

    def moved(self, job: ImportJob) -> None:
        """This thread's job has changed its state."""
        ...

    def lost(self, job: ImportJob) -> None:
        """The job's lease was lost: it was ended from outside, or taken over by another process."""
        ...

    def retrying(self, step: str, error: BaseException) -> None:
        """``step`` (``planning``, ``split``, ``commit``) failed with a transient error; it is retried."""
        ...

    def staged(self, rows: int, size: int, rejected: int = 0) -> None:
        """A split was read, checked and staged: its rows, the bytes of its file ranges, and the rows left out."""
        ...

    def published(self, rows: int, size: int) -> None:
        """A job was published: its rows, and the bytes of its files."""
        ...

    def step(
        self, name: str, facts: Mapping[str, str | int], within: str | None = None
    ) -> AbstractContextManager[None]:
        """Context manager around a step, in its thread; the step failed if an exception leaves it.

        The steps: ``job`` (while this process works on it), and in it ``planning``, ``staging`` (with ``split``),
        ``commit``, ``index``. Background steps have no job around them: ``index``, ``optimization`` of indexes, and
        ``maintenance``, which compacts a table. ``within`` is the value of :meth:`context` at the step's cause, maybe
        in another process.
        """
        ...


class NullObserver:
    """Does nothing."""

    def context(self) -> str | None:
        return None

    def claimed(self, job: ImportJob) -> None:
        return None

    def moved(self, job: ImportJob) -> None:
        return None

    def lost(self, job: ImportJob) -> None:
        return None

    def retrying(self, step: str, error: BaseException) -> None:
        return None

    def staged(self, rows: int, size: int, rejected: int = 0) -> None:
        return None

    def published(self, rows: int, size: int) -> None:
        return None

    def step(
        self, name: str, facts: Mapping[str, str | int], within: str | None = None
    ) -> AbstractContextManager[None]:
        return nullcontext()


class Observers:
    """Several observers, called in order."""

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

    def retrying(self, step: str, error: BaseException) -> None:
        for observer in self._observers:
            observer.retrying(step, error)

    def staged(self, rows: int, size: int, rejected: int = 0) -> None:
        for observer in self._observers:
            observer.staged(rows, size, rejected)

    def published(self, rows: int, size: int) -> None:
        for observer in self._observers:
            observer.published(rows, size)

    @contextmanager
    def step(self, name: str, facts: Mapping[str, str | int], within: str | None = None) -> Iterator[None]:
        with ExitStack() as stack:
            for observer in self._observers:
                stack.enter_context(observer.step(name, facts, within))
            yield

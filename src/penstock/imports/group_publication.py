"""Publish the jobs of a collection that are ready at the same time by one commit of its table: a group commit.

A commit costs the same for one row as for many jobs: reading the newest version, looking for the job, writing a
manifest, syncing it. While one thread commits, the jobs of others gather, and the next commit is theirs together. It
also waits for small jobs that are being staged, for a short time.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

import structlog

from penstock.domain.write_modes import Duplicates, WriteMode, WriteOptions
from penstock.engines.base import Engine
from penstock.engines.values import Publication, Published, Table
from penstock.errors import PenstockError

log = structlog.get_logger(__name__)

_GATHER_SECONDS = 0.5
"""The longest that a commit waits for the small jobs that are expected: 32 of them are staged in less."""


def may_be_grouped(options: WriteOptions) -> bool:
    """Whether a job may be published with others: it replaces no rows, and leaves out none of its own."""
    return options.mode is WriteMode.APPEND and options.duplicates not in (Duplicates.FIRST, Duplicates.LAST)


class GroupPublisher:
    """Publishes the jobs of this process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: WeakValueDictionary[str, _Group] = WeakValueDictionary()
        self._expected: dict[int, _Group] = {}

    def expect(self, table_id: str, job_id: int) -> None:
        """Have commits of the table wait for a job, until it is published or forgotten."""
        with self._lock:
            group = self._expected[job_id] = self._groups.setdefault(table_id, _Group())
        group.expect(job_id)

    def forget(self, job_id: int) -> None:
        """Expect a job no longer. Idempotent."""
        with self._lock:
            group = self._expected.pop(job_id, None)
        if group is not None:
            group.forget(job_id)

    def publish(self, engine: Engine, table: Table, job: Publication, options: WriteOptions) -> Published:
        """Publish a job, with others of its table if there are any. Raises as :meth:`Engine.publish`.

        A job that replaces rows, or leaves out some of its own, has a commit of its own.
        """
        waiting = _Waiting(engine, table, job, options)
        if not may_be_grouped(options):
            return waiting.publish_alone()
        with self._lock:
            group = self._groups.setdefault(table.id, _Group())
        outcome = group.publish(waiting) or waiting.publish_alone()
        if isinstance(outcome, PenstockError):
            raise outcome
        return outcome


@dataclass(slots=True, eq=False)
class _Waiting:
    """A thread's job. ``outcome`` is None where its group could not be published."""

    engine: Engine
    table: Table
    job: Publication
    options: WriteOptions
    outcome: Published | PenstockError | None = None
    ended: bool = False

    def publish_alone(self) -> Published:
        job = self.job
        return self.engine.publish(self.table, job.job_id, job.epoch, job.staged, self.options)


class _Group:
    """The jobs of one table: those that wait while others are being published."""

    def __init__(self) -> None:
        self._commit_lock = threading.Lock()
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._expected: set[int] = set()

    def expect(self, job_id: int) -> None:
        with self._changed:
            self._expected.add(job_id)

    def forget(self, job_id: int) -> None:
        with self._changed:
            self._expected.discard(job_id)
            self._changed.notify_all()

    def publish(self, mine: _Waiting) -> Published | PenstockError | None:
        with self._changed:
            self._waiting.append(mine)
        self.forget(mine.job.job_id)
        with self._commit_lock:
            if not mine.ended:  # else another thread has published it
                _publish_together(self._gather())
        return mine.outcome

    def _gather(self) -> list[_Waiting]:
        with self._changed:
            self._changed.wait_for(lambda: not self._expected, _GATHER_SECONDS)
            group, self._waiting = self._waiting, []
        return group


def _publish_together(group: Sequence[_Waiting]) -> None:
    first = group[0]
    try:
        outcomes = first.engine.publish_group(first.table, [waiting.job for waiting in group])
        for waiting in group:
            waiting.outcome = outcomes[waiting.job.job_id]
    except PenstockError as error:
        if len(group) == 1:
            first.outcome = error
            return
        # It may be the fault of one of them: published alone, each has its own error, and its own retries.
        log.warning("commit.group_failed", table=first.table.id, jobs=len(group), error=str(error))
    finally:
        for waiting in group:
            waiting.ended = True

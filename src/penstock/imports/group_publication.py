"""Publish the jobs of a collection that are ready at the same time by one commit of its table: a group commit.

A commit costs the same for one row as for many jobs: reading the newest version, looking for the job, writing a
manifest, syncing it. While one thread commits, the jobs of others gather, and the next commit is theirs together.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

import structlog

from penstock.domain.write_modes import Duplicates, WriteMode, WriteOptions
from penstock.engines.base import Engine, Publication, Published, Table
from penstock.errors import PenstockError

log = structlog.get_logger(__name__)


class GroupPublisher:
    """Publishes the jobs of this process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: WeakValueDictionary[str, _Group] = WeakValueDictionary()

    def publish(self, engine: Engine, table: Table, job: Publication, options: WriteOptions) -> Published:
        """Publish a job, with others of its table if there are any. Raises as :meth:`Engine.publish`.

        A job that replaces rows, or leaves out some of its own, has a commit of its own.
        """
        waiting = _Waiting(engine, table, job, options)
        if options.mode is not WriteMode.APPEND or options.duplicates in (Duplicates.FIRST, Duplicates.LAST):
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
        self._waiting_lock = threading.Lock()
        self._waiting: list[_Waiting] = []

    def publish(self, mine: _Waiting) -> Published | PenstockError | None:
        with self._waiting_lock:
            self._waiting.append(mine)
        with self._commit_lock:
            if not mine.ended:  # else another thread has published it
                with self._waiting_lock:
                    group, self._waiting = self._waiting, []
                _publish_together(group)
        return mine.outcome


def _publish_together(group: Sequence[_Waiting]) -> None:
    first = group[0]
    try:
        if len(group) == 1:
            first.outcome = first.publish_alone()
            return
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

"""The scheduler: claims jobs that nobody works on, runs each in a thread, and tidies up after those that ended."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable
from functools import partial

import structlog

from penstock.domain.jobs import ImportJob
from penstock.jobs.executor import Executor
from penstock.jobs.indexing import IndexKeeper
from penstock.jobs.pace import Pace
from penstock.jobs.tidying import OrphanSweep, discard_leftovers, drop_tables, end_overdue, forget_keys
from penstock.jobs.tools import Tools

__all__ = ["Scheduler"]

log = structlog.get_logger(__name__)

_RENEWALS = 6
"""Times that a lease is renewed before it would run out."""
_POLL = 1.0
"""Seconds after which the scheduler looks even when nothing woke it: another process may have created a job."""


class Scheduler:
    """Wakes by event (:meth:`wake`); claims are leases that it keeps renewing while their jobs run."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self.indexes = IndexKeeper(tools.catalog, tools.engine, tools.runner, tools.observer)
        self._executor = Executor(tools, self.indexes)
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._running: dict[int, threading.Thread] = {}
        self._lock = threading.Lock()
        self._loop = threading.Thread(target=self._work, name="scheduler", daemon=True)
        self._tidier = threading.Thread(target=self._tidy, name="tidier", daemon=True)
        self._untidy = threading.Event()

    def start(self) -> None:
        self.indexes.start()
        self._loop.start()
        self._tidier.start()
        self._untidy.set()

    def wake(self) -> None:
        """Something changed: a job may be claimed, or left something to tidy up."""
        self._wake.set()
        self._untidy.set()

    def stop(self) -> None:
        """Tell running jobs to pause at the next batch, and wait for them; they go on when a server is back."""
        self._stop.set()
        self.wake()
        for thread in (self._loop, self._tidier):
            if thread.ident is not None:  # a server that fails before its start stops what it never started
                thread.join()
        for thread in self._threads():
            thread.join()
        self.indexes.stop()

    @property
    def running(self) -> int:
        with self._lock:
            return len(self._running)

    def _threads(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._running.values())

    def _work(self) -> None:
        lease = int(self._tools.settings.lease * 1000)
        # Every create call wakes this loop; what need not be done for each of them has a pace of its own.
        renewals, looks = Pace(min(_POLL, self._tools.settings.lease / _RENEWALS)), Pace(_POLL)
        while not self._stop.is_set():
            self._wake.clear()
            try:
                if self.running and renewals.is_due():
                    self._tools.catalog.claims.renew(self._owner, lease)
                if looks.is_due():
                    end_overdue(self._tools)
                while self.running < self._tools.settings.max_running_jobs and not self._stop.is_set():
                    job = self._tools.catalog.claims.claim(self._owner, lease)
                    if job is None:
                        break
                    self._begin(job)
            except Exception:
                # The catalog may be out of reach for a while; the leases tell everybody who works on what.
                log.exception("scheduler.error")
            self._wake.wait(_POLL)

    def _begin(self, job: ImportJob) -> None:
        thread = threading.Thread(target=self._run, args=(job,), name=f"job-{job.id}", daemon=True)
        with self._lock:
            self._running[job.id] = thread
        thread.start()

    def _run(self, job: ImportJob) -> None:
        try:
            self._executor.run(job, self._stop)
        except Exception:
            log.exception("job.crashed", job_id=str(job.id))
            self._give_back(job)
        finally:
            with self._lock:
                self._running.pop(job.id, None)
            self.wake()

    def _give_back(self, job: ImportJob) -> None:
        """Let the lease run out by itself if even this fails: somebody will claim the job again."""
        try:
            self._tools.catalog.claims.release(job)
        except Exception:
            log.exception("job.release_failed", job_id=str(job.id))

    def _tidy(self) -> None:
        steps: list[Callable[[], None]] = [
            partial(step, self._tools) for step in (discard_leftovers, drop_tables, forget_keys)
        ]
        steps.append(OrphanSweep(self._tools))
        while not self._stop.is_set():
            self._untidy.wait(_POLL * 60)
            self._untidy.clear()
            for step in steps:
                if self._stop.is_set():
                    return
                try:
                    step()
                except Exception:
                    log.exception("tidy.error")
            self._stop.wait(_POLL)  # every create call wakes this loop, too

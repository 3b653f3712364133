"""Schedule jobs: claim those without a lease, run each in a thread, and run the cleanup."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable
from functools import partial

import structlog

from penstock.catalog.db.notifications import NotificationListener
from penstock.domain.jobs import ImportJob
from penstock.errors import CatalogUnavailable
from penstock.imports.cleanup import (
    OrphanCleanup,
    Retention,
    delete_expired_idempotency_keys,
    delete_staged_files,
    drop_tables,
    fail_overdue_jobs,
    finish_added_fields,
    purge_deleted_secrets,
)
from penstock.imports.context import ImportContext
from penstock.imports.dry_run.job import delete_key_spools
from penstock.imports.executor import Executor
from penstock.imports.maintenance import MaintenanceWorker
from penstock.imports.throttle import Throttle
from penstock.imports.uploads import delete_unneeded_uploads
from penstock.runners.base import Runner
from penstock.runners.fair_share import FairShareRunner

log = structlog.get_logger(__name__)

_RENEWALS = 6
"""Renewals within the duration of a lease."""
_POLL = 1.0
"""Seconds between polls without a wake-up: another process may have created a job."""

_MAX_JOBS = 16
"""Running jobs of all clusters together, unless one cluster may have more. Beyond that an org may have one:
long jobs of other orgs never block it, since workers are shared by time (:mod:`penstock.runners.fair_share`)."""
_MAX_THREADS = 256

_COMPANIONS = 31
"""Further small jobs of the same collection that run along with each job, and share its commits. None where jobs
run one at a time (``max_running_jobs`` is 1)."""

_PAUSE = 0.1
"""Seconds until the next claim after one without a result while jobs run, unless a job ends: create calls wake it."""

_YIELD = 0.1
"""Seconds until a process claims its next job, so that an idle process goes first."""


class Scheduler:
    """Claims and runs jobs on wake-ups (:meth:`wake`, catalog notifications); renews the leases while jobs run."""

    def __init__(self, context: ImportContext) -> None:
        self._context = context
        settings = context.settings
        self.maintenance = MaintenanceWorker(
            context.catalog, context.engines, FairShareRunner(context.runner), context.observer, settings
        )
        self._executor = Executor(context, self.maintenance)
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._wake = threading.Event()
        self._job_ended = threading.Event()
        self._running: dict[tuple[int, int], threading.Thread] = {}
        """By job and fencing epoch: a lost job may be claimed again here before its old thread has noticed."""
        self._companions: set[tuple[int, int]] = set()
        """Those that run along with another one."""
        self._lock = threading.Lock()
        self._loop = threading.Thread(target=self._work, name="scheduler", daemon=True)
        self._cleanup_thread = threading.Thread(target=self._cleanup_loop, name="cleanup", daemon=True)
        self._heartbeat_thread = threading.Thread(target=self._heartbeat, name="leases", daemon=True)
        self._listener = NotificationListener(context.catalog.database, self._on_notification)
        self._cleanup_requested = threading.Event()

    def start(self) -> None:
        self.maintenance.start()
        self._loop.start()
        self._cleanup_thread.start()
        self._heartbeat_thread.start()
        self._listener.start()
        self._cleanup_requested.set()

    def wake(self) -> None:
        """Wake the scheduler and the cleanup after a change."""
        self._wake.set()
        self._cleanup_requested.set()

    def _on_notification(self, _: str) -> None:
        self.wake()
        self.maintenance.wake()

    def runner_of(self, org_id: str) -> Runner:
        """The runner for tasks of an org, which shares the workers with its jobs."""
        return self.maintenance.fair_share.for_tenant(org_id)

    def stop(self) -> None:
        """Pause running jobs at the next batch and wait for them; they continue when a server is back."""
        self._stop.set()
        self._job_ended.set()
        self.wake()
        self._listener.stop()
        for thread in (self._loop, self._cleanup_thread):
            if thread.ident is not None:  # a server that fails before its start stops threads that never started
                thread.join()
        for thread in self._threads():
            thread.join()
        self._ended.set()
        if self._heartbeat_thread.ident is not None:
            self._heartbeat_thread.join()
        self.maintenance.stop()

    @property
    def running(self) -> int:
        with self._lock:
            return len(self._running)

    @property
    def _leading(self) -> int:
        """Running jobs without those that run along."""
        with self._lock:
            return len(self._running) - len(self._companions)

    def _threads(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._running.values())

    def _work(self) -> None:
        max_jobs = self._context.settings.max_running_jobs
        # Every create call wakes this loop; the deadline check is throttled.
        deadline_checks = Throttle(_POLL)
        while not self._stop.is_set():
            self._wake.clear()
            try:
                if deadline_checks.is_ready():
                    fail_overdue_jobs(self._context)
                while self.running < max(max_jobs, _MAX_THREADS) and not self._stop.is_set():
                    self._job_ended.clear()
                    if not self._claim(max_jobs):
                        # Usually the limit is reached, which only the end of a job changes, yet create calls wake it.
                        if self.running:
                            self._job_ended.wait(_PAUSE)
                        break
                    if self._context.catalog.database.is_shared:
                        self._stop.wait(_YIELD)
            except CatalogUnavailable as error:
                # Running jobs continue under their leases.
                log.warning("catalog.unavailable", component="scheduler", error=str(error))
            except Exception:
                log.exception("scheduler.error")
            self._wake.wait(_POLL)

    def _claim(self, max_jobs: int) -> bool:
        """Claim and begin the next job, and those that run along with it; False if there is none."""
        leases, settings = self._context.catalog.leases, self._context.settings
        lease, one_each = int(settings.lease_duration * 1000), self._leading >= max(max_jobs, _MAX_JOBS)
        job = leases.claim(self._owner, lease, max_jobs, settings.quota, one_each=one_each)
        if job is None:
            return False
        self._begin(job)
        most = min(_COMPANIONS, _MAX_THREADS - self.running)
        if max_jobs > 1 and most > 0:
            companions = leases.claim_companions(job, self._owner, lease, most, settings.quota)
            for companion in self._executor.start_planning(companions):
                self._begin(companion, runs_along=True)
        return True

    def _heartbeat(self) -> None:
        """Renew the leases of running jobs until the last one has paused.

        A lease that could not be released, since the catalog was unavailable, expires.
        """
        lease = self._context.settings.lease_duration
        while not self._ended.wait(lease / _RENEWALS):
            try:
                with self._lock:
                    claims = list(self._running)
                if claims:
                    self._context.catalog.leases.renew(self._owner, int(lease * 1000), claims)
            except CatalogUnavailable as error:
                # If this lasts, other processes take the jobs over, and fencing refuses what is written here.
                log.warning("catalog.unavailable", component="lease", error=str(error))
            except Exception:
                log.exception("lease.error")

    def _begin(self, job: ImportJob, *, runs_along: bool = False) -> None:
        thread = threading.Thread(target=self._run, args=(job, runs_along), name=f"job-{job.id}", daemon=True)
        with self._lock:
            self._running[job.id, job.epoch] = thread
            if runs_along:
                self._companions.add((job.id, job.epoch))
        try:
            thread.start()
        except RuntimeError:  # the system is out of threads
            self._forget(job)
            self._release(job)
            raise

    def _forget(self, job: ImportJob) -> None:
        with self._lock:
            del self._running[job.id, job.epoch]
            self._companions.discard((job.id, job.epoch))

    def _run(self, job: ImportJob, runs_along: bool) -> None:
        try:
            self._executor.run(job, self._stop, runs_along=runs_along)
        except CatalogUnavailable as error:
            log.warning("job.paused", job_id=str(job.id), reason=str(error))
            self._release(job)
        except Exception:
            log.exception("job.crashed", job_id=str(job.id))
            self._release(job)
        finally:
            self._forget(job)
            if runs_along:
                self._cleanup_requested.set()  # its end makes no room for another job
            else:
                self._job_ended.set()
                self.wake()

    def _release(self, job: ImportJob) -> None:
        """Release the job's lease; if this fails, the lease expires and the job is claimed again."""
        try:
            self._context.catalog.leases.release(job)
        except CatalogUnavailable as error:
            log.warning("job.release_failed", job_id=str(job.id), error=str(error))
        except Exception:
            log.exception("job.release_failed", job_id=str(job.id))

    def _cleanup_loop(self) -> None:
        steps: list[Callable[[], None]] = [
            partial(step, self._context)
            for step in (
                purge_deleted_secrets,
                delete_staged_files,
                delete_key_spools,
                drop_tables,
                delete_expired_idempotency_keys,
                finish_added_fields,
            )
        ]
        retention = Retention(self._context)
        steps.append(lambda: delete_unneeded_uploads(self._context.catalog, self._context.uploads))
        steps += [OrphanCleanup(self._context), lambda: retention(self._stop)]
        while not self._stop.is_set():
            self._cleanup_requested.wait(_POLL * 60)
            self._cleanup_requested.clear()
            for step in steps:
                if self._stop.is_set():
                    return
                try:
                    step()
                except CatalogUnavailable as error:
                    log.warning("catalog.unavailable", component="cleanup", error=str(error))
                except Exception:
                    log.exception("cleanup.failed")
            self._stop.wait(_POLL)  # every create call wakes this loop, too

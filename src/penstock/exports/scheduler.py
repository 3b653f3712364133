"""Schedule exports: claim those without a lease, run each or delete its files in a thread, renew the leases."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable

import structlog

from penstock.catalog.db.notifications import NotificationListener
from penstock.domain.exports import ExportJob
from penstock.errors import CatalogUnavailable
from penstock.exports.context import ExportContext
from penstock.exports.export_run import ExportRun, delete_files

log = structlog.get_logger(__name__)

_Threads = dict[tuple[int, int], threading.Thread]
"""By the id and the epoch of the exports that they work on."""

_MAX_RUNNING = 4
"""Exports that a process runs at a time; their parts share the workers with imports."""
_MAX_DELETING = 2
"""Aborted exports whose files a process deletes at a time: where a store hangs, the exports go on."""
_POLL = 1.0
_RENEWALS = 6


class ExportScheduler:
    """Claims and runs exports on wake-ups, and every second."""

    def __init__(self, context: ExportContext) -> None:
        self._context = context
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._lease = context.settings.lease_duration
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._wake = threading.Event()
        self._running: _Threads = {}
        self._deleting: _Threads = {}
        self._lock = threading.Lock()
        self._loop = threading.Thread(target=self._work, name="exports", daemon=True)
        self._heartbeat_thread = threading.Thread(target=self._heartbeat, name="export-leases", daemon=True)
        self._listener = NotificationListener(context.catalog.database, lambda _: self.wake())

    def start(self) -> None:
        self._loop.start()
        self._heartbeat_thread.start()
        self._listener.start()

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        """Pause running exports and wait for them; they continue when a server is back."""
        self._stop.set()
        self._wake.set()
        self._listener.stop()
        if self._loop.ident is not None:
            self._loop.join()
        with self._lock:
            threads = [*self._running.values(), *self._deleting.values()]
        for thread in threads:
            thread.join()
        self._ended.set()
        if self._heartbeat_thread.ident is not None:
            self._heartbeat_thread.join()

    def _work(self) -> None:
        exports, lease = self._context.catalog.exports, int(self._lease * 1000)
        while not self._stop.is_set():
            self._wake.clear()
            try:
                for claim, threads, most, work in (
                    (exports.claim, self._running, _MAX_RUNNING, self._run),
                    (exports.claim_deletion, self._deleting, _MAX_DELETING, self._delete),
                ):
                    while len(threads) < most and not self._stop.is_set() and (export := claim(self._owner, lease)):
                        self._begin(export, threads, work)
            except CatalogUnavailable as error:
                log.warning("catalog.unavailable", component="exports", error=str(error))
            except Exception:
                log.exception("exports.error")
            self._wake.wait(_POLL)

    def _begin(self, export: ExportJob, threads: _Threads, work: Callable[[ExportJob], None]) -> None:
        arguments = (export, threads, work)
        thread = threading.Thread(target=self._guarded, args=arguments, name=f"export-{export.id}", daemon=True)
        with self._lock:
            threads[export.id, export.epoch] = thread
        try:
            thread.start()
        except RuntimeError:  # the system is out of threads
            self._forget(export, threads)  # else its lease would be renewed for ever
            self._context.catalog.exports.release(export)
            raise

    def _run(self, export: ExportJob) -> None:
        ExportRun(self._context, export, self._stop).go()

    def _delete(self, export: ExportJob) -> None:
        delete_files(self._context, export, self._stop)

    def _guarded(self, export: ExportJob, threads: _Threads, work: Callable[[ExportJob], None]) -> None:
        try:
            work(export)
        except CatalogUnavailable as error:
            # Its lease expires, and it is claimed again.
            log.warning("export.paused", export_id=str(export.id), reason=str(error))
        except Exception:
            log.exception("export.crashed", export_id=str(export.id))
        finally:
            self._forget(export, threads)
            self.wake()

    def _forget(self, export: ExportJob, threads: _Threads) -> None:
        with self._lock:
            del threads[export.id, export.epoch]

    def _heartbeat(self) -> None:
        while not self._ended.wait(self._lease / _RENEWALS):
            try:
                with self._lock:
                    claims = [*self._running, *self._deleting]
                if claims:
                    self._context.catalog.exports.renew(self._owner, int(self._lease * 1000), claims)
            except CatalogUnavailable as error:
                log.warning("catalog.unavailable", component="export-lease", error=str(error))
            except Exception:
                log.exception("export_lease.error")

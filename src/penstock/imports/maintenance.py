"""Table maintenance: indexes after each import; in the background training, compaction, expiry of old versions."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from penstock.catalog import Catalog
from penstock.catalog.collections.descriptions import describe
from penstock.catalog.collections.maintenance_leases import Maintenance
from penstock.catalog.db.connection import now_millis
from penstock.domain.collections import Collection
from penstock.engines.base import MaintainableEngine
from penstock.engines.registry import EngineRegistry
from penstock.engines.values import MaintenanceNeeds, Table
from penstock.errors import CatalogError, PenstockError, StorageConflict, TaskCancelled
from penstock.imports.distributed_builds import BuildRun, hosts_of
from penstock.imports.events import Observer
from penstock.imports.maintenance_tasks import (
    PROGRESS_SCALE,
    IndexTask,
    MaintenanceResult,
    MaintenanceTask,
    build_indexes,
    maintain_table,
    optimize_indexes,
)
from penstock.imports.memory_budget import reserve
from penstock.imports.retry import backoff
from penstock.imports.settings import JobSettings
from penstock.imports.throttle import Throttle
from penstock.runners.base import Runner, TaskContext, TaskHandle
from penstock.runners.fair_share import FairShareRunner

log = structlog.get_logger(__name__)

_TICK = 0.2
_CHECK_SECONDS = 0.5
"""Interval in which a job that waits for its rows to be indexed looks at the table."""
_POLL_SECONDS = 5.0
"""Seconds between polls without a wake-up: a failed build may be due again, or a lease may have expired."""
_CLOCK_SECONDS = 60.0
"""The clocks of two servers may differ by this much."""
_CONFLICT_PAUSE_MILLIS = 5_000
"""Pause of a compaction while jobs are committing."""
_ROUND_SECONDS = 3600.0
"""Interval of a check of every collection: old versions expire by age, without any job that requests it."""

Progress = Callable[[float], None]


def _ignore(share: float) -> None:
    """Ignore the progress of work that no job waits for."""


class MaintenanceWorker:
    """Runs maintenance in workers; leases in the catalog allow one build or compaction per collection at a time.

    Rows that no index covers yet are searched exactly, so no result is missing while a build waits or fails.
    Due maintenance is recorded in the catalog: a process that only answers calls requests it, another one builds.

    Tasks are charged to the collection's org, like those of its jobs.

    Collections whose engine maintains its tables itself are left out.

    A collection is compacted, and its old versions expire, only while none of its jobs is between its intent and
    its commit; see docs/decisions/0009-compaction.md.

    Indexes are optimized, one collection at a time, in another thread: no collection waits for another's training,
    and no job for its own collection's, as the task that trains adds the job's rows to the old index.
    """

    def __init__(
        self,
        catalog: Catalog,
        engines: EngineRegistry,
        fair_share: FairShareRunner,
        observer: Observer,
        settings: JobSettings,
    ) -> None:
        self._catalog = catalog
        self._engines = engines
        self.fair_share = fair_share
        self._observer = observer
        self._settings = settings
        self._lease = settings.lease_duration
        self._round = Throttle(_ROUND_SECONDS)
        self._later: dict[str, float] = {}
        """By collection, the monotonic time at which it is enqueued."""
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="maintenance", daemon=True)
        self._optimizing = threading.Thread()  # of the optimization that runs, or of the last one
        self._failures: Counter[tuple[str, str]] = Counter()
        """By step and collection, how often it has failed in a row."""
        self._optimized_after: dict[str, float] = {}
        """By collection whose optimization failed, the monotonic time from which on it is tried again."""

    def start(self) -> None:
        """Start with every collection: a server that stopped may have left rows without an index."""
        if self._round.is_ready():
            self._catalog.maintenance.request_all()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._optimizing.is_alive():
            self._optimizing.join()

    def wake(self) -> None:
        """Wake the background thread: maintenance may be due."""
        self._changed.set()

    def request(self, collection_id: str) -> None:
        """Enqueue the collection's maintenance, for this or another process."""
        self._catalog.maintenance.request(collection_id)
        self._changed.set()

    def _enqueue_in(self, collection_id: str, seconds: float) -> None:
        """As :meth:`request`, after a delay. Kept in memory only: every start enqueues all collections."""
        at = time.monotonic() + seconds
        with self._lock:
            self._later[collection_id] = min(at, self._later.get(collection_id, at))

    def _enqueue_delayed(self) -> float:
        """Enqueue the collections whose delay is over; return the seconds until the next one."""
        now = time.monotonic()
        with self._lock:
            ready = [collection_id for collection_id, at in self._later.items() if at <= now]
            for collection_id in ready:
                del self._later[collection_id]
            delay = min(self._later.values(), default=math.inf) - now
        for collection_id in ready:
            self._catalog.maintenance.request(collection_id)
        return delay

    def build(self, collection_id: str, stop: threading.Event, progress: Progress = lambda share: None) -> None:
        """Bring the collection's indexes up to date, and wait for it.

        ``progress`` is called with the share done, from 0 to 1, in the caller's thread. Other due maintenance is left
        to the background. Does nothing for a dropped collection, or one whose engine maintains its tables itself.

        Raises:
            TaskCancelled: ``stop`` was set.
            StorageError: the build failed.
        """
        if (maintained := self._maintained(collection_id)) is None:
            return
        engine, collection = maintained
        due = self._due(engine, collection)
        if due.index:
            with self._observer.step("index", {"collection_id": collection_id}):
                self._build_under_lease(engine, collection, stop, progress)
            self._expire_soon(collection)
            due = self._due(engine, collection)
        if due.compaction or due.optimization:
            self.request(collection_id)
        if collection.settings.ttl_seconds is not None:
            self._enqueue_in(collection_id, collection.settings.ttl_seconds)

    def _due(self, engine: MaintainableEngine, collection: Collection) -> MaintenanceNeeds:
        return engine.due(Table.of(collection), self._catalog.collections.indexes(collection.id))

    def _build_under_lease(
        self, engine: MaintainableEngine, collection: Collection, stop: threading.Event, progress: Progress
    ) -> None:
        """Build what is due, unless the process that has the lease does."""
        lease = self._wait_for_lease(engine, collection, stop)
        if lease is None:
            return
        try:
            self._build(engine, collection, stop, lease, progress)
        except BaseException:
            self._catalog.maintenance.release(lease)
            raise
        self._catalog.maintenance.done(lease)

    def _wait_for_lease(
        self, engine: MaintainableEngine, collection: Collection, stop: threading.Event
    ) -> Maintenance | None:
        """None if nothing is to be built any more: the task that trains an index adds the rows of jobs to it, too."""
        owner, check = uuid.uuid4().hex, Throttle(_CHECK_SECONDS)
        built: int | None = None
        while (lease := self._catalog.maintenance.take(collection.id, owner, self._lease_millis)) is None:
            if check.is_ready():
                if built is None and not (due := self._due(engine, collection)).index:
                    built = due.version
                known = self._catalog.collections.by_id(collection.id)
                # Readers take the version that the catalog has.
                if known is None or (built is not None and known.version >= built):
                    return None
            if stop.wait(_TICK):
                raise TaskCancelled("the server is stopping; the index is built after its restart")
        return lease

    def _build(
        self,
        engine: MaintainableEngine,
        collection: Collection,
        stop: threading.Event,
        lease: Maintenance,
        progress: Progress,
    ) -> None:
        if self._build_distributed(engine, collection, stop, lease, progress, is_training=False):
            if not self._due(engine, collection).index:
                return
            progress = _ignore  # which must not fall; what is left is short
        handle = self._submit(collection, build_indexes, self._index_task(engine, collection))
        version: int = self._wait(handle, stop, lease, lambda done, _: progress(min(done / PROGRESS_SCALE, 1.0)))
        self._catalog.collections.raise_version(collection.id, version)

    def _build_distributed(
        self,
        engine: MaintainableEngine,
        collection: Collection,
        stop: threading.Event,
        lease: Maintenance,
        progress: Progress,
        *,
        is_training: bool,
    ) -> bool:
        """Build or retrain the indexes that are large enough for several hosts; returns whether there were any."""
        table, specs = Table.of(collection), self._catalog.collections.indexes(collection.id)
        runner, has_built = self._runner_of(collection), False
        for spec in specs:
            build = engine.plan_distributed(table, spec, hosts_of(runner))
            if build is None or build.is_training != is_training:
                continue
            BuildRun(
                engine=engine,
                table=table,
                specs=specs,
                build=build,
                runner=runner,
                settings=self._settings,
                keep=self._keeping(stop, lease),
                newest=lambda: self._version_of(collection),
                committed=lambda version: self._catalog.collections.raise_version(collection.id, version),
                progress=progress,
            ).run()
            has_built = True
        return has_built

    def _version_of(self, collection: Collection) -> int:
        """The version of the table that readers have now; 0 for a dropped collection."""
        known = self._catalog.collections.by_id(collection.id)
        return 0 if known is None else known.version

    def _index_task(self, engine: MaintainableEngine, collection: Collection) -> IndexTask:
        """The task, with slots reserved for as much memory as it takes, or for all that a host has."""
        slots, limit = reserve(
            self._due(engine, collection).memory,
            self._settings.worker_memory,
            self.fair_share.inner.slots_per_task,
            self._settings.build_memory,
        )
        specs = self._catalog.collections.indexes(collection.id)
        return IndexTask(engine=engine, table=Table.of(collection), specs=specs, slots=slots, memory_limit=limit)

    def _compact(self, engine: MaintainableEngine, collection: Collection, lease: Maintenance) -> None:
        expiry = self._catalog.row_expiry.of(collection)
        task = MaintenanceTask(
            engine=engine,
            table=Table.of(collection, expiry),
            kept_version=self._kept_version(collection),
            old_version_retention=self._settings.old_version_retention,
            old_version_share=self._settings.old_version_share,
            old_version_min_age=self._settings.old_version_min_age,
        )
        handle = self._submit(collection, maintain_table, task)
        result: MaintenanceResult = self._wait(handle, self._stop, lease)
        self._catalog.collections.raise_version(collection.id, result.version)
        if expiry is not None:
            self._catalog.row_expiry.forget(collection.id, expiry)
            self._await_expiry(collection)
        if result.version > collection.version:
            self._expire_soon(collection)
        if result.freed_bytes:
            log.info("versions.expired", collection_id=collection.id, size=result.freed_bytes)

    def _expire_soon(self, collection: Collection) -> None:
        """Enqueue the expiry of versions just replaced, which may be too large to keep until the next round."""
        self._enqueue_in(collection.id, self._settings.old_version_min_age + 1)

    def _kept_version(self, collection: Collection) -> int:
        """The first version of a table that may not expire: the newest, or one that a revert or an export needs.

        A revert that begins later needs no older one, since fewer rows can be restored by then.
        """
        since = now_millis() - int((self._settings.replaced_row_retention + _CLOCK_SECONDS) * 1000)
        kept = (
            self._catalog.reversals.version_to_keep(collection.id, since),
            self._catalog.exports.pinned_version(collection.id),
        )
        return min((version for version in kept if version is not None), default=collection.version)

    def _submit(
        self, collection: Collection, function: Callable[[Any, TaskContext], Any], task: Any
    ) -> TaskHandle[Any]:
        return self._runner_of(collection).submit(function, task)

    def _runner_of(self, collection: Collection) -> Runner:
        return self.fair_share.for_tenant(self._catalog.clusters.get(collection.cluster_id).org_id)

    def _await_expiry(self, collection: Collection) -> None:
        """Enqueue the removal of expired rows (invisible at once) in steps, at most ten per time to live."""
        ttl, delay = collection.settings.ttl_seconds, self._catalog.row_expiry.next_in(collection)
        if ttl is not None and delay is not None:
            self._enqueue_in(collection.id, max(delay, min(ttl / 10, _ROUND_SECONDS), 1.0))

    def _wait(
        self,
        handle: TaskHandle[Any],
        stop: threading.Event,
        lease: Maintenance,
        report: Callable[[int, int], None] = lambda done, rows: None,
    ) -> Any:
        """Wait for a task's result, renew the lease meanwhile, and pass on what the task reports."""
        ended = threading.Event()
        handle.future.add_done_callback(lambda _: ended.set())
        keep = self._keeping(stop, lease)
        try:
            while not ended.wait(_TICK):
                keep()
                report(*handle.progress())
        except BaseException:
            handle.cancel()
            raise
        return handle.future.result()

    def _keeping(self, stop: threading.Event, lease: Maintenance) -> Callable[[], None]:
        """A function to call while tasks run: it renews the lease, and raises TaskCancelled after ``stop``."""
        last_renewal = time.monotonic()

        def keep() -> None:
            nonlocal last_renewal
            if stop.is_set():
                raise TaskCancelled("the server is stopping; the index is built after its restart")
            if time.monotonic() - last_renewal > self._lease / 3:
                # If a stall has lost it, two processes build at once: wasteful, but the engine allows it.
                self._catalog.maintenance.renew(lease, self._lease_millis)
                last_renewal = time.monotonic()

        return keep

    @property
    def _lease_millis(self) -> int:
        return int(self._lease * 1000)

    def _work(self) -> None:
        while not self._stop.is_set():
            self._changed.clear()
            try:
                if self._round.is_ready():
                    self._catalog.maintenance.request_all()
                delay = self._enqueue_delayed()
                lease = self._catalog.maintenance.acquire_due(uuid.uuid4().hex, self._lease_millis)
                if lease is None:
                    self._changed.wait(min(_POLL_SECONDS, delay))
                    self._stop.wait(_TICK)  # every create call in another process wakes this loop, too
                else:
                    self._do_due(lease)
            except CatalogError as error:
                log.warning("catalog.unavailable", component="maintenance", error=str(error))
                self._stop.wait(_POLL_SECONDS)
            except Exception:
                log.exception("maintenance.error")
                self._stop.wait(_POLL_SECONDS)

    def _do_due(self, lease: Maintenance) -> None:
        with self._releasing(lease):
            all_done = self._maintain(lease)
            # Not in the hands of committing jobs, which may leave no gap: a training runs at the same time.
            optimizes = self._needs_optimization(lease)
            if optimizes and not self._optimizing.is_alive():
                self._optimizing = threading.Thread(target=self._optimize, args=(lease,), name="optimization")
                self._optimizing.start()
            elif optimizes or not all_done:
                self._catalog.maintenance.release(lease, _CONFLICT_PAUSE_MILLIS)
            else:
                self._catalog.maintenance.done(lease)

    @contextmanager
    def _releasing(self, lease: Maintenance) -> Iterator[None]:
        """Log an error, whatever it is, and release the lease, so that the work is due again; the catalog's pass."""
        maintenance = self._catalog.maintenance
        try:
            yield
        except CatalogError:
            raise
        except TaskCancelled:
            maintenance.release(lease)
        except StorageConflict as error:
            log.info("maintenance.conflict", collection_id=lease.collection_id, reason=str(error))
            maintenance.release(lease, _CONFLICT_PAUSE_MILLIS)
        except Exception as error:
            pause = self._pause_after_failure("maintenance", lease.collection_id)
            log.warning(
                "maintenance.failed",
                collection_id=lease.collection_id,
                error=str(error),
                pause=pause,
                exc_info=not isinstance(error, PenstockError),
            )
            maintenance.release(lease, int(pause * 1000))
        else:
            self._failures.pop(("maintenance", lease.collection_id), None)

    def _pause_after_failure(self, step: str, collection_id: str) -> float:
        """Seconds until a step that has just failed is tried again: it may take minutes, and may fail again."""
        self._failures[step, collection_id] += 1
        failures = self._failures[step, collection_id]
        return backoff(failures, self._settings.maintenance_retry_pause, _ROUND_SECONDS)

    def _maintained(self, collection_id: str) -> tuple[MaintainableEngine, Collection] | None:
        """None for a dropped collection, or one whose engine maintains its tables itself."""
        collection = self._catalog.collections.by_id(collection_id)
        engine = None if collection is None else self._engines.maintainable(collection)
        return None if collection is None or engine is None else (engine, collection)

    def _needs_optimization(self, lease: Maintenance) -> bool:
        maintained = self._maintained(lease.collection_id)
        if maintained is None or time.monotonic() < self._optimized_after.get(lease.collection_id, 0.0):
            return False
        return self._due(*maintained).optimization

    def _optimize(self, lease: Maintenance) -> None:
        """Optimize a collection's indexes, and release its lease, so that what was postponed meanwhile is due."""
        try:
            with self._releasing(lease):
                if (maintained := self._maintained(lease.collection_id)) is not None:
                    with self._observer.step("optimization", {"collection_id": lease.collection_id}):
                        self._run_optimization(*maintained, lease)
                self._catalog.maintenance.release(lease, 0)
                self.wake()
        except CatalogError as error:
            # The lease expires by itself, and the collection is due still.
            log.warning("catalog.unavailable", component="maintenance", error=str(error))

    def _run_optimization(self, engine: MaintainableEngine, collection: Collection, lease: Maintenance) -> None:
        known = collection.version

        def raise_version(_: int, version: int) -> None:
            nonlocal known
            if version > known:
                self._catalog.collections.raise_version(collection.id, version)
                known = version

        try:
            has_trained = self._build_distributed(engine, collection, self._stop, lease, _ignore, is_training=True)
            if not has_trained or self._due(engine, collection).optimization:
                handle = self._submit(collection, optimize_indexes, self._index_task(engine, collection))
                raise_version(0, self._wait(handle, self._stop, lease, raise_version))
        except (TaskCancelled, StorageConflict, CatalogError):
            raise
        except PenstockError:
            # Such as a worker killed for its memory: the old index serves, and each attempt may take minutes.
            pause = self._pause_after_failure("optimization", collection.id)
            self._optimized_after[collection.id] = time.monotonic() + pause
            self._enqueue_in(collection.id, pause)
            raise
        self._failures.pop(("optimization", collection.id), None)
        self._expire_soon(collection)

    def _maintain(self, lease: Maintenance) -> bool:
        """Index, compact and expire; False where committing jobs postpone a part of it."""
        if (maintained := self._maintained(lease.collection_id)) is None:
            return True
        engine, collection = maintained
        describe(self._catalog.descriptions, engine, collection.id)
        facts = {"collection_id": collection.id}
        if self._due(engine, collection).index:
            with self._observer.step("index", facts):
                self._build(engine, collection, self._stop, lease, _ignore)
            self._expire_soon(collection)
        if self._catalog.jobs.is_committing(collection.id):
            return False
        with self._observer.step("maintenance", facts):
            self._compact(engine, collection, lease)
        return True

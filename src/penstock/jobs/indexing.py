"""Keeping indexes up to date with rows: after each import, and in the background for whatever else changed."""

from __future__ import annotations

import threading
import time
import uuid

import structlog

from penstock.catalog import Catalog
from penstock.catalog.failures import CatalogUnavailable
from penstock.catalog.maintenance import Maintenance
from penstock.engines.base import Engine, Table
from penstock.errors import PenstockError, TaskCancelled
from penstock.jobs.observer import Observer
from penstock.jobs.tasks import IndexTask, build_indexes
from penstock.runners.base import Runner

__all__ = ["IndexKeeper"]

log = structlog.get_logger(__name__)

_TICK = 0.2
_LOOK_SECONDS = 5.0
"""After so long the background looks even when nothing woke it: a failed build is due again, or a lease ran out."""
_RETRY_MILLIS = 60_000


class IndexKeeper:
    """Builds indexes in workers; the catalog's leases see to it that a collection has one build at a time.

    Rows that no index covers yet are searched exactly, so nothing is ever missing while a build waits or fails.
    What is due is noted in the catalog: a process that only answers calls asks, and another one builds.
    """

    def __init__(
        self, catalog: Catalog, engine: Engine, runner: Runner, observer: Observer, lease: float = 15.0
    ) -> None:
        self._catalog = catalog
        self._engine = engine
        self._runner = runner
        self._observer = observer
        self._lease = lease
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="indexes", daemon=True)

    def start(self) -> None:
        """Begin with every collection: a server that stopped may have left rows without an index."""
        self._catalog.maintenance.ask_for_all()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join()

    def wake(self) -> None:
        """Something may be due."""
        self._changed.set()

    def enqueue(self, collection_id: str) -> None:
        """Bring the collection's indexes up to date some time soon, here or in another process."""
        self._catalog.maintenance.ask(collection_id)
        self._changed.set()

    def build(self, collection_id: str, stop: threading.Event) -> None:
        """Bring the collection's indexes up to date now, and wait for it. A collection dropped meanwhile is fine.

        Raises:
            TaskCancelled: ``stop`` was set.
            StoreError: the build failed.
        """
        with self._observer.step("index", {"collection_id": collection_id}):
            lease = self._wait_for_lease(collection_id, stop)
            try:
                self._build(lease, stop)
            except BaseException:
                self._catalog.maintenance.put_off(lease)
                raise
            self._catalog.maintenance.done(lease)

    def _wait_for_lease(self, collection_id: str, stop: threading.Event) -> Maintenance:
        owner = uuid.uuid4().hex
        while (lease := self._catalog.maintenance.take(collection_id, owner, self._lease_millis)) is None:
            if stop.wait(_TICK):
                raise TaskCancelled("the server is stopping; the index is built when it is back")
        return lease

    def _build(self, lease: Maintenance, stop: threading.Event) -> None:
        collection = self._catalog.collections.by_id(lease.collection_id)
        if collection is None:
            return
        specs = self._catalog.collections.indexes(collection.id)
        table = Table(id=collection.id, schema=collection.schema, version=collection.version)
        handle = self._runner.submit(build_indexes, IndexTask(engine=self._engine, table=table, specs=specs))
        ended = threading.Event()
        handle.future.add_done_callback(lambda _: ended.set())
        renewed = time.monotonic()
        while not ended.wait(_TICK):
            if stop.is_set():
                handle.cancel()
                raise TaskCancelled("the server is stopping; the index is built when it is back")
            if time.monotonic() - renewed > self._lease / 3:
                # If it was lost since this process stalled, two build at once: wasteful, and the engine bears it.
                self._catalog.maintenance.renew(lease, self._lease_millis)
                renewed = time.monotonic()
        self._catalog.collections.raise_version(collection.id, handle.future.result())

    @property
    def _lease_millis(self) -> int:
        return int(self._lease * 1000)

    def _work(self) -> None:
        while not self._stop.is_set():
            self._changed.clear()
            try:
                lease = self._catalog.maintenance.take_due(uuid.uuid4().hex, self._lease_millis)
                if lease is None:
                    self._changed.wait(_LOOK_SECONDS)
                    self._stop.wait(_TICK)  # every create call in another process wakes this loop, too
                else:
                    self._build_due(lease)
            except CatalogUnavailable as error:
                log.warning("index.catalog_away", error=str(error))
                self._stop.wait(_LOOK_SECONDS)

    def _build_due(self, lease: Maintenance) -> None:
        maintenance = self._catalog.maintenance
        try:
            with self._observer.step("index", {"collection_id": lease.collection_id}):
                self._build(lease, self._stop)
        except CatalogUnavailable:
            raise
        except TaskCancelled:
            maintenance.put_off(lease)
        except PenstockError as error:
            log.warning("index.failed", collection_id=lease.collection_id, error=str(error))
            maintenance.put_off(lease, _RETRY_MILLIS)
        else:
            maintenance.done(lease)

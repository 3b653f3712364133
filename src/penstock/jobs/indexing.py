"""Keeping indexes up to date with rows: after each import, and in the background for whatever else changed."""

from __future__ import annotations

import threading
from collections import OrderedDict

import structlog

from penstock.catalog import Catalog
from penstock.engines.base import Engine, Table
from penstock.errors import PenstockError, TaskCancelled
from penstock.jobs.observer import Observer
from penstock.jobs.tasks import IndexTask, build_indexes
from penstock.runners.base import Runner

__all__ = ["IndexKeeper"]

log = structlog.get_logger(__name__)

_TICK = 0.2
_RETRY_SECONDS = 60.0


class IndexKeeper:
    """Builds the indexes of one collection at a time per collection, in workers.

    Rows that no index covers yet are searched exactly, so nothing is ever missing while a build waits or fails.
    """

    def __init__(self, catalog: Catalog, engine: Engine, runner: Runner, observer: Observer) -> None:
        self._catalog = catalog
        self._engine = engine
        self._runner = runner
        self._observer = observer
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="indexes", daemon=True)

    def start(self) -> None:
        """Begin with every collection: a server that stopped may have left rows without an index."""
        for cluster_id in self._catalog.clusters.ids():
            for database in self._catalog.databases.list(cluster_id):
                for collection in self._catalog.collections.list(database):
                    self.enqueue(collection.id)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join()

    def enqueue(self, collection_id: str) -> None:
        """Bring the collection's indexes up to date some time soon."""
        with self._guard:
            self._waiting[collection_id] = None
        self._changed.set()

    def build(self, collection_id: str, stop: threading.Event) -> None:
        """Bring the collection's indexes up to date now, and wait for it. A collection dropped meanwhile is fine.

        Raises:
            TaskCancelled: ``stop`` was set.
            StoreError: the build failed.
        """
        with self._lock_of(collection_id), self._observer.step("index", {"collection_id": collection_id}):
            collection = self._catalog.collections.by_id(collection_id)
            if collection is None:
                return
            specs = self._catalog.collections.indexes(collection.id)
            table = Table(id=collection.id, schema=collection.schema, version=collection.version)
            handle = self._runner.submit(build_indexes, IndexTask(engine=self._engine, table=table, specs=specs))
            ended = threading.Event()
            handle.future.add_done_callback(lambda _: ended.set())
            while not ended.wait(_TICK):
                if stop.is_set():
                    handle.cancel()
                    raise TaskCancelled("the server is stopping; the index is built when it is back")
            self._catalog.collections.raise_version(collection.id, handle.future.result())

    def _lock_of(self, collection_id: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(collection_id, threading.Lock())

    def _work(self) -> None:
        while not self._stop.is_set():
            collection_id = self._next()
            if collection_id is None:
                self._changed.wait()
                self._changed.clear()
                continue
            try:
                self.build(collection_id, self._stop)
            except TaskCancelled:
                return
            except PenstockError as error:
                log.warning("index.failed", collection_id=collection_id, error=str(error))
                self._later(collection_id)

    def _next(self) -> str | None:
        with self._guard:
            return self._waiting.popitem(last=False)[0] if self._waiting else None

    def _later(self, collection_id: str) -> None:
        timer = threading.Timer(_RETRY_SECONDS, self.enqueue, [collection_id])
        timer.daemon = True
        timer.start()

"""Everything a job needs, in one process: a catalog, an engine, warm workers, import roots and a scheduler."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
from cryptography.fernet import Fernet

from penstock.catalog import Catalog
from penstock.collections.collections import CollectionService
from penstock.collections.indexes import IndexService
from penstock.collections.partitions import PartitionService
from penstock.domain.access import ANONYMOUS
from penstock.domain.collections import Collection, CollectionSettings
from penstock.domain.jobs import ImportJob
from penstock.domain.schema import CollectionSchema
from penstock.engines.lance import LanceEngine
from penstock.engines.registry import EngineRegistry
from penstock.engines.values import Table
from penstock.imports.context import ImportContext
from penstock.imports.executor import Executor
from penstock.imports.memory_budget import MIB, WorkerMemory
from penstock.imports.requests import CreateImport, StoreCredentials
from penstock.imports.scheduler import Scheduler
from penstock.imports.service import ImportService
from penstock.imports.settings import JobSettings
from penstock.runners.base import Runner
from penstock.settings import Settings
from penstock.sources.roots import ImportRoots
from tests.support.catalogs import CLUSTER, SCHEMA, opened_catalog

__all__ = ["World", "a_world", "job_settings"]

LIMIT = 120.0


@dataclass
class World:
    """A small Penstock below ``folder``: files go to ``files``, the first import root; ``roots`` are further ones.

    ``store`` are the settings of S3, ``web`` those of web servers.
    """

    folder: Path
    catalog: Catalog
    engine: LanceEngine
    engines: EngineRegistry
    runner: Runner
    settings: JobSettings
    roots: Sequence[str] = ()
    store: Mapping[str, str] = field(default_factory=dict)
    web: Mapping[str, str] = field(default_factory=dict)
    context: ImportContext = field(init=False)
    scheduler: Scheduler = field(init=False)
    imports: ImportService = field(init=False)
    collections: CollectionService = field(init=False)
    partitions: PartitionService = field(init=False)
    indexes: IndexService = field(init=False)

    def __post_init__(self) -> None:
        self.files.mkdir(exist_ok=True)
        stores = {"s3": self.store, "http": self.web, "https": self.web}
        roots = ImportRoots([str(self.files), *self.roots], stores)
        self.context = ImportContext(
            self.catalog, self.engines, self.runner, roots, self.settings, spool=self.folder / "dry-runs"
        )
        self.scheduler = Scheduler(self.context)
        self.imports = ImportService(self.catalog, self.engines, roots, self.settings, self.scheduler.wake)
        self.collections = CollectionService(self.catalog, self.engines, self.scheduler.wake)
        self.partitions = PartitionService(self.catalog, self.engines)
        self.indexes = IndexService(self.catalog, self.engines, self.scheduler.maintenance.request)

    @property
    def files(self) -> Path:
        return self.folder / "files"

    def collection(self, name: str = "docs", schema: CollectionSchema = SCHEMA) -> Collection:
        return self.collections.create(CLUSTER, "default", name, schema, CollectionSettings())

    def create(self, *groups: Sequence[str], collection: str = "docs", **options: str) -> ImportJob:
        return self.imports.create(
            CreateImport(
                caller=ANONYMOUS,
                cluster_id=CLUSTER,
                collection=collection,
                groups=groups,
                options=options,
                keys=StoreCredentials(),
            )
        )

    @property
    def roots_of_files(self) -> ImportRoots:
        """The import root alone."""
        return ImportRoots([str(self.files)])

    def commit(self, job: ImportJob) -> ImportJob:
        return self.imports.commit(CLUSTER, job.id, ANONYMOUS)

    def retry(self, job: ImportJob, keys: StoreCredentials | None = None) -> ImportJob:
        return self.imports.retry(CLUSTER, job.id, keys or StoreCredentials(), ANONYMOUS)

    def revert(self, job: ImportJob) -> ImportJob:
        """Revert a job, and wait for its end."""
        return self.ended(self.imports.revert(CLUSTER, job.id, ANONYMOUS))

    def run_next(self, job: ImportJob, stop: threading.Event | None = None) -> ImportJob:
        """Run the next job in this thread, where no scheduler is started; it has to be this one.

        ``stop`` is set when the server stops.
        """
        claimed = self.catalog.leases.claim("test", 60_000)
        assert claimed is not None
        assert claimed.id == job.id
        Executor(self.context, self.scheduler.maintenance).run(claimed, stop or threading.Event())
        return self.job(job.id)

    def job(self, job_id: int) -> ImportJob:
        return self.catalog.jobs.get(CLUSTER, job_id)

    def ended(self, job: ImportJob) -> ImportJob:
        """The job, once it has ended."""
        until = time.monotonic() + LIMIT
        while not (now := self.job(job.id)).state.is_final:
            assert time.monotonic() < until, f"the job still is {now}"
            time.sleep(0.02)
        return now

    def until(self, true: Callable[[], bool]) -> None:
        """Wait for something to become true."""
        until = time.monotonic() + LIMIT
        while not true():
            assert time.monotonic() < until, "it did not become true"
            time.sleep(0.005)

    def imported(self, *groups: Sequence[str], collection: str = "docs", **options: str) -> ImportJob:
        """Create a job and wait for its end."""
        return self.ended(self.create(*groups, collection=collection, **options))

    def fresh(self, collection: Collection) -> Collection:
        """The collection as it is now: an import moves its version on."""
        found = self.catalog.collections.by_id(collection.id)
        assert found is not None
        return found

    def rows(self, collection: Collection, **query: Any) -> pa.Table:
        names = [*collection.schema.names, *(["$meta"] if collection.schema.dynamic else [])]
        table = Table.of(self.fresh(collection))
        return self.engines.for_collection(collection).query(table, **{"columns": names, **query})

    def count(self, collection: Collection) -> int:
        return self.engines.for_collection(collection).count(Table.of(self.fresh(collection)))


def job_settings(**changes: Any) -> JobSettings:
    """The server's defaults but for timeout and memory limit, with ``changes``."""
    memory = WorkerMemory(workers=2, batch_bytes=8 * MIB, limit=0)
    unlimited = {"timeout": None, "worker_memory": None}
    return replace(JobSettings.from_settings(Settings(), memory), **{**unlimited, **changes})


@contextmanager
def a_world(
    folder: Path,
    runner: Runner,
    settings: JobSettings | None = None,
    key: bytes | None = None,
    *,
    started: bool = True,
    roots: Sequence[str] = (),
    store: Mapping[str, str] = MappingProxyType({}),
    web: Mapping[str, str] = MappingProxyType({}),
    catalog_url: str | None = None,
    engines: EngineRegistry | None = None,
) -> Iterator[World]:
    """A world on ``folder``, which may have been another's before; ``runner`` is not closed.

    ``catalog_url`` names a catalog in PostgreSQL, that several worlds may share at the same time. ``engines`` are
    Lance alone unless said.
    """
    key_file = folder / "secret.key"
    if not key_file.exists():
        key_file.write_bytes(key or Fernet.generate_key())
    with opened_catalog(catalog_url or folder, key_file.read_bytes()) as catalog:
        engine = LanceEngine(str(folder / "collections"))
        engine.check()
        engines = engines or EngineRegistry({engine.name: engine.at}, default=engine.name)
        world = World(folder, catalog, engine, engines, runner, settings or job_settings(), roots, store, web)
        if catalog_url is None:
            catalog.leases.release_all()
        if started:
            world.scheduler.start()
        try:
            yield world
        finally:
            if started:
                world.scheduler.stop()

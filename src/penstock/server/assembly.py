"""Putting a server together: which catalog, engine, runner and use cases stand behind the routes."""

from __future__ import annotations

import structlog
from prometheus_client import CollectorRegistry

from penstock.access.accounts import AccountService
from penstock.access.audit import AuditedAuthentication, AuditLog
from penstock.catalog import Catalog, open_catalog
from penstock.catalog.failures import CatalogUnavailable
from penstock.collections.collections import CollectionService
from penstock.collections.databases import DatabaseService
from penstock.collections.entities import EntityService
from penstock.collections.indexes import IndexService
from penstock.collections.partitions import PartitionService
from penstock.domain.collections import Cluster
from penstock.domain.quotas import JobLimits, Quota
from penstock.engines.base import Engine, Table
from penstock.errors import StoreError
from penstock.jobs.memory import share_out
from penstock.jobs.scheduler import Scheduler
from penstock.jobs.service import ImportService
from penstock.jobs.settings import JobSettings
from penstock.jobs.tools import Tools
from penstock.server.exposure import authentication_of
from penstock.server.hosts import runner_of
from penstock.server.job_metrics import CatalogMetrics, ProcessMetrics
from penstock.server.places import catalog_url, sealing_key, source_stores
from penstock.server.services import Services
from penstock.server.stores import engine_of
from penstock.server.watching import start_watching
from penstock.settings import Settings
from penstock.sources.roots import ImportRoots

__all__ = ["build_services"]

log = structlog.get_logger(__name__)

_REPAIR_MILLIS = 60_000


def build_services(settings: Settings) -> Services:
    """Open the data folder, which the caller holds the lock of, and assemble everything on it.

    Raises:
        StoreError: the catalog is of a newer Penstock, or can't be opened; the store can't be used.
        PathNotAllowed: an import root can't be served.
        InvalidParameter: others could reach the server, and it isn't fit for that.
    """
    roots = ImportRoots(settings.import_root, source_stores(settings))
    _warn_of_roots(settings, roots)
    engine = engine_of(settings)
    catalog = open_catalog(
        catalog_url(settings), sealing_key(settings), settings.catalog_connections, settings.catalog_wait
    )
    try:
        engine.check(known=catalog.collections.ids_in(""))
        return _services(settings, catalog, engine, roots)
    except BaseException:
        catalog.close()
        raise


def _services(settings: Settings, catalog: Catalog, engine: Engine, roots: ImportRoots) -> Services:
    catalog.clusters.ensure(settings.cluster_id, settings.region)
    audit = AuditLog(catalog.audit)
    authentication = AuditedAuthentication(authentication_of(settings, catalog), audit)
    job_settings = _job_settings(settings)
    registry = CollectorRegistry()
    watching = start_watching(settings, registry)
    runner = runner_of(settings)
    traced = watching.traced(runner)
    scheduler = Scheduler(Tools(catalog, engine, traced, roots, job_settings, watching.observer))
    partitions = PartitionService(catalog, engine)
    registry.register(CatalogMetrics(catalog, settings.cluster_id))
    registry.register(ProcessMetrics(lambda: scheduler.running, lambda: runner.restarts))

    def start() -> None:
        if not catalog.database.is_shared:
            # Nobody else has this catalog: leases are of processes that ended.
            catalog.claims.release_all()
            catalog.maintenance.release_all()
        if settings.role == "api":
            return
        for cluster in catalog.clusters.list():
            _repair(catalog, engine, cluster)
        runner.warm()
        scheduler.start()

    def stop() -> None:
        scheduler.stop()
        runner.close()
        watching.stop()
        audit.close()
        catalog.close()

    return Services(
        settings=settings,
        authentication=authentication,
        audit=audit,
        accounts=AccountService(catalog),
        imports=ImportService(catalog, roots, job_settings, scheduler.wake, watching.observer),
        clusters=catalog.clusters,
        databases=DatabaseService(catalog),
        collections=CollectionService(catalog, engine, scheduler.wake),
        partitions=partitions,
        indexes=IndexService(catalog, engine, scheduler.keeper.enqueue),
        entities=EntityService(catalog, engine, partitions),
        middleware=watching.middleware,
        registry=registry,
        problem=catalog.database.problem,
        start=start,
        stop=stop,
    )


def _job_settings(settings: Settings) -> JobSettings:
    memory = share_out(settings.memory_budget, settings.workers)
    if memory.workers < settings.workers and settings.runner == "local":
        log.warning(
            "memory.fewer_workers",
            workers=memory.workers,
            wanted=settings.workers,
            memory_budget=settings.memory_budget,
            remedy="raise memory_budget to feed all of them",
        )
    return JobSettings(
        split_bytes=settings.split_bytes,
        batch_bytes=memory.batch_bytes,
        worker_memory=memory.limit,
        max_groups=settings.max_groups,
        max_running_jobs=settings.max_running_jobs,
        lease=settings.lease,
        limits=JobLimits(collection=settings.max_live_jobs, cluster=settings.max_cluster_jobs),
        quota=Quota(
            jobs=settings.max_org_jobs,
            running_jobs=settings.max_org_running_jobs,
            daily_bytes=settings.max_org_daily_bytes,
        ),
        max_file_bytes=settings.max_file_bytes,
        max_job_bytes=settings.max_job_bytes,
        timeout=settings.job_timeout,
        split_attempts=settings.attempts,
        retry_window=settings.retry_window,
        key_lifetime=settings.idempotency_window,
        retention=settings.retention,
        kept_jobs=settings.kept_jobs,
        list_window=settings.list_window,
        history=settings.history_age,
        history_share=settings.history_share,
        wait_for_index=settings.wait_for_index,
    )


def _warn_of_roots(settings: Settings, roots: ImportRoots) -> None:
    """A folder may come later, as a disk that is mounted; a mistyped one shouldn't wait for the first import."""
    if not settings.import_root:
        log.warning("import_root.none", remedy="nothing can be imported: name a place with --import-root")
    for folder in roots.absent_folders():
        log.warning("import_root.absent", folder=folder, remedy="make it, or correct --import-root")


def _repair(catalog: Catalog, engine: Engine, cluster: Cluster) -> None:
    """After a power loss the newest version of a table may be unreadable: set it aside; the jobs publish again.

    One tenant's store that is away doesn't keep the others from being served.
    """
    try:
        _repair_tables(catalog, engine, cluster)
    except StoreError as error:
        if not cluster.store or isinstance(error, CatalogUnavailable):
            raise
        log.error("store.not_repaired", cluster_id=cluster.id, store=cluster.store, error=str(error))


def _repair_tables(catalog: Catalog, engine: Engine, cluster: Cluster) -> None:
    for database in catalog.databases.list(cluster.id):
        for collection in catalog.collections.list(database):
            lease = catalog.maintenance.take(collection.id, "repair", _REPAIR_MILLIS)
            if lease is None:
                continue  # another server works on it, so it can be opened
            try:
                for done in engine.repair(Table.of(collection)):
                    log.warning("table.repaired", collection=collection.name, database=database.name, done=done)
            finally:
                catalog.maintenance.put_off(lease)

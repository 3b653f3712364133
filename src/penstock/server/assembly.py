"""Assemble a server: the catalog, engine, runner and use cases behind the routes."""

from __future__ import annotations

import structlog
from prometheus_client import CollectorRegistry

from penstock.access.accounts import AccountService
from penstock.access.audit import AuditedAuthentication, AuditLog
from penstock.access.login_limits import LoginLimits
from penstock.access.sessions import SessionService
from penstock.catalog import Catalog, open_catalog
from penstock.collections.aliases import AliasService
from penstock.collections.alterations import AlterationService
from penstock.collections.collections import CollectionService
from penstock.collections.databases import DatabaseService
from penstock.collections.entities import EntityService
from penstock.collections.indexes import IndexService
from penstock.collections.partitions import PartitionService
from penstock.collections.search_iterators import SearchIteratorService
from penstock.collections.searches import SearchService
from penstock.domain.collections import Cluster
from penstock.engines.lance import LanceEngine
from penstock.engines.registry import EngineRegistry
from penstock.engines.values import Table
from penstock.errors import CatalogFull, StorageError, StorageFull, StorageUnavailable
from penstock.exports.context import ExportContext
from penstock.exports.scheduler import ExportScheduler
from penstock.exports.service import ExportService
from penstock.imports.change_feed import ChangeFeed
from penstock.imports.context import ImportContext
from penstock.imports.job_events import JobEvents
from penstock.imports.memory_budget import LEAST_MEMORY
from penstock.imports.rejections import Rejections
from penstock.imports.scheduler import Scheduler
from penstock.imports.schema_inference import SchemaInference
from penstock.imports.service import ImportService
from penstock.imports.settings import JobSettings
from penstock.imports.upload_files import UploadFolder
from penstock.imports.uploads import UploadLimits, UploadService
from penstock.machine import memory_limit
from penstock.server.engine_factory import engine_of, engines_of
from penstock.server.health import Health, release_reserve
from penstock.server.lost_catalog import asks_for_keys, catalog_is_absent, refuse_lost_catalog
from penstock.server.observability.job_metrics import CatalogMetrics, ProcessMetrics
from penstock.server.observability.setup import start_watching
from penstock.server.observability.webhook_metrics import WebhookMetrics
from penstock.server.runner_factory import runner_of, worker_memory
from penstock.server.services import Services
from penstock.server.startup_policy import authentication_of
from penstock.server.storage_settings import catalog_file, catalog_url, encryption_key, source_stores, upload_folder
from penstock.settings import Settings
from penstock.sources.roots import ImportRoots
from penstock.webhooks.sender import WebhookSender
from penstock.webhooks.service import WebhookService
from penstock.wire.milvus_v2.webhooks import message_data

log = structlog.get_logger(__name__)

_REPAIR_MILLIS = 60_000


def build_services(settings: Settings) -> Services:
    """Open the data dir, whose lock the caller holds, and build the services on it.

    Raises:
        CatalogError: the catalog is of a newer Penstock, can't be opened, or was lost.
        StorageError: the store can't be used.
        PathNotAllowed: an import root can't be served.
        InvalidParameter: the address is not loopback, and the startup policy is not met.
    """
    uploads, _ = upload_folder(settings)
    roots = ImportRoots(
        settings.import_root,
        source_stores(settings),
        max_listed=settings.max_listed_files,
        uploads=str(uploads or ""),
    )
    _warn_of_roots(settings, roots)
    engine = engine_of(settings)
    if "://" in (settings.storage_url or ""):
        engine.check()  # gives the clearest error for an unusable object store
    if catalog_is_absent(settings):
        refuse_lost_catalog(settings, engine, None, str(catalog_file(settings)))
    catalog = _open_catalog(settings)
    try:
        refuse_lost_catalog(settings, engine, catalog, catalog.database.where)
        try:
            engine.check(known=catalog.collections.ids_in("", engine.name))
        except StorageFull as error:
            log.error("store.full", error=str(error), remedy="only reads are served; free disk space")
        return _services(settings, catalog, engine, roots)
    except BaseException:
        catalog.close()
        raise


def _open_catalog(settings: Settings) -> Catalog:
    """Open the catalog; on a full disk, in the space reserved for it."""

    def open_once() -> Catalog:
        key = encryption_key(settings)
        return open_catalog(
            catalog_url(settings), key, settings.catalog_connections, settings.catalog_startup_timeout
        )

    try:
        return open_once()
    except CatalogFull:
        if not release_reserve(settings.data_dir):
            raise
        log.error("catalog.disk_full", remedy="only reads are served; free disk space")
        return open_once()


def _services(settings: Settings, catalog: Catalog, engine: LanceEngine, roots: ImportRoots) -> Services:
    catalog.clusters.ensure(settings.cluster_id, settings.region)
    audit = AuditLog(catalog.audit)
    had_keys = asks_for_keys(settings, engine)
    if had_keys and not catalog.accounts.any_made():
        log.warning(
            "authentication.no_keys",
            reason="keys were created here before, but the catalog has none",
            remedy="penstock keys create NAME --role admin, with the settings of this server",
        )
    login_limits = LoginLimits(catalog.failed_logins)
    authentication = AuditedAuthentication(
        authentication_of(settings, catalog, had_keys=had_keys, limits=login_limits), audit
    )
    engines = engines_of(engine)
    job_settings = _job_settings(settings)
    registry = CollectorRegistry()
    watching = start_watching(settings, registry)
    runner = runner_of(settings)
    traced = watching.traced(runner)
    folder, why_no_uploads = upload_folder(settings)
    uploads = None if folder is None else UploadFolder(folder)
    scheduler = Scheduler(
        ImportContext(
            catalog,
            engines,
            traced,
            roots,
            job_settings,
            watching.observer,
            uploads,
            settings.data_dir / "dry-runs",
        )
    )
    export_roots = ImportRoots(settings.export_root or settings.import_root, source_stores(settings))
    exports = ExportScheduler(ExportContext(catalog, engines, scheduler.runner_of, export_roots, job_settings))
    partitions = PartitionService(catalog, engines)
    entities = EntityService(catalog, engines, partitions)
    searches = SearchService(catalog, engines, partitions, entities)
    networks = ",".join(settings.allow_private_webhooks)
    sender = WebhookSender(
        catalog,
        message_data,
        WebhookMetrics(registry, lambda: feed.streams),
        networks=networks,
        retention=settings.retention,
    )
    registry.register(CatalogMetrics(catalog, settings.cluster_id))
    registry.register(ProcessMetrics(lambda: scheduler.running, lambda: runner.restarts))

    def begin() -> None:
        if not catalog.database.is_shared:
            # No other process uses this catalog: its leases are of processes that ended.
            catalog.leases.release_all()
            catalog.exports.release_all()
            catalog.maintenance.release_all()
            catalog.webhooks.release_all()
        if settings.role == "api":
            return
        for cluster in catalog.clusters.list():
            _repair(catalog, engines, cluster)
        runner.warm()
        scheduler.start()
        exports.start()
        sender.start()

    health = Health(settings, catalog, engine, roots, begin)
    imports = ImportService(
        catalog, engines, roots, job_settings, scheduler.wake, watching.observer, health.refuse_if_full
    )
    feed = ChangeFeed(
        catalog,
        max_streams=settings.max_event_streams,
        max_streams_per_org=settings.max_event_streams_per_org,
    )

    def start() -> None:
        login_limits.start()
        health.start()

    def stop() -> None:
        health.stop()
        login_limits.stop()
        exports.stop()
        feed.close()
        sender.stop()
        scheduler.stop()
        runner.close()
        watching.stop()
        audit.close()
        catalog.close()

    return Services(
        settings=settings,
        authentication=authentication,
        audit=audit,
        audit_log=catalog.audit,
        accounts=AccountService(catalog),
        sessions=SessionService(catalog.sessions, settings.session_lifetime),
        orgs=catalog.orgs,
        quotas=catalog.quotas,
        exports=ExportService(catalog, engines, export_roots, exports.wake),
        imports=imports,
        rejections=Rejections(imports, catalog, engines),
        job_events=JobEvents(imports, feed),
        uploads=UploadService(catalog, uploads, _upload_limits(settings), why_no_uploads, health.refuse_if_full),
        inference=SchemaInference(catalog, roots, job_settings, scheduler.runner_of),
        clusters=catalog.clusters,
        list_clusters=catalog.clusters.list,
        databases=DatabaseService(catalog),
        collections=CollectionService(catalog, engines, scheduler.wake, health.refuse_if_full),
        aliases=AliasService(catalog, engines),
        alterations=AlterationService(catalog, engines, scheduler.maintenance.request),
        partitions=partitions,
        indexes=IndexService(catalog, engines, scheduler.maintenance.request),
        entities=entities,
        searches=searches,
        webhooks=WebhookService(catalog, networks),
        search_iterators=SearchIteratorService(engines, entities, searches),
        middleware=watching.middleware,
        trace_grpc=watching.trace_grpc,
        registry=registry,
        problem=health.problem,
        is_full=lambda: health.is_full,
        start=start,
        end_streams=feed.end,
        stop=stop,
    )


def _upload_limits(settings: Settings) -> UploadLimits:
    return UploadLimits(
        size=min(settings.max_upload_bytes, settings.max_file_bytes),
        org_bytes=settings.max_upload_bytes_per_org,
        age=settings.upload_retention,
    )


def _job_settings(settings: Settings) -> JobSettings:
    memory = worker_memory(settings)
    if settings.runner == "local":
        _warn_of_memory(settings, memory.workers)
    return JobSettings.from_settings(settings, memory)


def _warn_of_memory(settings: Settings, workers: int) -> None:
    limit = memory_limit()
    if limit.size < LEAST_MEMORY:
        log.warning(
            "memory.too_little",
            memory=limit.size,
            set_by=limit.source,
            needed=LEAST_MEMORY,
            remedy="imports will run out of memory: raise the memory limit to at least the needed value",
        )
    elif settings.memory_budget > limit.size:
        log.warning(
            "memory.budget_capped",
            memory_budget=settings.memory_budget,
            memory=limit.size,
            set_by=limit.source,
            workers=workers,
            remedy="memory_budget exceeds the available memory: lower it, or raise the memory limit",
        )
    elif workers < settings.workers:
        log.warning(
            "memory.fewer_workers",
            workers=workers,
            wanted=settings.workers,
            memory_budget=settings.memory_budget,
            memory=limit.size,
            set_by=limit.source,
            remedy="raise memory_budget or the memory limit to run all workers",
        )


def _warn_of_roots(settings: Settings, roots: ImportRoots) -> None:
    """Warn of absent import roots: a disk may be mounted later, but a typo should show before the first import."""
    if not settings.import_root:
        log.warning("import_root.none", remedy="nothing can be imported: set --import-root")
    for folder in roots.absent_folders():
        log.warning("import_root.absent", folder=folder, remedy="create it, or correct --import-root")


def _repair(catalog: Catalog, engines: EngineRegistry, cluster: Cluster) -> None:
    """Set unreadable newest versions of tables aside, as a power loss leaves them; their jobs publish again.

    An unavailable store of one tenant doesn't keep the others from being served.
    """
    try:
        _repair_tables(catalog, engines, cluster)
    except StorageError as error:
        if not cluster.store:
            raise
        log.error("store.repair_failed", cluster_id=cluster.id, store=cluster.store, error=str(error))


def _repair_tables(catalog: Catalog, engines: EngineRegistry, cluster: Cluster) -> None:
    for collection in catalog.collections.all(cluster.id):
        lease = catalog.maintenance.take(collection.id, "repair", _REPAIR_MILLIS)
        if lease is None:
            continue  # another server works on it, so it can be opened
        facts = {"collection": collection.name, "database": collection.database}
        try:
            engine = engines.maintainable(collection)
            for repair in [] if engine is None else engine.repair(Table.of(collection)):
                log.warning("table.repaired", **facts, done=repair)
        except (StorageFull, StorageUnavailable):
            raise
        except StorageError as error:
            # One damaged table is no reason to serve none of the others.
            log.error("table.damaged", **facts, error=str(error))
        finally:
            catalog.maintenance.release(lease)

"""Check the store: write access, that every collection opens, orphan files and unknown tables."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path

from cryptography.fernet import Fernet

from penstock.catalog.access.clusters import ClusterRepository
from penstock.catalog.collections.collections import CollectionRepository
from penstock.catalog.collections.maintenance_leases import MaintenanceLeases
from penstock.catalog.db.connection import CatalogDatabase
from penstock.catalog.db.encryption import Encryptor
from penstock.catalog.jobs.jobs import JobRepository
from penstock.catalog.jobs.staged_files import StagedFileRepository
from penstock.domain.collections import Collection
from penstock.domain.store_location import is_folder
from penstock.engines.base import MaintainableEngine
from penstock.engines.lance import LanceEngine
from penstock.engines.registry import EngineRegistry
from penstock.engines.values import Table
from penstock.errors import StorageError
from penstock.imports.context import staged_of
from penstock.server.doctor.result import CheckResult, fail, ok, warn
from penstock.server.engine_factory import engine_of, engines_of
from penstock.server.lost_catalog import orphaned_tables
from penstock.settings import Settings

_ORPHAN_SECONDS = 60.0
_SHOWN = 3


def check_store(settings: Settings, database: CatalogDatabase) -> Iterator[CheckResult]:
    collections = CollectionRepository(database)
    existing = collections.all()
    folder = settings.data_dir / "collections"
    if settings.storage_url is None and not folder.is_dir():
        in_folder = [collection for collection in existing if not collection.store]
        if in_folder:
            remedy = "Mount or restore it. Until then nothing can be imported or searched"
            yield fail("store", f"{folder} does not exist, but the catalog has {len(in_folder)} collections", remedy)
        return
    engine = engine_of(settings)
    engines = engines_of(engine)
    location = settings.storage_url or str(folder)
    try:
        engine.check()
    except StorageError as error:
        yield fail("store", str(error), "Check its permissions and free space")
        if settings.storage_url is not None:
            return
    else:
        yield ok("store", f"{location} can be written")
    readable = yield from _check_tables(engines, existing)
    yield from _check_lost(engine, existing, location)
    yield from _check_orphans(
        engines,
        JobRepository(database, Encryptor(Fernet.generate_key())),
        StagedFileRepository(database),
        MaintenanceLeases(database),
        readable,
    )
    yield from _check_strays(engine, location, set(collections.all_ids()))
    yield from _check_quarantine(folder)
    yield from _check_other_stores(engine, database, set(collections.all_ids()))


def _check_tables(
    engines: EngineRegistry, collections: Sequence[Collection]
) -> Generator[CheckResult, None, list[Collection]]:
    """Check that each collection can be read; return those that can."""
    readable: list[Collection] = []
    rows = 0
    for collection in collections:
        name = f"{collection.database}.{collection.name}"
        try:
            engine = engines.for_collection(collection)
        except StorageError as error:
            message, _, remedy = str(error).partition(". ")
            yield fail("collection", message, remedy)
            continue
        try:
            rows += engine.count(Table.of(collection))
            readable.append(collection)
            if engine.maintainable is not None:
                yield from _check_damage(engine.maintainable, collection)
        except StorageError as error:
            remedy = (
                "Restart the server: it quarantines unreadable versions and publishes their jobs again. "
                f"If that does not help, restore {collection.id}.lance from a backup"
            )
            yield fail("collection", f"{name}: {error}", remedy)
    if len(readable) == len(collections):
        yield ok(
            "collections", f"all {len(collections):,} can be read, at the recorded version or later; {rows:,} rows"
        )
    return readable


def _check_damage(engine: MaintainableEngine, collection: Collection) -> Iterator[CheckResult]:
    name = f"{collection.database}.{collection.name}"
    damage = engine.damage(Table.of(collection))
    indexes = {file: problem for file, problem in damage.items() if file.startswith("_indices/")}
    rows = {file: problem for file, problem in damage.items() if file not in indexes}
    if rows:
        remedy = f"Restore the files from a backup of {collection.id}.lance, or drop the collection"
        yield fail("collection", f"{name} is damaged: {_names(_file_problems(rows))}", remedy)
    if indexes:
        remedy = "Searches may fail. Restart the server: it drops unreadable indexes and rebuilds them"
        yield warn("index", f"{name}: {_names(_file_problems(indexes))}", remedy)


def _file_problems(damage: Mapping[str, str]) -> list[str]:
    return [f"{file} {problem}" for file, problem in damage.items()]


def _check_lost(engine: MaintainableEngine, collections: Sequence[Collection], store: str) -> Iterator[CheckResult]:
    if collections:
        return  # unknown tables are reported as strays
    lost = orphaned_tables(engine, ())
    if lost:
        yield fail(
            "catalog",
            f"it has no collection, but {store} has tables: {_names([f'{table_id}.lance' for table_id in lost])}",
            "Restore the right catalog, or run 'penstock doctor --adopt'. Until then no server starts",
        )


def _check_orphans(
    engines: EngineRegistry,
    jobs: JobRepository,
    staged_files: StagedFileRepository,
    maintenance: MaintenanceLeases,
    collections: Sequence[Collection],
) -> Iterator[CheckResult]:
    size, names, busy = 0, list[str](), 0
    for collection in collections:
        engine = engines.maintainable(collection)
        if engine is None:
            continue
        if jobs.live_jobs(collection.id) or maintenance.is_locked(collection.id):
            busy += 1
            continue
        staged = [staged_of(note) for note in staged_files.staged_of(collection.id)]
        try:
            orphans = engine.orphans(Table.of(collection), staged, _ORPHAN_SECONDS)
        except StorageError as error:
            remedy = "Restart the server, which quarantines unreadable versions; else restore the table from a backup"
            yield warn("orphans", f"{collection.database}.{collection.name}: {error}", remedy)
            continue
        if orphans is not None and not jobs.live_jobs(collection.id):
            size += orphans.size
            names.append(f"{collection.database}.{collection.name}")
    skipped = f"; {busy:,} with unfinished jobs or a running index build were not checked" if busy else ""
    if names:
        finding = f"a crash left {size:,} bytes in orphan files of {_names(names)}{skipped}"
        yield warn("orphans", finding, "A running server removes them when they are a day old; no action needed")
    else:
        yield ok("orphans", f"no orphan files{skipped}")


def _check_other_stores(own: LanceEngine, database: CatalogDatabase, known: set[str]) -> Iterator[CheckResult]:
    """Check the stores of clusters that have their own."""
    for cluster in ClusterRepository(database).list():
        if not cluster.store:
            continue
        try:
            engine = own.at(cluster.store)
            engine.check()
        except StorageError as error:
            yield fail("store", f"of cluster {cluster.id}: {error}", "Check its permissions and free space")
        else:
            yield ok("store", f"{cluster.store} of cluster {cluster.id} can be written")
            yield from _check_strays(engine, cluster.store, known)
            if is_folder(cluster.store):
                yield from _check_quarantine(Path(cluster.store))


def _check_strays(engine: MaintainableEngine, location: str, known: set[str]) -> Iterator[CheckResult]:
    strays = [f"{name}.lance" for name in engine.tables() if name not in known]
    if strays:
        remedy = (
            "Left by an interrupted create or drop, or of another catalog. Check them, then remove them, or "
            "add them to the catalog with 'penstock doctor --adopt'"
        )
        yield warn("strays", f"{location} has tables that are not in the catalog: {_names(strays)}", remedy)


def _check_quarantine(folder: Path) -> Iterator[CheckResult]:
    aside = sorted(folder.glob("_quarantine/*/*"))
    if aside:
        remedy = "Their jobs were published again; remove the folder once all collections are verified"
        yield warn("quarantine", f"{len(aside)} versions were unreadable and quarantined: {aside[0].parent}", remedy)


def _names(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest:,} more" if rest > 0 else "")

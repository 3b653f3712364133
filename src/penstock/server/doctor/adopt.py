"""Rebuild a lost catalog from the tables of a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sqlalchemy.exc import IntegrityError

from penstock.catalog import Catalog, open_catalog
from penstock.catalog.collections.descriptions import Description, describe, read_description
from penstock.catalog.db.connection import now_millis
from penstock.catalog.db.dialects import parse_catalog_url
from penstock.domain.collections import CollectionSettings, LoadState
from penstock.domain.ids import new_id
from penstock.domain.names import DEFAULT_DATABASE, DEFAULT_PARTITION
from penstock.domain.schema import CollectionSchema
from penstock.engines.lance import LanceEngine
from penstock.engines.values import TableContents
from penstock.errors import InvalidSchema, StorageError, TableDamaged
from penstock.server.doctor.result import CheckResult, fail, ok, warn
from penstock.server.engine_factory import engine_of
from penstock.server.lost_catalog import keep_marks, mark_keys, orphaned_tables, read_store_note
from penstock.server.process.data_dir import lock_catalog, lock_data_dir, private_umask
from penstock.server.storage_settings import catalog_url, encryption_key
from penstock.settings import Settings

_CHECK = "adopt"


def adopt(settings: Settings) -> Iterator[CheckResult]:
    """Add every table that is missing from the catalog; yield a result per table.

    The catalog is created if there is none. Jobs, keys and users were in the lost one only: authentication is
    required from now on, and all calls are refused until an admin makes a key.

    Raises:
        DataFolderInUse: a server runs on the data dir or the catalog.
        CatalogError, StorageError, InvalidParameter: the catalog or the store can't be used.
    """
    url = parse_catalog_url(catalog_url(settings))
    with private_umask(), lock_data_dir(settings.data_dir), lock_catalog(url):
        own = engine_of(settings)
        catalog = open_catalog(catalog_url(settings), encryption_key(settings))
        try:
            catalog.clusters.ensure(settings.cluster_id, settings.region)
            adopted = False
            for store in _stores(catalog, own):
                engine = own.at(store)
                for table_id in orphaned_tables(engine, catalog.collections.all_ids()):
                    finding = _adopt_table(settings, catalog, engine, table_id, store)
                    adopted = adopted or finding.health is not finding.health.FAIL
                    yield finding
            yield from _require_keys(settings, catalog, own, adopted=adopted)
        finally:
            catalog.close()


def _stores(catalog: Catalog, engine: LanceEngine) -> Sequence[str]:
    """The server's own store, and those of clusters that the catalog or the store's note lists."""
    stores = {cluster.store for cluster in catalog.clusters.list()} | set(read_store_note(engine).stores)
    return ["", *sorted(stores - {""})]


def _adopt_table(settings: Settings, catalog: Catalog, engine: LanceEngine, table_id: str, store: str) -> CheckResult:
    name = f"{store or 'the store'}: {table_id}.lance"
    try:
        content = engine.note(table_id)
        recorded = None if content is None else read_description(content)
    except ValueError as error:
        remedy = (
            "Use the version of Penstock that wrote it, or remove penstock.json from the table to guess its schema"
        )
        return fail(_CHECK, f"{name}: its description cannot be read: {error}", remedy)
    try:
        schema = None if recorded is None else CollectionSchema.from_json(recorded.schema)
        contents: TableContents | None = engine.read_contents(table_id, schema)
    except StorageError as error:
        if recorded is None or not isinstance(error, TableDamaged):
            return fail(_CHECK, f"{name}: {error}", "Restore the table from a backup, and run --adopt again")
        contents, damaged = None, str(error)
    else:
        damaged = ""
    description = recorded or _guess_description(settings, catalog, engine, table_id, store, contents)
    if description is None:
        return fail(
            _CHECK, f"{name}: it is not a table of a collection of a known cluster", "Move it out of the store"
        )
    description = _with_free_name(catalog, description, store)
    try:
        catalog.descriptions.adopt(description, contents)
    except IntegrityError as error:
        return fail(_CHECK, f"{name}: the catalog has a collection with its number: {error.orig}", "Report this")
    full_name = f"{description.cluster['id']}/{description.database['name']}.{description.name}"
    if damaged:
        remedy = f"Restore {table_id}.lance from a backup, or drop the collection"
        return warn(_CHECK, f"{full_name} was adopted from {name}, which is damaged: {damaged}", remedy)
    describe(catalog.descriptions, engine, table_id)
    rows = f"{contents.rows:,} rows" if contents else ""
    if recorded is None:
        remedy = (
            "An earlier release wrote this table and stored its name and schema in the catalog only. See 'penstock "
            "collections describe': the primary key is the first possible column, lengths are the maximum, "
            "Int8Vector and BFloat16Vector look like Float16Vector and FloatVector, and indexes must be created again"
        )
        return warn(_CHECK, f"{full_name} was created from {name} ({rows}); name and schema are guessed", remedy)
    if recorded.name != description.name or recorded.cluster["id"] != description.cluster["id"]:
        remedy = "Drop one of the two collections"
        return warn(
            _CHECK, f"{full_name} was adopted from {name} ({rows}); the name {recorded.name} is taken", remedy
        )
    return ok(_CHECK, f"{full_name} was adopted from {name}: {rows}, {len(description.indexes)} indexes")


def _guess_description(
    settings: Settings,
    catalog: Catalog,
    engine: LanceEngine,
    table_id: str,
    store: str,
    contents: TableContents | None,
) -> Description | None:
    clusters = [cluster for cluster in catalog.clusters.list() if cluster.store == store]
    owner = next(
        (cluster for cluster in clusters if cluster.id == settings.cluster_id), clusters[0] if clusters else None
    )
    if contents is None or contents.schema is None or owner is None:
        return None
    name = f"adopted_{table_id[:8]}"
    try:
        contents.schema.check(name)
    except InvalidSchema:
        return None
    now = now_millis()
    return Description(
        id=table_id,
        number=new_id(),
        name=name,
        schema=contents.schema.to_json(),
        settings=CollectionSettings().to_json(),
        load_state=LoadState.NEVER.value,
        engine=engine.name,
        storage_version=engine.storage_version,
        next_partition=1,
        created_at=now,
        cluster={
            "id": owner.id,
            "region": owner.region,
            "name": owner.name,
            "store": store,
            "org_id": owner.org_id,
            "org": catalog.orgs.get(owner.org_id).name,
        },
        database={"name": DEFAULT_DATABASE, "properties": {}},
        partitions=[{"number": 0, "name": DEFAULT_PARTITION, "created_at": now}],
        indexes=[],
    )


def _with_free_name(catalog: Catalog, description: Description, store: str) -> Description:
    """Set the store where the table is, as it may have been moved, and a name that is free in the database."""
    description = replace(description, cluster={**description.cluster, "store": store})
    databases = {database.name: database for database in catalog.databases.list(description.cluster["id"])}
    home = databases.get(description.database["name"])
    if home is not None and catalog.collections.find(home, description.name) is not None:
        return replace(description, name=f"{description.name}_{description.id[:8]}", number=new_id())
    return description


def _require_keys(
    settings: Settings, catalog: Catalog, engine: LanceEngine, *, adopted: bool
) -> Iterator[CheckResult]:
    if not adopted:
        yield ok(_CHECK, "every table of the store is in the catalog")
        return
    mark_keys(settings.data_dir)
    keep_marks(settings, catalog, engine)
    if not catalog.accounts.any_valid():
        yield warn(
            _CHECK,
            "keys, users, jobs and quotas were in the lost catalog; the server rejects all calls until a key is "
            "created",
            "penstock keys create NAME --role admin, with this data dir or catalog",
        )

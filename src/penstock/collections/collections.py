"""Collections: create, list, describe, drop, load state and counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from penstock.analyzers import field_analyzer
from penstock.catalog import Catalog
from penstock.catalog.collections.collections import new_collection_id
from penstock.catalog.collections.descriptions import describe_soon
from penstock.collections.collection_settings import settings_in
from penstock.collections.default_values import with_stored_defaults
from penstock.collections.description import CollectionDescription, describe_fields
from penstock.domain.collections import TTL, Collection, CollectionSettings, Database, LoadState
from penstock.domain.names import check_collection_name
from penstock.domain.schema import CollectionSchema
from penstock.engines.registry import EngineRegistry
from penstock.engines.values import Table
from penstock.errors import (
    AliasNameConflict,
    CollectionExists,
    CollectionNotLoaded,
    DatabaseNotFound,
    IndexNotFound,
    InvalidParameter,
    Unsupported,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSpace:
    """Bytes of a collection's rows in the store, and in how many fragments they are."""

    size: int
    fragments: int


class CollectionService:
    """The use cases of collections.

    ``wake`` starts the background cleanup of a dropped collection's files. ``refuse_if_full`` raises StorageFull
    while nothing can be stored.
    """

    def __init__(
        self,
        catalog: Catalog,
        engines: EngineRegistry,
        wake: Callable[[], None],
        refuse_if_full: Callable[[], None] = lambda: None,
    ) -> None:
        self._refuse_if_full = refuse_if_full
        self._catalog = catalog
        self._engines = engines
        self._wake = wake

    def create(
        self,
        cluster_id: str,
        database: str,
        name: str,
        schema: CollectionSchema,
        settings: CollectionSettings,
    ) -> Collection:
        """Create an empty collection; an identical existing one is returned.

        Raises:
            DatabaseNotFound, InvalidName, InvalidSchema.
            AliasNameConflict: the name is an alias.
            CollectionExists: the name is taken by a collection of another shape.
            Unsupported: the rows are to expire, and the cluster's engine keeps them forever; an analyzer that isn't
                served.
        """
        home = self._catalog.databases.get(cluster_id, database)
        check_collection_name(name)
        settings = settings_in(home, settings)
        schema = with_stored_defaults(schema.in_timezone(settings.timezone).check(name))
        _check_analyzers(schema)
        existing = self._catalog.collections.find(home, name)
        if existing is None:
            try:
                return self._create_new(home, name, schema, settings)
            except CollectionExists:
                # A concurrent call created it; it may be identical.
                existing = self._catalog.collections.get(home, name)
        if existing.name != name:
            raise AliasNameConflict(
                f"alias and collection name conflict[database={database}][alias={name}]",
                database=database,
                alias=name,
            )
        if existing.schema != schema or existing.settings != settings:
            raise CollectionExists(
                f"create duplicate collection with different parameters, collection: {name}", collection=name
            )
        return existing

    def _create_new(
        self, home: Database, name: str, schema: CollectionSchema, settings: CollectionSettings
    ) -> Collection:
        self._refuse_if_full()
        engine = self._engines.for_cluster(self._catalog.clusters.get(home.cluster_id))
        if settings.ttl_seconds is not None and not engine.capabilities.row_expiry:
            raise Unsupported(
                f"the engine {engine.name} of this cluster keeps rows forever: create the collection {name} "
                f"without {TTL}",
                collection=name,
                engine=engine.name,
            )
        collection_id = new_collection_id()
        version = engine.create(Table(id=collection_id, schema=schema))
        try:
            collection = self._catalog.collections.create(
                home,
                name,
                schema,
                settings,
                collection_id=collection_id,
                engine=engine.name,
                storage_version=engine.storage_version,
                version=version,
            )
        except (AliasNameConflict, CollectionExists, DatabaseNotFound):
            engine.drop(collection_id)  # the catalog doesn't know of the table
            raise
        describe_soon(self._catalog.database, self._engines, collection)
        return collection

    def get(self, cluster_id: str, database: str, name: str) -> Collection:
        """Look up a collection by its name or an alias. Raises DatabaseNotFound, CollectionNotFound."""
        return self._catalog.collections.get(self._catalog.databases.get(cluster_id, database), name)

    def has(self, cluster_id: str, database: str, name: str) -> bool:
        """Whether the name is a collection or an alias. Raises DatabaseNotFound."""
        home = self._catalog.databases.get(cluster_id, database)
        return self._catalog.collections.find(home, name) is not None

    def list(self, cluster_id: str, database: str) -> Sequence[Collection]:
        """Raises DatabaseNotFound."""
        return self._catalog.collections.list(self._catalog.databases.get(cluster_id, database))

    def all(self, cluster_id: str) -> Sequence[Collection]:
        """The collections of a cluster, by database."""
        return self._catalog.collections.all(cluster_id)

    def names(self, cluster_id: str) -> Sequence[tuple[str, str]]:
        """Database and name of each collection of a cluster, sorted."""
        return self._catalog.collections.names(cluster_id)

    def describe(self, cluster_id: str, database: str, name: str) -> CollectionDescription:
        """Raises DatabaseNotFound, CollectionNotFound."""
        collection = self.get(cluster_id, database, name)
        return CollectionDescription(
            collection=collection,
            fields=describe_fields(collection.schema),
            partitions=self._catalog.collections.partitions(collection.id),
            indexes=self._catalog.collections.indexes(collection.id),
            aliases=self._catalog.aliases.names_of(collection.id),
        )

    def drop(self, cluster_id: str, database: str, name: str) -> None:
        """Drop a collection and end its jobs with that reason.

        Raises:
            DatabaseNotFound, CollectionNotFound.
            InvalidParameter: the name is an alias, or the collection has aliases.
        """
        collection = self.get(cluster_id, database, name)
        if collection.name != name:
            raise InvalidParameter(f"cannot drop the collection via alias = {name}", alias=name)
        self._catalog.aliases.refuse_drop(collection.id)
        # Before the drop, as another process may remove the table right after it.
        describe_soon(self._catalog.database, self._engines, collection, dropped=True)
        try:
            self._catalog.collections.drop(collection.id)
        except InvalidParameter:
            # A concurrent call gave it an alias.
            describe_soon(self._catalog.database, self._engines, collection)
            raise
        self._catalog.jobs.fail_unfinished(collection.id, f"collection {collection.name} dropped")
        self._wake()

    def count(self, cluster_id: str, database: str, name: str) -> int:
        """Count the visible rows. Raises DatabaseNotFound, CollectionNotFound."""
        collection = self.get(cluster_id, database, name)
        table = Table.of(collection, self._catalog.row_expiry.of(collection))
        return self._engines.for_collection(collection).count(table)

    def space(self, cluster_id: str, database: str, name: str) -> StoredSpace | None:
        """The space of a collection's rows; None where its engine does not report it.

        Old versions, indexes and files that wait for the cleanup are not counted.

        Raises:
            DatabaseNotFound, CollectionNotFound, StorageError.
        """
        collection = self.get(cluster_id, database, name)
        engine = self._engines.maintainable(collection)
        if engine is None:
            return None
        fragments = engine.snapshot(Table.of(collection), by_partition=False).fragments
        return StoredSpace(size=sum(fragment.size for fragment in fragments), fragments=len(fragments))

    def load(self, cluster_id: str, database: str, name: str) -> None:
        """Mark the collection as loaded.

        Raises:
            IndexNotFound: no vector field has an index.
            InvalidParameter: some vector fields have one, others don't; as in Milvus.
        """
        collection = self.get(cluster_id, database, name)
        indexed = {index.field_name for index in self._catalog.collections.indexes(collection.id)}
        missing = [vector.name for vector in collection.schema.vectors if vector.name not in indexed]
        if len(missing) == len(collection.schema.vectors):
            raise IndexNotFound(f"index not found[collection={name}]", collection=name)
        if missing:
            raise InvalidParameter(
                f"there is no vector index on field: [{' '.join(missing)}], please create index firstly",
                collection=name,
                fields=missing,
            )
        self._catalog.collections.set_load_state(collection.id, LoadState.LOADED)

    def refresh_load(self, cluster_id: str, database: str, name: str) -> None:
        """Do nothing for a loaded collection: its new rows are visible as soon as they are committed.

        Raises:
            CollectionNotLoaded: it isn't loaded.
        """
        collection = self.get(cluster_id, database, name)
        if collection.load_state is not LoadState.LOADED:
            raise CollectionNotLoaded(f"collection not loaded[collection={collection.number}]", collection=name)

    def release(self, cluster_id: str, database: str, name: str) -> None:
        """Mark the collection as released: query and search refuse it until it is loaded again."""
        collection = self.get(cluster_id, database, name)
        self._catalog.collections.set_load_state(collection.id, LoadState.RELEASED)


def _check_analyzers(schema: CollectionSchema) -> None:
    for field in schema:
        if field.enable_analyzer:
            field_analyzer(field)

"""Collections in the catalog, with their partitions and indexes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from penstock.catalog.collections.aliases import find_alias, refuse_alias_name, refuse_if_aliased
from penstock.catalog.collections.partition_drop import PartitionJobs, drop_partition, jobs_of_partition
from penstock.catalog.collections.rename import rename
from penstock.catalog.collections.row_expiry import record_commits
from penstock.catalog.collections.update_time import later_update
from penstock.catalog.db import tables
from penstock.catalog.db.commit_hooks import write_at_commit
from penstock.catalog.db.connection import CatalogDatabase, from_millis, now_millis
from penstock.domain.collections import (
    DEFAULT_PARTITION_NUMBER,
    Collection,
    CollectionSettings,
    Database,
    LoadState,
    Partition,
)
from penstock.domain.ids import new_id
from penstock.domain.index import IndexSpec
from penstock.domain.names import DEFAULT_PARTITION
from penstock.domain.schema import CollectionSchema
from penstock.errors import (
    CollectionExists,
    CollectionNotFound,
    DatabaseNotFound,
    IndexExists,
    IndexNotFound,
    PartitionNotFound,
    shorten_name,
)


class CollectionRepository:
    """Collections by database and name, or by id."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def create(
        self,
        database: Database,
        name: str,
        schema: CollectionSchema,
        settings: CollectionSettings,
        *,
        collection_id: str,
        engine: str,
        storage_version: str,
        version: int,
    ) -> Collection:
        """Store a collection, whose table the engine has created, with its partitions.

        A collection with a partition key gets ``settings.key_partitions`` partitions ``_default_0`` …; any other
        gets ``_default``.

        Raises:
            AliasNameConflict: the name is an alias.
            CollectionExists: the name is taken in this database.
        """
        names = [DEFAULT_PARTITION]
        if schema.partition_key:
            names = [f"{DEFAULT_PARTITION}_{number}" for number in range(settings.key_partitions)]
        now = now_millis()
        try:
            with self._database.write() as connection:
                connection.execute(
                    insert(tables.collection).values(
                        id=collection_id,
                        number=new_id(),
                        cluster_id=database.cluster_id,
                        database_id=database.id,
                        name=name,
                        schema=schema.to_json(),
                        settings=settings.to_json(),
                        load_state=LoadState.NEVER.value,
                        engine=engine,
                        storage_version=storage_version,
                        version=version,
                        next_auto_id=1,
                        next_partition=DEFAULT_PARTITION_NUMBER + len(names),
                        created_at=now,
                        updated_at=now,
                    )
                )
                connection.execute(
                    insert(tables.partition),
                    [
                        {"collection_id": collection_id, "number": number, "name": name, "created_at": now}
                        for number, name in enumerate(names, DEFAULT_PARTITION_NUMBER)
                    ],
                )
                refuse_alias_name(connection, database, name)
        except IntegrityError as error:
            if self.find(database, name) is None:
                raise DatabaseNotFound(
                    f"database not found[database={database.name}]", database=database.name
                ) from error
            raise CollectionExists(
                f"create duplicate collection with different parameters, collection: {name}", collection=name
            ) from error
        return self.get(database, name)

    def get(self, database: Database, name: str) -> Collection:
        """Look up a collection by its name or an alias. Raises CollectionNotFound."""
        collection = self.find(database, name)
        if collection is None:
            raise CollectionNotFound(
                f"collection not found[database={database.name}][collection={name}]",
                database=database.name,
                collection=name,
            )
        return collection

    def find(self, database: Database, name: str) -> Collection | None:
        """The collection of this name or alias, or None; compare its ``name`` to see which."""

        def read(connection: Connection) -> Collection | None:
            row = connection.execute(_BY_NAME, {"database_id": database.id, "name": name}).one_or_none()
            if row is None:
                collection_id = find_alias(connection, database.id, name)
                if collection_id is not None:
                    row = connection.execute(_BY_ID, {"id": collection_id}).one_or_none()
            return None if row is None else _collection(row)

        return self._database.read_cached(("collection", database.id, name), read)

    def by_id(self, collection_id: str) -> Collection | None:
        """The collection, unless it has been dropped."""

        def read(connection: Connection) -> Collection | None:
            row = connection.execute(_BY_ID, {"id": collection_id}).one_or_none()
            return None if row is None else _collection(row)

        return self._database.read_cached(("collection by id", collection_id), read)

    def by_id_with_dropped(self, collection_id: str) -> Collection | None:
        """As :meth:`by_id`, also if it is dropped; None once it is deleted from the catalog."""
        with self._database.read() as connection:
            row = connection.execute(_all().where(tables.collection.c.id == collection_id)).one_or_none()
        return None if row is None else _collection(row)

    def list(self, database: Database) -> Sequence[Collection]:
        """Oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                _live().where(tables.collection.c.database_id == database.id).order_by(tables.collection.c.number)
            ).all()
        return [_collection(row) for row in rows]

    def all(self, cluster_id: str | None = None) -> Sequence[Collection]:
        """The collections of a cluster, or of all clusters: by cluster and database, oldest first."""
        collection = tables.collection.c
        query = _live().order_by(collection.cluster_id, collection.database_id, collection.number)
        with self._database.read() as connection:
            rows = connection.execute(
                query if cluster_id is None else query.where(collection.cluster_id == cluster_id)
            ).all()
        return [_collection(row) for row in rows]

    def names(self, cluster_id: str) -> Sequence[tuple[str, str]]:
        """Database and name of each collection of a cluster, sorted."""
        collection, database = tables.collection.c, tables.database.c
        query = (
            select(database.name.label("database"), collection.name)
            .join(tables.database, database.id == collection.database_id)
            .where(database.cluster_id == cluster_id, collection.dropped_at.is_(None))
            .order_by(database.name, collection.name)
        )
        with self._database.read() as connection:
            return [(row.database, row.name) for row in connection.execute(query).all()]

    def drop(self, collection_id: str) -> None:
        """Mark the collection as dropped, which hides it; :meth:`forget` deletes it once its files are gone.

        Raises:
            InvalidParameter: it has aliases.
        """
        with self._database.write() as connection:
            _lock(connection, collection_id)
            refuse_if_aliased(connection, collection_id)
            connection.execute(
                update(tables.collection)
                .where(tables.collection.c.id == collection_id, tables.collection.c.dropped_at.is_(None))
                .values(dropped_at=now_millis())
            )
            self._database.notify(connection)

    def dropped(self) -> Sequence[Collection]:
        """Collections that are marked as dropped and not yet deleted from the catalog."""
        with self._database.read() as connection:
            rows = connection.execute(_all().where(tables.collection.c.dropped_at.is_not(None))).all()
        return [_collection(row) for row in rows]

    def forget(self, collection_id: str) -> None:
        """Delete a dropped collection's rows from the catalog."""
        with self._database.write() as connection:
            for table in (
                tables.partition,
                tables.vector_index,
                tables.maintenance,
                tables.job_commit,
                tables.loaded_file,
            ):
                connection.execute(delete(table).where(table.c.collection_id == collection_id))
            connection.execute(
                delete(tables.collection).where(
                    tables.collection.c.id == collection_id, tables.collection.c.dropped_at.is_not(None)
                )
            )

    def all_ids(self) -> Sequence[str]:
        """Ids of all collections in the catalog, dropped ones included."""
        with self._database.read() as connection:
            return list(connection.execute(select(tables.collection.c.id)).scalars())

    def ids_in(self, store: str, engine: str) -> Sequence[str]:
        """Ids of an engine's live collections in a cluster's store; ``""`` is the server's own store."""
        collection, cluster = tables.collection.c, tables.cluster.c
        query = select(collection.id).join(tables.cluster, cluster.id == collection.cluster_id)
        with self._database.read() as connection:
            result = connection.execute(
                query.where(cluster.store == store, collection.engine == engine, collection.dropped_at.is_(None))
            )
            return list(result.scalars())

    def rename(self, collection: Collection, target: Database, name: str) -> None:
        """Rename a collection or move it; see :func:`penstock.catalog.collections.rename.rename`."""
        with self._database.write() as connection:
            self._database.allow_long_statements(connection)
            rename(connection, collection, target, name)
            self._database.notify(connection)

    def alter(self, collection_id: str, change: Callable[[Collection], Collection]) -> Collection:
        """Replace schema and settings by those of ``change(collection)``, which is called under the row's lock.

        The version is raised to the changed one's. If all is as before, nothing is written.

        Raises:
            CollectionNotFound: it was dropped.
        """
        with self._database.write() as connection:
            _lock_live(connection, collection_id)
            collection = _collection(connection.execute(_BY_ID, {"id": collection_id}).one())
            changed = change(collection)
            if (changed.schema, changed.settings) == (collection.schema, collection.settings):
                return collection
            connection.execute(
                update(tables.collection)
                .where(tables.collection.c.id == collection_id)
                .values(
                    schema=changed.schema.to_json(),
                    settings=changed.settings.to_json(),
                    version=max(changed.version, collection.version),
                    updated_at=later_update(),
                )
            )
            if collection.settings.ttl_seconds is None and changed.settings.ttl_seconds is not None:
                record_commits(connection, collection_id)
            row = connection.execute(_BY_ID, {"id": collection_id}).one()
        return _collection(row)

    def set_load_state(self, collection_id: str, state: LoadState) -> None:
        self._update(collection_id, load_state=state.value)

    def raise_version(self, collection_id: str, version: int, within: Connection | None = None) -> None:
        """Store the engine's version of the table; a lower one than stored changes nothing.

        ``within`` is a transaction of the caller, which writes it with its commit; None: one of its own.
        """
        with self._database.write() if within is None else nullcontext(within) as connection:
            write_at_commit(connection, _raise_versions, [(collection_id, version)])

    def reserve_auto_ids(self, connection: Connection, collection_id: str, count: int) -> int:
        """Reserve ``count`` ids in the caller's transaction; returns the first."""
        column = tables.collection.c.next_auto_id
        connection.execute(
            update(tables.collection)
            .where(tables.collection.c.id == collection_id)
            .values(next_auto_id=column + count)
        )
        next_auto_id = connection.execute(select(column).where(tables.collection.c.id == collection_id)).scalar_one()
        return int(next_auto_id) - count

    def _update(self, collection_id: str, **values: Any) -> None:
        with self._database.write() as connection:
            connection.execute(
                update(tables.collection).where(tables.collection.c.id == collection_id).values(**values)
            )

    # Partitions

    def partitions(self, collection_id: str) -> Sequence[Partition]:
        """The partitions, in creation order."""

        def read(connection: Connection) -> tuple[Partition, ...]:
            rows = connection.execute(_PARTITIONS, {"id": collection_id}).all()
            return tuple(Partition(collection_id=row.collection_id, number=row.number, name=row.name) for row in rows)

        return self._database.read_cached(("partitions", collection_id), read)

    def partition(self, collection_id: str, name: str) -> Partition:
        """Raises PartitionNotFound."""
        for partition in self.partitions(collection_id):
            if partition.name == name:
                return partition
        raise PartitionNotFound(f"partition not found[partition={shorten_name(name)}]", partition=name)

    def create_partition(self, collection_id: str, name: str) -> Partition:
        """Return the partition of this name, and create it if it is missing.

        Raises:
            CollectionNotFound: the collection was dropped.
        """
        with self._database.write() as connection:
            _lock_live(connection, collection_id)
            where = (tables.partition.c.collection_id == collection_id, tables.partition.c.name == name)
            if connection.execute(select(tables.partition.c.number).where(*where)).one_or_none() is None:
                column = tables.collection.c.next_partition
                number = connection.execute(
                    select(column).where(tables.collection.c.id == collection_id)
                ).scalar_one()
                connection.execute(
                    update(tables.collection)
                    .where(tables.collection.c.id == collection_id)
                    .values(next_partition=number + 1)
                )
                connection.execute(
                    insert(tables.partition).values(
                        collection_id=collection_id, number=number, name=name, created_at=now_millis()
                    )
                )
        return self.partition(collection_id, name)

    def jobs_of_partition(self, collection_id: str, partition: str) -> PartitionJobs:
        with self._database.read() as connection:
            return jobs_of_partition(connection, collection_id, partition)

    def drop_partition(self, collection_id: str, name: str, seen: PartitionJobs) -> bool:
        """Remove the name; see :func:`penstock.catalog.collections.partition_drop.drop_partition`.

        The partition's number is never reused."""
        with self._database.write() as connection:
            return drop_partition(connection, collection_id, name, seen)

    # Indexes

    def indexes(self, collection_id: str) -> Sequence[IndexSpec]:
        """The indexes, in creation order."""
        return list(
            self._database.read_cached(
                ("indexes", collection_id), lambda connection: _indexes(connection, collection_id)
            )
        )

    def add_index(self, collection_id: str, spec: IndexSpec) -> None:
        """Add an index; adding an equal one again changes nothing.

        Raises:
            IndexExists: the name or the field already has a different index.
            CollectionNotFound: the collection was dropped.
        """
        with self._database.write() as connection:
            _lock_live(connection, collection_id)
            for index in _indexes(connection, collection_id):
                if replace(index, params=spec.params) == spec:
                    return
                if index.name == spec.name:
                    raise IndexExists("at most one distinct index is allowed per field", index=spec.name)
                if index.field_name == spec.field_name:
                    raise IndexExists(
                        "CreateIndex failed: creating multiple indexes on same field is not supported",
                        index=spec.name,
                        field=spec.field_name,
                    )
            connection.execute(
                insert(tables.vector_index).values(
                    collection_id=collection_id,
                    name=spec.name,
                    field_name=spec.field_name,
                    spec=spec.to_json(),
                    created_at=now_millis(),
                )
            )

    def alter_index(self, collection_id: str, name: str, change: Callable[[IndexSpec], IndexSpec]) -> None:
        """Replace an index by ``change(index)``, which has the same name and field. Raises IndexNotFound."""
        with self._database.write() as connection:
            _lock(connection, collection_id)
            index = next((index for index in _indexes(connection, collection_id) if index.name == name), None)
            if index is None:
                raise IndexNotFound(f"index not found[indexName={name}]", index=name)
            connection.execute(
                update(tables.vector_index)
                .where(tables.vector_index.c.collection_id == collection_id, tables.vector_index.c.name == name)
                .values(spec=change(index).to_json())
            )

    def drop_index(self, collection_id: str, name: str) -> None:
        """Remove an index, if it exists."""
        with self._database.write() as connection:
            connection.execute(
                delete(tables.vector_index).where(
                    tables.vector_index.c.collection_id == collection_id, tables.vector_index.c.name == name
                )
            )


def new_collection_id() -> str:
    """A new UUID, the table's name in the engine: a collection can be dropped and created again while a job runs."""
    return uuid.uuid4().hex


def _lock(connection: Connection, collection_id: str) -> bool:
    """Lock the collection's row: one transaction at a time changes its partitions and indexes.

    Returns whether it is there and not dropped.
    """
    column = tables.collection.c
    row = connection.execute(
        select(column.dropped_at).where(column.id == collection_id).with_for_update()
    ).one_or_none()
    return row is not None and row.dropped_at is None


def _lock_live(connection: Connection, collection_id: str) -> None:
    """As :func:`_lock`. Raises CollectionNotFound: the collection was dropped."""
    if not _lock(connection, collection_id):
        raise CollectionNotFound(f"collection {collection_id} was dropped", collection=collection_id)


def _indexes(connection: Connection, collection_id: str) -> Sequence[IndexSpec]:
    rows = connection.execute(_INDEXES, {"collection_id": collection_id}).scalars()
    return [IndexSpec.from_json(spec) for spec in rows]


def _all() -> Select[Any]:
    return (
        select(tables.collection, tables.database.c.name.label("database"), tables.cluster.c.store)
        .join(tables.database, tables.database.c.id == tables.collection.c.database_id)
        .join(tables.cluster, tables.cluster.c.id == tables.collection.c.cluster_id)
    )


def _live() -> Select[Any]:
    return _all().where(tables.collection.c.dropped_at.is_(None))


# Built once, every call needs it: building such a statement takes longer than running it.
_BY_NAME = _live().where(
    tables.collection.c.database_id == bindparam("database_id"), tables.collection.c.name == bindparam("name")
)
_BY_ID = _live().where(tables.collection.c.id == bindparam("id"))
_PARTITIONS = (
    select(tables.partition)
    .where(tables.partition.c.collection_id == bindparam("id"))
    .order_by(tables.partition.c.number)
)
_INDEXES = (
    select(tables.vector_index.c.spec)
    .where(tables.vector_index.c.collection_id == bindparam("collection_id"))
    .order_by(tables.vector_index.c.created_at, tables.vector_index.c.name)
)
_RAISE_VERSION = (
    update(tables.collection)
    .where(tables.collection.c.id == bindparam("collection"), tables.collection.c.version < bindparam("to"))
    .values(version=bindparam("to"))
)


def _raise_versions(connection: Connection, versions: Sequence[tuple[str, int]]) -> None:
    """Raise collections to their highest versions, all in the same order, so that no two transactions deadlock."""
    highest = dict(sorted(versions))
    connection.execute(_RAISE_VERSION, [{"collection": each, "to": version} for each, version in highest.items()])


def _collection(row: Row[Any]) -> Collection:
    settings = CollectionSettings.from_json(row.settings)
    return Collection(
        id=row.id,
        number=row.number,
        cluster_id=row.cluster_id,
        database_id=row.database_id,
        database=row.database,
        name=row.name,
        schema=CollectionSchema.from_json(row.schema).in_timezone(settings.timezone),
        settings=settings,
        load_state=LoadState(row.load_state),
        version=row.version,
        created_at=from_millis(row.created_at),
        engine=row.engine,
        updated_at=from_millis(row.updated_at),
        store=row.store,
    )

"""Collections, their partitions and indexes in the catalog."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from penstock.catalog.collections.partition_drop import PartitionJobs, drop_partition, jobs_of_partition
from penstock.catalog.db import tables
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
    PartitionNotFound,
)

__all__ = ["CollectionRepository"]


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
        """Store a collection whose table the engine has made, with its partitions.

        A collection with a partition key gets ``settings.key_partitions`` partitions ``_default_0`` …; any other
        one gets ``_default``.

        Raises:
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
                    )
                )
                connection.execute(
                    insert(tables.partition),
                    [
                        {"collection_id": collection_id, "number": number, "name": name, "created_at": now}
                        for number, name in enumerate(names, DEFAULT_PARTITION_NUMBER)
                    ],
                )
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
        """Raises CollectionNotFound."""
        found = self.find(database, name)
        if found is None:
            raise CollectionNotFound(
                f"collection not found[database={database.name}][collection={name}]",
                database=database.name,
                collection=name,
            )
        return found

    def find(self, database: Database, name: str) -> Collection | None:
        with self._database.read() as connection:
            row = connection.execute(_BY_NAME, {"database_id": database.id, "name": name}).one_or_none()
        return None if row is None else _collection(row)

    def by_id(self, collection_id: str) -> Collection | None:
        """The collection unless it has been dropped."""
        with self._database.read() as connection:
            row = connection.execute(_live().where(tables.collection.c.id == collection_id)).one_or_none()
        return None if row is None else _collection(row)

    def list(self, database: Database) -> Sequence[Collection]:
        """Oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                _live().where(tables.collection.c.database_id == database.id).order_by(tables.collection.c.number)
            ).all()
        return [_collection(row) for row in rows]

    def drop(self, collection_id: str) -> None:
        """Take the collection out of sight; :meth:`forget` removes it once its files are gone."""
        with self._database.write() as connection:
            connection.execute(
                update(tables.collection)
                .where(tables.collection.c.id == collection_id, tables.collection.c.dropped_at.is_(None))
                .values(dropped_at=now_millis())
            )
            self._database.notify(connection)

    def dropped(self) -> Sequence[str]:
        """Ids of collections that are dropped and not yet forgotten."""
        with self._database.read() as connection:
            return list(
                connection.execute(
                    select(tables.collection.c.id).where(tables.collection.c.dropped_at.is_not(None))
                ).scalars()
            )

    def forget(self, collection_id: str) -> None:
        """Delete a dropped collection's rows from the catalog."""
        with self._database.write() as connection:
            for table in (tables.partition, tables.vector_index, tables.maintenance, tables.job_commit):
                connection.execute(delete(table).where(table.c.collection_id == collection_id))
            connection.execute(
                delete(tables.collection).where(
                    tables.collection.c.id == collection_id, tables.collection.c.dropped_at.is_not(None)
                )
            )

    def store_of(self, collection_id: str) -> str | None:
        """The store of its cluster, also of a dropped collection; None of one that is forgotten."""
        query = select(tables.cluster.c.store).join(
            tables.collection, tables.collection.c.cluster_id == tables.cluster.c.id
        )
        with self._database.read() as connection:
            return connection.execute(query.where(tables.collection.c.id == collection_id)).scalar_one_or_none()

    def all_ids(self) -> Sequence[str]:
        """Every id that has or had a table and is not forgotten."""
        with self._database.read() as connection:
            return list(connection.execute(select(tables.collection.c.id)).scalars())

    def ids_in(self, store: str) -> Sequence[str]:
        """Ids of the collections that are kept in a cluster's store, or with ``""`` in the server's own."""
        collection, cluster = tables.collection.c, tables.cluster.c
        query = select(collection.id).join(tables.cluster, cluster.id == collection.cluster_id)
        with self._database.read() as connection:
            found = connection.execute(query.where(cluster.store == store, collection.dropped_at.is_(None)))
            return list(found.scalars())

    def set_load_state(self, collection_id: str, state: LoadState) -> None:
        self._update(collection_id, load_state=state.value)

    def raise_version(self, collection_id: str, version: int) -> None:
        """Note an engine version; a lower one than is noted changes nothing."""
        with self._database.write() as connection:
            connection.execute(
                update(tables.collection)
                .where(tables.collection.c.id == collection_id, tables.collection.c.version < version)
                .values(version=version)
            )

    def reserve_auto_ids(self, connection: Connection, collection_id: str, count: int) -> int:
        """The first of ``count`` ids that nobody else will get, inside the caller's transaction."""
        column = tables.collection.c.next_auto_id
        connection.execute(
            update(tables.collection)
            .where(tables.collection.c.id == collection_id)
            .values(next_auto_id=column + count)
        )
        after = connection.execute(select(column).where(tables.collection.c.id == collection_id)).scalar_one()
        return int(after) - count

    def _update(self, collection_id: str, **values: Any) -> None:
        with self._database.write() as connection:
            connection.execute(
                update(tables.collection).where(tables.collection.c.id == collection_id).values(**values)
            )

    # Partitions

    def partitions(self, collection_id: str) -> Sequence[Partition]:
        """In the order of their making."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(tables.partition)
                .where(tables.partition.c.collection_id == collection_id)
                .order_by(tables.partition.c.number)
            ).all()
        return [Partition(collection_id=row.collection_id, number=row.number, name=row.name) for row in rows]

    def partition(self, collection_id: str, name: str) -> Partition:
        """Raises PartitionNotFound."""
        for each in self.partitions(collection_id):
            if each.name == name:
                return each
        raise PartitionNotFound(f"partition not found[partition={name}]", partition=name)

    def create_partition(self, collection_id: str, name: str) -> Partition:
        """The partition of this name, made if it isn't there."""
        with self._database.write() as connection:
            _lock(connection, collection_id)
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
        """Remove the name; see :func:`penstock.catalog.collections.partition_drop.drop_partition`. Its number is
        never given again."""
        with self._database.write() as connection:
            return drop_partition(connection, collection_id, name, seen)

    # Indexes

    def indexes(self, collection_id: str) -> Sequence[IndexSpec]:
        """In the order of their making."""
        with self._database.read() as connection:
            return _indexes(connection, collection_id)

    def add_index(self, collection_id: str, spec: IndexSpec) -> None:
        """Add an index; the same one again is fine.

        Raises:
            IndexExists: the name or the field has another index already.
        """
        with self._database.write() as connection:
            _lock(connection, collection_id)
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

    def drop_index(self, collection_id: str, name: str) -> None:
        """Remove an index; a missing one is fine."""
        with self._database.write() as connection:
            connection.execute(
                delete(tables.vector_index).where(
                    tables.vector_index.c.collection_id == collection_id, tables.vector_index.c.name == name
                )
            )


def new_collection_id() -> str:
    """A uuid: it names the table in the engine, so that a name may be dropped and made again while a job runs."""
    return uuid.uuid4().hex


def _lock(connection: Connection, collection_id: str) -> None:
    """Let only one transaction at a time change what belongs to the collection."""
    connection.execute(
        select(tables.collection.c.id).where(tables.collection.c.id == collection_id).with_for_update()
    )


def _indexes(connection: Connection, collection_id: str) -> Sequence[IndexSpec]:
    rows = connection.execute(
        select(tables.vector_index.c.spec)
        .where(tables.vector_index.c.collection_id == collection_id)
        .order_by(tables.vector_index.c.created_at, tables.vector_index.c.name)
    ).scalars()
    return [IndexSpec.from_json(spec) for spec in rows]


def _live() -> Select[Any]:
    return (
        select(tables.collection, tables.database.c.name.label("database"), tables.cluster.c.store)
        .join(tables.database, tables.database.c.id == tables.collection.c.database_id)
        .join(tables.cluster, tables.cluster.c.id == tables.collection.c.cluster_id)
        .where(tables.collection.c.dropped_at.is_(None))
    )


# Every call asks for it. Making such a statement anew takes longer than running it.
_BY_NAME = _live().where(
    tables.collection.c.database_id == bindparam("database_id"), tables.collection.c.name == bindparam("name")
)


def _collection(row: Row[Any]) -> Collection:
    return Collection(
        id=row.id,
        number=row.number,
        cluster_id=row.cluster_id,
        database_id=row.database_id,
        database=row.database,
        name=row.name,
        schema=CollectionSchema.from_json(row.schema),
        settings=CollectionSettings.from_json(row.settings),
        load_state=LoadState(row.load_state),
        version=row.version,
        created_at=from_millis(row.created_at),
        store=row.store,
    )

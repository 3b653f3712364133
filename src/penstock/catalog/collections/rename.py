"""Rename a collection, or move it to another database of its cluster: jobs, their counters and exports follow.

The table stays where it is: it is named by the collection's id, and databases of a cluster share a store.
"""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from penstock.catalog.collections.aliases import find_alias, lock_collection
from penstock.catalog.collections.update_time import later_update
from penstock.catalog.db import tables
from penstock.domain.collections import Collection, Database
from penstock.errors import DatabaseNotFound, InvalidParameter


def rename(connection: Connection, collection: Collection, target: Database, name: str) -> None:
    """Give a collection another name, in its own or another database of the same cluster.

    Raises:
        CollectionNotFound, DatabaseNotFound: it, or the target, was dropped meanwhile.
        InvalidParameter: the name is taken, or the collection has aliases and would leave their database.
    """
    # In the order of the ids, so that two renames never wait for each other; then the collection, then its jobs.
    for database_id in sorted({collection.database_id, target.id}):
        lock = select(tables.database.c.id).where(tables.database.c.id == database_id).with_for_update()
        if connection.execute(lock).one_or_none() is None:
            raise DatabaseNotFound(f"database not found[database={target.name}]", database=target.name)
    lock_collection(connection, collection)
    _refuse_taken(connection, target, name)
    if target.id != collection.database_id:
        _refuse_aliases(connection, collection)
    of_collection = tables.collection.c
    connection.execute(
        update(tables.collection)
        .where(of_collection.id == collection.id)
        .values(
            name=name,
            database_id=target.id,
            updated_at=later_update(),
        )
    )
    for history in (tables.job, tables.export):
        connection.execute(
            update(history)
            .where(history.c.collection_id == collection.id)
            .values(collection=name, database_id=target.id, database=target.name)
        )
    for counter in (tables.job_counter, tables.job_day):
        connection.execute(
            update(counter).where(counter.c.collection_id == collection.id).values(database_id=target.id)
        )


def _refuse_taken(connection: Connection, target: Database, name: str) -> None:
    live = tables.collection.c
    taken = connection.execute(
        select(live.id).where(live.database_id == target.id, live.name == name, live.dropped_at.is_(None))
    ).one_or_none()
    if taken is not None or find_alias(connection, target.id, name) is not None:
        raise InvalidParameter(
            f"duplicated new collection name {target.name}:{name} with other collection name or alias",
            database=target.name,
            collection=name,
        )


def _refuse_aliases(connection: Connection, collection: Collection) -> None:
    alias = tables.alias.c
    if connection.execute(select(alias.name).where(alias.collection_id == collection.id)).first() is not None:
        raise InvalidParameter(
            "fail to rename db name, must drop all aliases of this collection before rename",
            collection=collection.name,
        )

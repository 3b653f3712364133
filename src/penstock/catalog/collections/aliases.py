"""Aliases of collections in the catalog. They share their names with the collections of the same database.

The unique indexes of the two tables can't hold this together. A change of aliases locks the database's row; so does,
through its foreign key, the insert of a collection, which looks at the aliases afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase, now_millis
from penstock.domain.collections import Alias, Collection, Database
from penstock.errors import AliasExists, AliasNameConflict, AliasNotFound, CollectionNotFound, InvalidParameter

_TARGET = select(tables.alias.c.collection_id).where(
    tables.alias.c.database_id == bindparam("database_id"), tables.alias.c.name == bindparam("name")
)
_ALIASES = (
    select(
        tables.alias.c.name, tables.database.c.name.label("database"), tables.collection.c.name.label("collection")
    )
    .join(tables.database, tables.database.c.id == tables.alias.c.database_id)
    .join(tables.collection, tables.collection.c.id == tables.alias.c.collection_id)
    .order_by(tables.alias.c.name)
)


def find_alias(connection: Connection, database_id: int, name: str) -> str | None:
    """The id of the collection that the alias leads to, or None."""
    return connection.execute(_TARGET, {"database_id": database_id, "name": name}).scalar_one_or_none()


def refuse_alias_name(connection: Connection, database: Database, name: str) -> None:
    """Raise AliasNameConflict if the name is an alias; the caller holds a lock on the database's row."""
    if find_alias(connection, database.id, name) is not None:
        raise _name_conflict(database.name, name)


def refuse_if_aliased(connection: Connection, collection_id: str) -> None:
    """Raise InvalidParameter if the collection has aliases."""
    alias, collection = tables.alias.c, tables.collection.c
    names = connection.execute(select(alias.name).where(alias.collection_id == collection_id).order_by(alias.name))
    if aliases := list(names.scalars()):
        name = connection.execute(select(collection.name).where(collection.id == collection_id)).scalar_one()
        raise InvalidParameter(
            f"unable to drop the collection [{name}] because it has associated aliases [{', '.join(aliases)}], "
            "please remove all aliases before dropping the collection",
            collection=name,
            aliases=aliases,
        )


class AliasRepository:
    """Create, alter, drop and list aliases."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def get(self, database: Database, name: str) -> Alias:
        """Raises AliasNotFound."""
        alias = tables.alias.c
        with self._database.read() as connection:
            row = connection.execute(
                _ALIASES.where(alias.database_id == database.id, alias.name == name)
            ).one_or_none()
        if row is None:
            raise _not_found(database.name, name)
        return Alias(name=row.name, database=row.database, collection=row.collection)

    def list(self, database: Database) -> Sequence[Alias]:
        """The aliases of a database, by name."""
        with self._database.read() as connection:
            rows = connection.execute(_ALIASES.where(tables.alias.c.database_id == database.id)).all()
        return [Alias(name=row.name, database=row.database, collection=row.collection) for row in rows]

    def names_of(self, collection_id: str) -> Sequence[str]:
        """The aliases of a collection, sorted."""
        alias = tables.alias.c
        with self._database.read() as connection:
            names = connection.execute(
                select(alias.name).where(alias.collection_id == collection_id).order_by(alias.name)
            )
            return list(names.scalars())

    def refuse_drop(self, collection_id: str) -> None:
        """Raise InvalidParameter if the collection has aliases."""
        with self._database.read() as connection:
            refuse_if_aliased(connection, collection_id)

    def create(self, collection: Collection, name: str) -> None:
        """Give a collection an alias; the same one again changes nothing.

        Raises:
            AliasNameConflict: a collection of the database has that name.
            AliasExists: the alias leads to another collection.
            CollectionNotFound: the collection has been dropped, renamed or moved.
        """
        with self._database.write() as connection:
            _lock_names(connection, collection)
            _refuse_collection_name(connection, collection, name)
            present = find_alias(connection, collection.database_id, name)
            if present == collection.id:
                return
            if present is not None:
                raise _exists(connection, collection.database, name, present)
            connection.execute(
                insert(tables.alias).values(
                    database_id=collection.database_id,
                    name=name,
                    collection_id=collection.id,
                    created_at=now_millis(),
                )
            )

    def alter(self, collection: Collection, name: str) -> str:
        """Let an existing alias lead to this collection; returns the id of the one that it led to.

        Raises:
            AliasNotFound, AliasNameConflict, CollectionNotFound.
        """
        alias = tables.alias.c
        with self._database.write() as connection:
            _lock_names(connection, collection)
            _refuse_collection_name(connection, collection, name)
            previous = find_alias(connection, collection.database_id, name)
            if previous is None:
                raise _not_found(collection.database, name)
            connection.execute(
                update(tables.alias)
                .where(alias.database_id == collection.database_id, alias.name == name)
                .values(collection_id=collection.id)
            )
        return previous

    def drop(self, database: Database, name: str) -> str:
        """Remove an alias; returns the id of its collection. Raises AliasNotFound."""
        alias = tables.alias.c
        with self._database.write() as connection:
            collection_id = find_alias(connection, database.id, name)
            if collection_id is None:
                raise _not_found(database.name, name)
            connection.execute(delete(tables.alias).where(alias.database_id == database.id, alias.name == name))
        return collection_id


def lock_collection(connection: Connection, collection: Collection) -> None:
    """Lock a collection's row: its name stays, and it is neither moved nor dropped meanwhile.

    Raises:
        CollectionNotFound: it has been dropped, renamed or moved.
    """
    live = tables.collection.c
    present = connection.execute(
        select(live.id)
        .where(
            live.id == collection.id,
            live.database_id == collection.database_id,
            live.name == collection.name,
            live.dropped_at.is_(None),
        )
        .with_for_update()
    ).one_or_none()
    if present is None:
        raise CollectionNotFound(
            f"collection not found[database={collection.database}][collection={collection.name}]",
            database=collection.database,
            collection=collection.name,
        )


def _lock_names(connection: Connection, collection: Collection) -> None:
    """Lock the names of the collection's database, then the collection. Raises CollectionNotFound."""
    database = tables.database.c
    connection.execute(select(database.id).where(database.id == collection.database_id).with_for_update())
    lock_collection(connection, collection)


def _refuse_collection_name(connection: Connection, collection: Collection, name: str) -> None:
    live = tables.collection.c
    taken = connection.execute(
        select(live.id).where(
            live.database_id == collection.database_id, live.name == name, live.dropped_at.is_(None)
        )
    ).one_or_none()
    if taken is not None:
        raise _name_conflict(collection.database, name)


def _exists(connection: Connection, database: str, name: str, collection_id: str) -> AliasExists:
    collection = tables.collection.c
    other = connection.execute(select(collection.name).where(collection.id == collection_id)).scalar_one()
    return AliasExists(
        f"{name} is alias to another collection: {other}: alias already exist[database={database}][alias={name}]",
        database=database,
        alias=name,
        collection=other,
    )


def _name_conflict(database: str, name: str) -> AliasNameConflict:
    return AliasNameConflict(
        f"alias and collection name conflict[database={database}][alias={name}]", database=database, alias=name
    )


def _not_found(database: str, name: str) -> AliasNotFound:
    return AliasNotFound(f"alias not found[database={database}][alias={name}]", database=database, alias=name)

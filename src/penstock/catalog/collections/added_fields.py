"""Add fields to collections: an intent in the catalog, then the table's column, then the schema.

An intent is never withdrawn: the next process finishes it, so that a column of a table is of its schema's field or
of the intent. See docs/decisions/0014-add-field.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, case, null, select, update

from penstock.catalog.collections.descriptions import describe_soon
from penstock.catalog.collections.update_time import later_update
from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase, now_millis
from penstock.domain.collections import Collection
from penstock.domain.schema import CollectionSchema, Field
from penstock.errors import CollectionNotFound

if TYPE_CHECKING:  # the engine's libraries take longer to load than a command takes
    from penstock.engines.registry import EngineRegistry


class AddedFieldRepository:
    """The intents to add fields: one per collection at most."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def begin(self, collection_id: str, field: Field) -> Field:
        """Record the intent to add a field; returns the field that is to be added now.

        That is ``field``, unless the addition of another one hasn't been finished.

        Raises:
            CollectionNotFound: it was dropped.
            InvalidSchema, InvalidName: the schema would break a rule with the field.
        """
        with self._database.write() as connection:
            row = _locked(connection, collection_id)
            if row is None:
                raise CollectionNotFound(f"collection {collection_id} was dropped", collection=collection_id)
            if row.added_field is not None:
                return Field.from_json(row.added_field["field"])
            CollectionSchema.from_json(row.schema).with_field(field).check(row.name)
            connection.execute(
                update(tables.collection)
                .where(tables.collection.c.id == collection_id)
                .values(added_field={"field": field.to_json(), "since": now_millis()})
            )
        return field

    def finish(self, collection_id: str, field: Field, version: int) -> None:
        """Append the field to the schema, if it isn't done; ``version`` of the table is the first with its column.

        Does nothing for a dropped collection.
        """
        with self._database.write() as connection:
            row = _locked(connection, collection_id)
            if row is None or row.added_field is None or row.added_field["field"] != field.to_json():
                return
            stored = tables.collection.c.version
            connection.execute(
                update(tables.collection)
                .where(tables.collection.c.id == collection_id)
                .values(
                    schema=CollectionSchema.from_json(row.schema).with_field(field).to_json(),
                    added_field=null(),
                    version=case((stored < version, version), else_=stored),
                    updated_at=later_update(),
                )
            )
            self._database.notify(connection)

    def unfinished(self, age_millis: int) -> Sequence[tuple[str, Field]]:
        """Collections, by id, with the field whose addition began before that time and hasn't been finished."""
        collection = tables.collection.c
        with self._database.read() as connection:
            rows = connection.execute(
                select(collection.id, collection.added_field).where(
                    collection.added_field.is_not(None), collection.dropped_at.is_(None)
                )
            ).all()
        before = now_millis() - age_millis
        return [
            (row.id, Field.from_json(row.added_field["field"])) for row in rows if row.added_field["since"] <= before
        ]


def finish_added_field(
    database: CatalogDatabase, engines: EngineRegistry, collection: Collection, field: Field
) -> None:
    """Add the field of an intent to the collection's table, then to its schema. Idempotent.

    Raises:
        StorageConflict, StorageError, StorageFull, StorageUnavailable: the intent stays.
    """
    from penstock.engines.values import Table

    version = engines.for_collection(collection).add_field(Table.of(collection), field)
    AddedFieldRepository(database).finish(collection.id, field, version)
    describe_soon(database, engines, collection)


def _locked(connection: Connection, collection_id: str) -> Any:
    """Lock and read the row of a collection; None if it was dropped."""
    collection = tables.collection.c
    return connection.execute(
        select(collection.name, collection.schema, collection.added_field)
        .where(collection.id == collection_id, collection.dropped_at.is_(None))
        .with_for_update()
    ).one_or_none()

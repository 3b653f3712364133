"""Descriptions of collections: a copy of a collection's catalog rows as JSON, stored next to its table.

If the catalog is lost, ``penstock doctor --adopt`` rebuilds it from these descriptions. The catalog remains the
source of truth: the maintenance of a table rewrites an outdated description.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from sqlalchemy import insert, select

from penstock.catalog.access.clusters import DatabaseRepository
from penstock.catalog.collections.maintenance_leases import MaintenanceLeases
from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase, now_millis, upsert_insert
from penstock.domain.collections import Collection
from penstock.errors import StorageError

if TYPE_CHECKING:  # the engine's libraries take longer to load than a command takes
    from penstock.engines.base import MaintainableEngine
    from penstock.engines.registry import EngineRegistry
    from penstock.engines.values import TableContents

log = structlog.get_logger(__name__)

_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A collection as :meth:`DescriptionRepository.adopt` takes it; the values are those of the catalog's columns.

    ``cluster`` has id, region, name, store, org_id and org; ``database`` has name and properties; each of
    ``partitions`` has number, name and created_at.
    """

    id: str
    number: int
    name: str
    schema: Mapping[str, Any]
    settings: Mapping[str, Any]
    load_state: str
    engine: str
    storage_version: str
    next_partition: int
    created_at: int
    cluster: Mapping[str, str]
    database: Mapping[str, Any]
    partitions: Sequence[Mapping[str, Any]]
    indexes: Sequence[Mapping[str, Any]]
    aliases: Sequence[str] = ()
    dropped: bool = False


def read_description(content: bytes) -> Description:
    """Parse a description. Raises ValueError: it is none, or of a later release."""
    values = orjson.loads(content)
    if not isinstance(values, dict) or values.pop("format", None) != _FORMAT:
        raise ValueError("it does not have the format of this version of Penstock")
    try:
        return Description(**values)
    except TypeError as error:
        raise ValueError(str(error)) from error


class DescriptionRepository:
    """Read descriptions from the catalog, and restore collections from descriptions."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def of(self, collection_id: str) -> Description | None:
        """The description of a collection, also if dropped; None once it is deleted from the catalog."""
        collection = tables.collection.c
        with self._database.read() as connection:
            row = connection.execute(_DESCRIBED.where(collection.id == collection_id)).mappings().one_or_none()
            if row is None:
                return None
            partitions = connection.execute(
                select(tables.partition.c.number, tables.partition.c.name, tables.partition.c.created_at)
                .where(tables.partition.c.collection_id == collection_id)
                .order_by(tables.partition.c.number)
            ).all()
            indexes = connection.execute(
                select(tables.vector_index.c.spec)
                .where(tables.vector_index.c.collection_id == collection_id)
                .order_by(tables.vector_index.c.created_at, tables.vector_index.c.name)
            ).scalars()
            aliases = connection.execute(
                select(tables.alias.c.name)
                .where(tables.alias.c.collection_id == collection_id)
                .order_by(tables.alias.c.name)
            ).scalars()
            return Description(
                **{name: row[name] for name in _COLUMNS},
                dropped=row["dropped_at"] is not None,
                cluster={
                    name: row[f"its_cluster_{name}"] for name in ("id", "region", "name", "store", "org_id", "org")
                },
                database={"name": row["its_database_name"], "properties": row["its_database_properties"]},
                partitions=[
                    {"number": partition.number, "name": partition.name, "created_at": partition.created_at}
                    for partition in partitions
                ],
                indexes=list(indexes),
                aliases=list(aliases),
            )

    def adopt(self, found: Description, contents: TableContents | None) -> None:
        """Store a collection whose table exists, with its cluster, database, partitions, indexes and aliases.

        Aliases whose names are taken are left out.

        ``contents`` is what the table contains; None, as for a damaged table: nothing can be imported into it.

        Raises:
            sqlalchemy.exc.IntegrityError: the catalog already has the collection, or one of the same name.
        """
        now = now_millis()
        partitions = {partition["number"]: dict(partition) for partition in found.partitions}
        for number in contents.partitions if contents else ():
            partitions.setdefault(number, {"number": number, "name": f"_adopted_{number}", "created_at": now})
        with self._database.write() as connection:
            dialect = connection.dialect.name
            org = {"id": found.cluster["org_id"], "name": found.cluster["org"], "created_at": now}
            connection.execute(upsert_insert(dialect, tables.org).values(**org).on_conflict_do_nothing())
            cluster = {name: found.cluster[name] for name in ("id", "org_id", "region", "name", "store")}
            connection.execute(
                upsert_insert(dialect, tables.cluster).values(**cluster, created_at=now).on_conflict_do_nothing()
            )
        if "default" not in {database.name for database in DatabaseRepository(self._database).list(cluster["id"])}:
            DatabaseRepository(self._database).create(cluster["id"], "default", {})
        names = {database.name: database for database in DatabaseRepository(self._database).list(cluster["id"])}
        name = found.database["name"]
        database = names.get(name) or DatabaseRepository(self._database).create(
            cluster["id"], name, found.database["properties"]
        )
        with self._database.write() as connection:
            connection.execute(
                insert(tables.collection).values(
                    **{name: getattr(found, name) for name in _COLUMNS if name != "next_partition"},
                    cluster_id=cluster["id"],
                    database_id=database.id,
                    version=contents.version if contents else 1,
                    updated_at=now,
                    next_auto_id=contents.highest_id + 1 if contents else 1,
                    next_partition=max([found.next_partition, *(number + 1 for number in partitions)]),
                )
            )
            connection.execute(
                insert(tables.partition),
                [{"collection_id": found.id, **partitions[number]} for number in sorted(partitions)],
            )
            for spec in found.indexes:
                connection.execute(
                    insert(tables.vector_index).values(
                        collection_id=found.id,
                        name=spec["name"],
                        field_name=spec["field_name"],
                        spec=spec,
                        created_at=now,
                    )
                )
            taken = connection.execute(
                select(tables.collection.c.name).where(
                    tables.collection.c.database_id == database.id,
                    tables.collection.c.dropped_at.is_(None),
                    tables.collection.c.name.in_(found.aliases),
                )
            ).scalars()
            for alias in set(found.aliases) - set(taken):
                connection.execute(
                    upsert_insert(dialect, tables.alias)
                    .values(database_id=database.id, name=alias, collection_id=found.id, created_at=now)
                    .on_conflict_do_nothing()
                )


def describe(
    descriptions: DescriptionRepository, engine: MaintainableEngine, collection_id: str, *, dropped: bool = False
) -> None:
    """Write a collection's description next to its table, if it changed. ``dropped``: the drop is about to happen.

    Raises:
        StorageError, StorageFull, StorageUnavailable
    """
    while True:
        description = descriptions.of(collection_id)
        if description is None:
            return
        content = _text(description, dropped=dropped or description.dropped)
        if engine.note(collection_id) == content:
            return
        # Compared again after the write: another process may have overwritten it with older values.
        engine.save_note(content, collection_id)


def describe_soon(
    database: CatalogDatabase, engines: EngineRegistry, collection: Collection, *, dropped: bool = False
) -> None:
    """As :func:`describe`; if that fails, the maintenance of the table retries it.

    Does nothing for an engine that keeps no notes.
    """
    try:
        if (engine := engines.maintainable(collection)) is not None:
            describe(DescriptionRepository(database), engine, collection.id, dropped=dropped)
    except StorageError as error:
        log.warning("collection.not_described", collection_id=collection.id, error=str(error))
        if not dropped:
            MaintenanceLeases(database).request(collection.id)


def _text(description: Description, *, dropped: bool) -> bytes:
    values = {name: getattr(description, name) for name in Description.__dataclass_fields__}
    if not description.aliases:
        del values["aliases"]  # earlier releases read no description with unknown keys
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps({"format": _FORMAT, **values, "dropped": dropped}, option=options)


_COLUMNS = (
    *("id", "number", "name", "schema", "settings", "load_state", "engine", "storage_version"),
    *("next_partition", "created_at"),
)
_DESCRIBED = (
    select(
        tables.collection,
        tables.database.c.name.label("its_database_name"),
        tables.database.c.properties.label("its_database_properties"),
        *(
            tables.cluster.c[name].label(f"its_cluster_{name}")
            for name in ("id", "region", "name", "store", "org_id")
        ),
        tables.org.c.name.label("its_cluster_org"),
    )
    .join(tables.database, tables.database.c.id == tables.collection.c.database_id)
    .join(tables.cluster, tables.cluster.c.id == tables.collection.c.cluster_id)
    .join(tables.org, tables.org.c.id == tables.cluster.c.org_id)
)

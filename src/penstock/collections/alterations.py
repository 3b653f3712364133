"""Changes of collections that exist: their name and database, their fields, the properties of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from penstock.catalog import Catalog
from penstock.catalog.collections.added_fields import finish_added_field
from penstock.catalog.collections.descriptions import describe_soon
from penstock.collections.collection_settings import with_properties, without_properties
from penstock.collections.default_values import with_stored_default
from penstock.collections.parameter_tables import FIELD_PROPERTIES
from penstock.collections.parameters import check_parameters
from penstock.domain.access import Caller, Role
from penstock.domain.collections import Collection, LoadState
from penstock.domain.names import check_collection_name
from penstock.domain.parameter_values import text_values, whole_number
from penstock.domain.schema import DataType, Field
from penstock.engines.registry import EngineRegistry
from penstock.errors import CollectionLoaded, InvalidParameter, Unsupported


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameCollection:
    """A request to rename a collection, or to move it to another database of its cluster.

    ``new_database`` None is the collection's own.
    """

    caller: Caller
    cluster_id: str
    database: str
    name: str
    new_name: str
    new_database: str | None = None


_LOADING = ("mmap.enabled", "lazyload.enabled")
"""Properties that Milvus changes only while nothing is loaded."""


class AlterationService:
    """The use cases that change collections which may have rows and running jobs.

    ``maintain`` requests the background maintenance of a collection's table, by the collection's id.
    """

    def __init__(self, catalog: Catalog, engines: EngineRegistry, maintain: Callable[[str], None]) -> None:
        self._catalog = catalog
        self._engines = engines
        self._maintain = maintain

    def rename(self, request: RenameCollection) -> None:
        """Rename a collection; its jobs, also running ones, go on under the new name. Aliases stay.

        Raises:
            DatabaseNotFound, CollectionNotFound, InvalidName.
            PermissionDenied: the caller isn't a writer of both databases.
            InvalidParameter: the old name is an alias, the new name is taken or the same, or the collection has
                aliases and would leave their database.
        """
        target = request.new_database or request.database
        cluster = self._catalog.clusters.get(request.cluster_id)
        for database in dict.fromkeys([request.database, target]):
            request.caller.require(Role.WRITER, cluster, database)
        check_collection_name(request.new_name)
        if (request.database, request.name) == (target, request.new_name):
            raise InvalidParameter("collection name or database name should be different", collection=request.name)
        home = self._catalog.databases.get(request.cluster_id, request.database)
        collection = self._catalog.collections.get(home, request.name)
        if collection.name != request.name:
            raise InvalidParameter(
                f"unsupported use an alias to rename collection, alias:{request.name}", alias=request.name
            )
        self._catalog.collections.rename(
            collection, self._catalog.databases.get(request.cluster_id, target), request.new_name
        )
        describe_soon(self._catalog.database, self._engines, collection)

    def alter_properties(self, cluster_id: str, database: str, name: str, properties: Mapping[str, Any]) -> None:
        """Set free-typed properties of a collection; others stay. A time to live counts from each job's commit.

        Raises:
            DatabaseNotFound, CollectionNotFound.
            InvalidParameter, Unsupported: from :func:`with_properties`, or there are none.
            CollectionLoaded: the collection must be released first, as in Milvus.
        """
        collection = self._alterable(cluster_id, database, name, properties)
        self._alter(
            collection, lambda present: replace(present, settings=with_properties(present.settings, properties))
        )

    def drop_properties(self, cluster_id: str, database: str, name: str, keys: Sequence[str]) -> None:
        """Remove properties of a collection; missing ones are no error. Raises as :meth:`alter_properties`."""
        collection = self._alterable(cluster_id, database, name, keys)
        self._alter(collection, lambda present: replace(present, settings=without_properties(present.settings, keys)))

    def alter_field(
        self, cluster_id: str, database: str, name: str, field_name: str, params: Mapping[str, Any]
    ) -> None:
        """Change limits of a field, for rows to come, and its parameters without effect.

        Raises:
            DatabaseNotFound, CollectionNotFound, FieldNotFound.
            InvalidParameter, InvalidSchema: a parameter doesn't fit the field, or there are none.
            CollectionLoaded: the collection must be released first, as in Milvus.
        """
        collection = self._alterable(cluster_id, database, name, params)
        check_parameters(FIELD_PROPERTIES, params)

        def change(present: Collection) -> Collection:
            field = _altered(present.schema[field_name], params)
            fields = tuple(field if other.name == field_name else other for other in present.schema)
            return replace(present, schema=replace(present.schema, fields=fields).check(present.name))

        self._alter(collection, change)

    def add_field(self, cluster_id: str, database: str, name: str, field: Field) -> None:
        """Add a field, with its default or null in all rows without it, those of running jobs included.

        After an error of the store the field may still be added, by a repeated call or by itself.

        Raises:
            DatabaseNotFound, CollectionNotFound, InvalidName, InvalidSchema.
            InvalidParameter: the field is neither nullable nor has it a default, or it is a key.
            Unsupported: it is a struct array.
            StorageConflict, StorageError, StorageFull, StorageUnavailable
        """
        collection = self._catalog.collections.get(self._catalog.databases.get(cluster_id, database), name)
        _check_added(field)
        field = _in_timezone(field, collection)
        while True:
            # Another field comes first whose addition was interrupted.
            added = self._catalog.added_fields.begin(collection.id, field)
            finish_added_field(self._catalog.database, self._engines, collection, added)
            if added == field:
                return

    def _alterable(
        self, cluster_id: str, database: str, name: str, changes: Mapping[str, Any] | Sequence[str]
    ) -> Collection:
        if not changes:
            raise InvalidParameter("no properties or delete keys provided")
        collection = self._catalog.collections.get(self._catalog.databases.get(cluster_id, database), name)
        if collection.load_state is LoadState.LOADED and any(key in changes for key in _LOADING):
            raise CollectionLoaded(
                "can not alter mmap properties if collection loaded: "
                f"collection already loaded[collection={collection.name}]",
                collection=collection.name,
            )
        return collection

    def _alter(self, collection: Collection, change: Callable[[Collection], Collection]) -> None:
        altered = self._catalog.collections.alter(collection.id, change)
        describe_soon(self._catalog.database, self._engines, collection)
        if altered.settings.ttl_seconds != collection.settings.ttl_seconds:
            self._maintain(collection.id)


def _in_timezone(field: Field, collection: Collection) -> Field:
    """An added field as it is stored; its default may be a time of the collection's time zone."""
    schema = collection.schema.with_field(field).in_timezone(collection.settings.timezone).check(collection.name)
    return with_stored_default(schema[field.name])


def _check_added(field: Field) -> None:
    kind = "pk" if field.primary else "partition key" if field.partition_key else None
    if kind is not None:
        raise InvalidParameter(f"not support to add {kind} field, field name = {field.name}", field=field.name)
    if field.type is DataType.ARRAY_OF_STRUCT:
        raise Unsupported(
            f"a struct array cannot be added to a collection that exists, field name = {field.name}; create a new "
            "collection and import into it",
            field=field.name,
        )
    if not field.nullable and field.default is None:
        raise InvalidParameter(
            f"added field must be nullable, please check it, field name = {field.name}"
            + ("" if field.type.is_vector else "; or give it a default value"),
            field=field.name,
        )


def _altered(field: Field, params: Mapping[str, Any]) -> Field:
    present = {key: value for key, value in params.items() if value is not None}
    if "max_length" in present:
        if not field.type.is_text and field.element_type is not DataType.VARCHAR:
            raise InvalidParameter(
                f"{field.name} can not modify the maxlength for non-string types", field=field.name, key="max_length"
            )
        field = replace(field, max_length=whole_number(present.pop("max_length")))
    if "max_capacity" in present:
        if field.type not in (DataType.ARRAY, DataType.ARRAY_OF_STRUCT):
            raise InvalidParameter(
                f"{field.name} can not modify the maxcapacity for non-array types",
                field=field.name,
                key="max_capacity",
            )
        field = replace(field, max_capacity=whole_number(present.pop("max_capacity")))
    return replace(field, params={**field.params, **text_values(present)})

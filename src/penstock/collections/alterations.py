"""Changes of collections that exist: their name and database."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.catalog import Catalog
from penstock.catalog.collections.descriptions import describe_soon
from penstock.domain.access import Caller, Role
from penstock.domain.names import check_collection_name
from penstock.engines.base import Engine
from penstock.errors import InvalidParameter

__all__ = ["AlterationService", "RenameCollection"]


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


class AlterationService:
    """The use cases that change collections which may have rows and running jobs."""

    def __init__(self, catalog: Catalog, engine: Engine) -> None:
        self._catalog = catalog
        self._engine = engine

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
        describe_soon(self._catalog.database, self._engine, collection.id)

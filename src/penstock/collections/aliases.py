"""Aliases: second names of collections, for every call that takes a collection's name."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.catalog import Catalog
from penstock.catalog.collections.descriptions import describe_soon
from penstock.domain.collections import Alias
from penstock.domain.names import check_alias_name
from penstock.engines.registry import EngineRegistry
from penstock.errors import AliasNotFound


class AliasService:
    """The use cases of aliases. ``collection`` may itself be an alias: then of the same collection."""

    def __init__(self, catalog: Catalog, engines: EngineRegistry) -> None:
        self._catalog = catalog
        self._engines = engines

    def create(self, cluster_id: str, database: str, collection: str, alias: str) -> None:
        """Give a collection an alias; one that it has already is no error.

        Raises:
            DatabaseNotFound, CollectionNotFound, InvalidName.
            AliasNameConflict: a collection has that name.
            AliasExists: another collection has that alias.
        """
        check_alias_name(alias)
        target = self._catalog.collections.get(self._catalog.databases.get(cluster_id, database), collection)
        self._catalog.aliases.create(target, alias)
        self._describe(target.id)

    def alter(self, cluster_id: str, database: str, collection: str, alias: str) -> None:
        """Let an existing alias lead to this collection, from one moment to the next.

        Raises:
            DatabaseNotFound, CollectionNotFound, InvalidName, AliasNameConflict, AliasNotFound.
        """
        check_alias_name(alias)
        target = self._catalog.collections.get(self._catalog.databases.get(cluster_id, database), collection)
        previous = self._catalog.aliases.alter(target, alias)
        for collection_id in dict.fromkeys([previous, target.id]):
            self._describe(collection_id)

    def drop(self, cluster_id: str, database: str, alias: str) -> None:
        """Remove an alias; a missing one is no error, as in Milvus. Raises DatabaseNotFound."""
        home = self._catalog.databases.get(cluster_id, database)
        try:
            collection_id = self._catalog.aliases.drop(home, alias)
        except AliasNotFound:
            return
        self._describe(collection_id)

    def get(self, cluster_id: str, database: str, alias: str) -> Alias:
        """Raises DatabaseNotFound, AliasNotFound."""
        return self._catalog.aliases.get(self._catalog.databases.get(cluster_id, database), alias)

    def list(self, cluster_id: str, database: str, collection: str | None = None) -> Sequence[Alias]:
        """List the aliases of a database, or of one collection, by name.

        Raises:
            DatabaseNotFound, CollectionNotFound.
        """
        home = self._catalog.databases.get(cluster_id, database)
        aliases = self._catalog.aliases.list(home)
        if collection is None:
            return aliases
        name = self._catalog.collections.get(home, collection).name
        return [alias for alias in aliases if alias.collection == name]

    def _describe(self, collection_id: str) -> None:
        if (collection := self._catalog.collections.by_id(collection_id)) is not None:
            describe_soon(self._catalog.database, self._engines, collection)

"""Databases: create, list, describe, drop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.catalog import Catalog
from penstock.collections.collection_settings import check_timezone
from penstock.collections.parameter_tables import DATABASE_PROPERTIES
from penstock.collections.parameters import check_parameters
from penstock.domain.collections import Database
from penstock.domain.names import DEFAULT_DATABASE, check_database_name
from penstock.domain.parameter_values import text_values
from penstock.errors import InvalidParameter


class DatabaseService:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def create(self, cluster_id: str, name: str, properties: Mapping[str, Any]) -> Database:
        """Create a database with these free-typed properties.

        Raises:
            InvalidParameter, Unsupported: from :func:`check_parameters`.
            InvalidName, DatabaseExists.
        """
        check_parameters(DATABASE_PROPERTIES, properties)
        check_timezone(properties)
        check_database_name(name)
        return self._catalog.databases.create(cluster_id, name, text_values(properties))

    def get(self, cluster_id: str, name: str) -> Database:
        """Raises DatabaseNotFound."""
        return self._catalog.databases.get(cluster_id, name)

    def list(self, cluster_id: str) -> Sequence[Database]:
        """Oldest first."""
        return self._catalog.databases.list(cluster_id)

    def alter_properties(self, cluster_id: str, name: str, properties: Mapping[str, Any]) -> Database:
        """Set free-typed properties; others stay.

        Raises:
            InvalidParameter, Unsupported: from :func:`check_parameters`, or there are none.
            DatabaseNotFound.
        """
        _refuse_empty(properties)
        check_parameters(DATABASE_PROPERTIES, properties)
        check_timezone(properties)
        return self._catalog.databases.alter(cluster_id, name, lambda present: {**present, **text_values(properties)})

    def drop_properties(self, cluster_id: str, name: str, keys: Sequence[str]) -> Database:
        """Remove properties; missing ones are no error. Raises DatabaseNotFound; InvalidParameter for no keys."""
        _refuse_empty(keys)
        return self._catalog.databases.alter(
            cluster_id, name, lambda present: {key: value for key, value in present.items() if key not in keys}
        )

    def drop(self, cluster_id: str, name: str) -> None:
        """Raises DatabaseNotFound, DatabaseNotEmpty; InvalidParameter for the default database."""
        if name == DEFAULT_DATABASE:
            raise InvalidParameter("can not drop default database", database=name)
        self._catalog.databases.drop(cluster_id, name)


def _refuse_empty(properties: Mapping[str, Any] | Sequence[str]) -> None:
    if not properties:
        raise InvalidParameter(
            "alter database with empty properties and delete keys, expected to set either properties or delete keys"
        )

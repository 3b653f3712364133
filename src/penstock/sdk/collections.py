"""``client.databases``, ``client.collections`` and ``client.partitions``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.sdk.connection import Connection
from penstock.sdk.schema import (
    CollectionInfo,
    CollectionStats,
    DatabaseInfo,
    PartitionStats,
    collection_from_wire,
)

__all__ = ["Collections", "Databases", "Partitions"]


class Databases:
    """Databases of one server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, name: str, *, properties: Mapping[str, Any] | None = None) -> None:
        self._connection.post("/databases/create", _non_empty(dbName=name, properties=properties), repeatable=False)

    def list(self) -> tuple[str, ...]:
        # In the default database: that of the client may be the one that is looked for.
        path = "/databases/list"
        answer = self._connection.post(path, {}, headers={"DB-Name": "default"})
        return self._connection.parse_response(path, answer, lambda reply: tuple(reply["data"]))

    def describe(self, name: str) -> DatabaseInfo:
        def read(data: Mapping[str, Any]) -> DatabaseInfo:
            properties = {str(item["key"]): str(item["value"]) for item in data.get("properties") or ()}
            return DatabaseInfo(name=data["dbName"], id=str(data.get("dbID", "")), properties=properties)

        return self._connection.read("/databases/describe", {"dbName": name}, read)

    def drop(self, name: str) -> None:
        """Drop an empty database."""
        self._connection.post("/databases/drop", {"dbName": name}, repeatable=False)


class Collections:
    """Collections of the client's database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self,
        name: str,
        *,
        dimension: int | None = None,
        metric: str | None = None,
        id_type: str | None = None,
        auto_id: bool | None = None,
        primary_field: str | None = None,
        vector_field: str | None = None,
        schema: Mapping[str, Any] | None = None,
        indexes: Sequence[Mapping[str, Any]] = (),
        params: Mapping[str, Any] | None = None,
        description: str = "",
    ) -> None:
        """Create a collection, quickly from a ``dimension`` or in full from a ``schema``.

        The quick form creates an ``id`` (Int64, or ``id_type="VarChar"`` with ``params={"max_length": …}``), a
        ``vector`` of that dimension with an index, and takes any further keys as dynamic fields. The full form takes
        the ``schema`` object of the REST call (``fields``, ``autoID``, ``enableDynamicField``) and ``indexes``
        (``fieldName``, ``metricType``, ``indexType``, ``params``). Creating an identical collection again succeeds.
        """
        if (dimension is None) == (schema is None):
            raise ValueError("give either a dimension (quick form) or a schema (full form)")
        body = _non_empty(
            collectionName=name,
            dbName=self._connection.database,
            description=description,
            dimension=dimension,
            metricType=metric,
            idType=id_type,
            autoID=auto_id,
            primaryFieldName=primary_field,
            vectorFieldName=vector_field,
            schema=schema,
            indexParams=list_of(indexes),
            params=params,
        )
        self._connection.post("/collections/create", body)

    def list(self) -> tuple[str, ...]:
        return self._connection.read("/collections/list", self._body(), tuple)

    def describe(self, name: str) -> CollectionInfo:
        return self._connection.read("/collections/describe", self._body(name), collection_from_wire)

    def has(self, name: str) -> bool:
        return self._connection.read("/collections/has", self._body(name), lambda data: bool(data["has"]))

    def stats(self, name: str) -> CollectionStats:
        return self._connection.read(
            "/collections/get_stats", self._body(name), lambda data: CollectionStats(rows=int(data["rowCount"]))
        )

    def load(self, name: str) -> None:
        """Let a collection be queried again; one that is loaded is no error."""
        self._connection.post("/collections/load", self._body(name))

    def release(self, name: str) -> None:
        """Let no one query a collection until it is loaded; then its indexes can be dropped."""
        self._connection.post("/collections/release", self._body(name))

    def drop(self, name: str) -> None:
        """Drop a collection with its rows; one that doesn't exist is no error."""
        self._connection.post("/collections/drop", self._body(name))

    def _body(self, name: str | None = None) -> dict[str, Any]:
        return _non_empty(collectionName=name, dbName=self._connection.database)


class Partitions:
    """Partitions of the collections of the client's database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, collection: str, name: str) -> None:
        """Create a partition; one that exists is no error."""
        self._connection.post("/partitions/create", self._body(collection, name))

    def list(self, collection: str) -> tuple[str, ...]:
        return self._connection.read("/partitions/list", self._body(collection), tuple)

    def has(self, collection: str, name: str) -> bool:
        body = self._body(collection, name)
        return self._connection.read("/partitions/has", body, lambda data: bool(data["has"]))

    def stats(self, collection: str, name: str) -> PartitionStats:
        body = self._body(collection, name)
        return self._connection.read(
            "/partitions/get_stats", body, lambda data: PartitionStats(rows=int(data["rowCount"]))
        )

    def drop(self, collection: str, name: str) -> None:
        """Drop a partition with its rows; one that doesn't exist is no error."""
        self._connection.post("/partitions/drop", self._body(collection, name))

    def _body(self, collection: str, name: str | None = None) -> dict[str, Any]:
        return _non_empty(collectionName=collection, partitionName=name, dbName=self._connection.database)


def list_of(items: Sequence[Mapping[str, Any]]) -> Any:
    """Convert to a JSON array; None for an empty sequence."""
    return [dict(item) for item in items] or None


def _non_empty(**values: Any) -> dict[str, Any]:
    """Return the values that are neither None nor empty text."""
    return {name: value for name, value in values.items() if value is not None and value != ""}

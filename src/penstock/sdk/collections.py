"""``client.databases``, ``client.collections`` and ``client.partitions``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.sdk.connection import Connection
from penstock.sdk.imports import Files, all_options, file_groups
from penstock.sdk.schema import (
    CollectionInfo,
    CollectionStats,
    DatabaseInfo,
    InferredSchema,
    PartitionStats,
    collection_from_wire,
    inferred_from_wire,
)
from penstock.sdk.v2_calls import checked_options, option_strings

__all__ = ["Collections", "Databases", "Partitions"]


_INFER_TIMEOUT = 75.0
"""Seconds for the answer to an inference: a server waits for a minute for its workers and stores."""


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

    def infer(
        self,
        files: Files | None = None,
        *,
        id: str = "",
        vector: str = "",
        auto_id: bool = False,
        options: Mapping[str, Any] | None = None,
        mapping: Mapping[str, Any] | None = None,
        drop_columns: Sequence[str] | None = None,
        object_urls: Files | None = None,
        access_key: str = "",
        secret_key: str = "",
        token: str = "",
    ) -> InferredSchema:
        """Infer the schema of a collection for files, from the first rows of a few of them; nothing is created.

        ``create(name, schema=inferred.schema, indexes=inferred.indexes)`` creates the collection. The files and
        credentials are those of ``client.imports.create``, so are ``options``, ``mapping`` and ``drop_columns``: the
        fields are those that the import would fill.

        Args:
            id: the column of the primary key; by default one that is named as a key and distinct in the sample.
            vector: the column of the vector that is searched by default; other vectors become vector fields, too. A
                pattern such as ``emb_*`` makes a vector of the columns with a number in place of the star; pass
                ``inferred.mapping`` to the import then.
            auto_id: let the server generate the keys, as it does where no column is fit.
        """
        sources = {"files": file_groups(files), "objectUrls": file_groups(object_urls)}
        source = {name: groups for name, groups in sources.items() if groups is not None}
        if len(source) != 1:
            raise ValueError(f"give one of files or object_urls; {len(source)} were given")
        body = {
            "dbName": self._connection.database,
            **source,
            "id": id,
            "vector": vector,
            "autoId": auto_id,
            "options": checked_options(option_strings(all_options(options, mapping, drop_columns))),
            "accessKey": access_key,
            "secretKey": secret_key,
            "token": token,
        }
        path = "/jobs/import/infer"
        answer = self._connection.post(
            path,
            {name: value for name, value in body.items() if value},
            secrets=(access_key, secret_key, token),
            least_timeout=_INFER_TIMEOUT,
        )
        return self._connection.parse_response(path, answer, lambda reply: inferred_from_wire(reply["data"]))

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
        """Load a collection, so that it can be queried; a loaded one stays as it is."""
        self._connection.post("/collections/load", self._body(name))

    def release(self, name: str) -> None:
        """Release a collection: it rejects queries until it is loaded, and its indexes can be dropped."""
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

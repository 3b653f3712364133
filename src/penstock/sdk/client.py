"""The typed client of a Penstock, Milvus or Zilliz server over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from penstock.sdk.collections import Collections, Databases, Partitions
from penstock.sdk.connection import Connection
from penstock.sdk.exports import Exports
from penstock.sdk.http import TIMEOUT
from penstock.sdk.imports import Imports
from penstock.sdk.indexes import Indexes
from penstock.sdk.rows import COUNT, decode_row, encode_vectors
from penstock.sdk.schema import CollectionInfo
from penstock.sdk.webhooks import Webhooks

__all__ = ["Client", "Hit"]

_EXACT_INT64 = {"Accept-Type-Allow-Int64": "true"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A search hit. ``distance`` is Milvus's: for COSINE and IP higher is closer."""

    id: int | str
    distance: float
    fields: Mapping[str, Any]


class Client:
    """Import jobs, collections and rows of one server.

    ::

        with penstock.Client("http://127.0.0.1:19530") as client:
            client.collections.create("docs", dimension=768)
            job = client.imports.create("docs", ["/data/docs.parquet"])
            client.imports.wait(job, progress=True)
            print(client.count("docs"))

    Args:
        url: the server's address; without scheme it means https.
        api_key: an API key or ``user:password``; empty for a server without authentication.
        database: the database of all calls.
        cluster_id: a Zilliz cluster (or Penstock's); with it the whole job history is listed, page by page.
        timeout: seconds that one call may take.
        verify: whether to check the server's certificate, or a file of trusted issuers.
        cert: a client certificate file, or ``(certificate, key)``.
        session: a ``requests.Session`` of your own, for proxies or other transports.

    Calls that only read, and idempotent ones, are retried when the server can't be reached or is busy. All failures
    are :class:`penstock.sdk.errors.SdkError`. Several threads may use one client.
    """

    def __init__(
        self,
        url: str,
        api_key: str = "",
        *,
        database: str = "default",
        cluster_id: str = "",
        timeout: float = TIMEOUT,
        verify: bool | str = True,
        cert: str | tuple[str, str] | None = None,
        session: requests.Session | None = None,
    ) -> None:
        self._connection = Connection(
            url,
            api_key,
            database=database,
            cluster_id=cluster_id,
            timeout=timeout,
            verify=verify,
            cert=cert,
            session=session,
        )
        self.imports = Imports(self._connection)
        self.exports = Exports(self._connection)
        self.collections = Collections(self._connection)
        self.partitions = Partitions(self._connection)
        self.indexes = Indexes(self._connection)
        self.databases = Databases(self._connection)
        self.webhooks = Webhooks(self._connection)

    def __repr__(self) -> str:
        return f"Client({self._connection.url!r}, database={self._connection.database!r})"

    @property
    def database(self) -> str:
        """The database of all calls."""
        return self._connection.database

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a session passed by the caller stays open."""
        self._connection.close()

    def query(
        self,
        collection: str,
        filter: str = "",
        *,
        output_fields: Sequence[str] | None = None,
        limit: int = 100,
        offset: int = 0,
        partitions: Sequence[str] | None = None,
        filter_params: Mapping[str, Any] | None = None,
        schema: CollectionInfo | None = None,
    ) -> list[dict[str, Any]]:
        """Query rows by a filter (a Milvus boolean expression), as the plain values of :mod:`penstock.sdk.rows`.

        Args:
            output_fields: names of fields; None means all of them.
            filter_params: values for ``{names}`` in the filter.
            schema: the collection, if you have it from ``collections.describe``; saves a call.
        """
        body = self._body(
            collection,
            filter=filter,
            outputFields=_names(output_fields),
            limit=limit,
            offset=offset or None,
            partitionNames=_names(partitions),
            exprParams=filter_params,
        )
        return self._rows("/entities/query", collection, body, schema)

    def get(
        self,
        collection: str,
        ids: int | str | Sequence[int | str],
        *,
        output_fields: Sequence[str] | None = None,
        partitions: Sequence[str] | None = None,
        schema: CollectionInfo | None = None,
    ) -> list[dict[str, Any]]:
        """Get rows by primary key; keys without a row are skipped."""
        keys = [ids] if isinstance(ids, int | str) else list(ids)
        body = self._body(collection, id=keys, outputFields=_names(output_fields), partitionNames=_names(partitions))
        return self._rows("/entities/get", collection, body, schema)

    def count(self, collection: str, filter: str = "", *, partitions: Sequence[str] | None = None) -> int:
        """Count all rows, or those that a filter selects."""
        body = self._body(collection, filter=filter, outputFields=[COUNT], partitionNames=_names(partitions))
        path = "/entities/query"
        answer = self._connection.post(path, body, headers=_EXACT_INT64)
        return self._connection.parse_response(path, answer, lambda reply: int(reply["data"][0][COUNT]))

    def search(
        self,
        collection: str,
        vectors: Any,
        *,
        field: str | None = None,
        limit: int = 10,
        offset: int = 0,
        filter: str = "",
        output_fields: Sequence[str] | None = None,
        params: Mapping[str, Any] | None = None,
        metric: str | None = None,
        partitions: Sequence[str] | None = None,
        filter_params: Mapping[str, Any] | None = None,
        schema: CollectionInfo | None = None,
    ) -> list[list[Hit]]:
        """Search the nearest rows to each of several vectors or texts, nearest first: one list of hits for each.

        Args:
            vectors: lists, or a 2-D array; bytes for binary vectors; ``{index: value}`` for sparse ones; texts for
                the output of a BM25 function.
            field: the vector field, if there are several.
            output_fields: fields of the hits besides their id; None for none.
            params: of the index, e.g. ``{"nprobe": 16}``, ``{"ef": 64}``, ``radius`` and ``range_filter``.
        """
        queries = encode_vectors(vectors)
        info = schema or self.collections.describe(collection)
        search_params: dict[str, Any] = {"params": dict(params)} if params else {}
        if metric:
            search_params["metricType"] = metric
        body = self._body(
            collection,
            data=queries,
            annsField=field,
            limit=limit,
            offset=offset or None,
            filter=filter,
            outputFields=_names(output_fields),
            searchParams=search_params or None,
            partitionNames=_names(partitions),
            exprParams=filter_params,
        )
        path = "/entities/search"
        answer = self._connection.post(path, body, headers=_EXACT_INT64)
        return self._connection.parse_response(path, answer, lambda reply: _hits(reply, info, len(queries)))

    def _rows(
        self, path: str, collection: str, body: dict[str, Any], schema: CollectionInfo | None
    ) -> list[dict[str, Any]]:
        info = schema or self.collections.describe(collection)
        answer = self._connection.post(path, body, headers=_EXACT_INT64)
        return self._connection.parse_response(
            path, answer, lambda reply: [decode_row(row, info) for row in reply["data"]]
        )

    def _body(self, collection: str, **values: Any) -> dict[str, Any]:
        members = {"collectionName": collection, "dbName": self._connection.database, **values}
        return {name: value for name, value in members.items() if value is not None}


def _names(names: Sequence[str] | None) -> list[str] | None:
    if isinstance(names, str):
        raise ValueError(f"give a list of names, e.g. [{names!r}]")
    return None if names is None else list(names)


def _hits(answer: Mapping[str, Any], collection: CollectionInfo, queries: int) -> list[list[Hit]]:
    rows = [_hit(row, collection) for row in answer["data"]]
    counts = answer.get("topks")
    if counts is None:
        # No hits at all, or a Milvus that sends no hit counts per query.
        if queries > 1 and len(rows) % queries:
            raise ValueError(f"{len(rows)} hits for {queries} queries, and no topks to assign them")
        counts = [len(rows) // queries] * queries if queries else []
    if len(counts) != queries or sum(counts) != len(rows):
        raise ValueError(f"topks {counts} do not match {len(rows)} hits for {queries} queries")
    hits = iter(rows)
    return [[next(hits) for _ in range(count)] for count in counts]


def _hit(row: Mapping[str, Any], collection: CollectionInfo) -> Hit:
    # A field named distance, of any type, is not sent: the score has its key.
    values = decode_row({name: value for name, value in row.items() if name != "distance"}, collection)
    return Hit(id=values.pop(collection.primary.name), distance=float(row["distance"]), fields=values)

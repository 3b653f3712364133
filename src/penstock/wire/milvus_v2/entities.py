"""``/v2/vectordb/entities/…``: query, get, search, hybrid search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from penstock.collections.collection_settings import in_timezone
from penstock.collections.collections import CollectionService
from penstock.collections.entities import EntityService, OutputFields
from penstock.collections.entity_requests import GetRequest
from penstock.collections.result_memory import MemoryReservation, release_on_error
from penstock.collections.searches import SearchResult, SearchService
from penstock.domain.access import Role
from penstock.domain.collections import Collection
from penstock.errors import CollectionNotFound
from penstock.wire.http import Operation, Route
from penstock.wire.milvus.call_errors import read_errors
from penstock.wire.milvus_v2.collections import cannot_find
from penstock.wire.milvus_v2.dialect import Answer, MilvusV2, Request
from penstock.wire.milvus_v2.entity_requests import (
    hybrid_search_request,
    output_fields,
    partition_names,
    primary_keys,
    query_request,
    refuse_unserved,
    search_request,
)
from penstock.wire.milvus_v2.row_serializer import render_rows

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_GET_BODY: Mapping[str, Mapping[str, Any]] = {
    "dbName": _TEXT,
    "collectionName": _TEXT,
    "outputFields": _TEXTS,
    "partitionNames": _TEXTS,
    "consistencyLevel": _TEXT,
}
_QUERY_BODY: Mapping[str, Mapping[str, Any]] = {
    **_GET_BODY,
    "filter": {"type": "string", "example": "id < 3"},
    "exprParams": {"type": "object"},
    "limit": {"type": "integer"},
    "offset": {"type": "integer"},
}
_SEARCH_BODY: Mapping[str, Mapping[str, Any]] = {
    **_QUERY_BODY,
    "data": {"type": "array", "items": {}, "description": "Vectors: lists, base64 or sparse maps."},
    "ids": {"type": "array", "items": {}, "description": "Primary keys, in place of data: search by their vectors."},
    "annsField": _TEXT,
    "searchParams": {"type": "object"},
    "groupingField": _TEXT,
    "groupSize": {"type": "integer"},
    "strictGroupSize": {"type": "boolean"},
}
_SUB_SEARCH_BODY: Mapping[str, Mapping[str, Any]] = {
    "data": _SEARCH_BODY["data"],
    "annsField": _TEXT,
    "limit": {"type": "integer"},
    "filter": _QUERY_BODY["filter"],
    "exprParams": {"type": "object"},
    "params": {"type": "object", "description": "As searchParams of a search."},
}
_HYBRID_SEARCH_BODY: Mapping[str, Mapping[str, Any]] = {
    **{name: body for name, body in _QUERY_BODY.items() if name not in ("filter", "exprParams")},
    "search": {
        "type": "array",
        "items": {"type": "object", "properties": _SUB_SEARCH_BODY},
        "description": "One search per vector field, with as many query vectors each. Rankings are fused by key.",
    },
    "rerank": {
        "type": "object",
        "properties": {"strategy": {"type": "string", "enum": ["rrf", "weighted"]}, "params": {"type": "object"}},
        "description": "rrf: k, default 60. weighted: weights, one per search, and norm_score.",
    },
    "functionScore": {"type": "object", "description": "In place of rerank: one function of type Rerank."},
    **{name: _SEARCH_BODY[name] for name in ("groupingField", "groupSize", "strictGroupSize")},
}
_TRUE_WORDS = ("1", "t", "T", "true", "TRUE", "True")


def routes(
    collections: CollectionService, entities: EntityService, searches: SearchService, v2: MilvusV2
) -> tuple[Route, ...]:
    def collection_of(request: Request) -> Collection:
        try:
            return collections.get(*request.qualified_name)
        except CollectionNotFound as error:
            raise cannot_find(request, error) from error

    def query(request: Request) -> object:
        collection = collection_of(request)
        with read_errors():
            query = query_request(request.fields)
            if query.is_count():
                count = entities.count(collection, query)
                return _answer([{"count(*)": count if _takes_int64(request) else str(count)}])
            result = entities.query(collection, query, org_id=request.cluster.org_id)
        with release_on_error(result.held):
            return _answer(_render(request, collection, result.table, result.fields), result.held)

    def get(request: Request) -> object:
        fields = request.fields
        fields.require("collectionName", "id")
        collection = collection_of(request)
        refuse_unserved(fields, ())
        with read_errors():
            lookup = GetRequest(
                keys=primary_keys(fields.value("id"), collection),
                output_fields=output_fields(fields),
                partitions=partition_names(fields),
            )
            result = entities.get(collection, lookup, org_id=request.cluster.org_id)
        with release_on_error(result.held):
            return _answer(_render(request, collection, result.table, result.fields), result.held)

    def search(request: Request) -> object:
        collection = collection_of(request)
        with read_errors():
            query = search_request(request.fields, collection, searches)
            collection = in_timezone(collection, query.params.timezone)
            result = searches.search(collection, query, org_id=request.cluster.org_id)
        return search_answer(request, collection, result)

    def hybrid_search(request: Request) -> object:
        collection = collection_of(request)
        with read_errors():
            query = hybrid_search_request(request.fields, collection, searches)
            collection = in_timezone(collection, query.timezone)
            result = searches.hybrid_search(collection, query, org_id=request.cluster.org_id)
        return search_answer(request, collection, result)

    def search_answer(request: Request, collection: Collection, result: SearchResult) -> Answer:
        hits = result.hits
        if not any(len(hit.scores) for hit in hits):
            return _answer([], result.held)
        with release_on_error(result.held):
            rows = _render(request, collection, pa.concat_tables([hit.rows for hit in hits]), result.fields)
            for row, score in zip(rows, np.concatenate([hit.scores for hit in hits]), strict=True):
                # Overrides a field of that name, as in Milvus.
                row["distance"] = score
        return _answer(rows, result.held, topks=[len(hit.scores) for hit in hits])

    return (
        v2.post(
            "/entities/query",
            query,
            role=Role.READER,
            struct="QueryReqV2",
            operation=_operation("Get rows that match a filter", _QUERY_BODY, ["collectionName"]),
        ),
        v2.post(
            "/entities/get",
            get,
            role=Role.READER,
            struct="CollectionIDReq",
            operation=_operation("Get rows by primary key", {**_GET_BODY, "id": {}}, ["collectionName", "id"]),
        ),
        v2.post(
            "/entities/search",
            search,
            role=Role.READER,
            struct="SearchReqV2",
            operation=_operation("Get the rows nearest to query vectors", _SEARCH_BODY, ["collectionName"]),
        ),
        *(
            v2.post(
                f"/entities/{name}",
                hybrid_search,
                role=Role.READER,
                struct="HybridSearchReq",
                operation=_operation(summary, _HYBRID_SEARCH_BODY, ["collectionName", "search"]),
            )
            for name, summary in (
                ("hybrid_search", "Search several vector fields, and fuse the rankings"),
                ("advanced_search", "The older name of hybrid_search"),
            )
        ),
    )


def _operation(summary: str, body: Mapping[str, Mapping[str, Any]], required: Sequence[str]) -> Operation:
    rows = {"type": "array", "items": {"type": "object"}}
    return Operation(summary=summary, tag="entities", body=body, required=required, data=rows)


def _answer(rows: list[dict[str, Any]], held: MemoryReservation | None = None, **extra: Any) -> Answer:
    return Answer(rows, {"cost": 0, **extra}, held)


def _takes_int64(request: Request) -> bool:
    return request.call.headers.get("accept-type-allow-int64", "") in _TRUE_WORDS


def _render(request: Request, collection: Collection, table: pa.Table, fields: OutputFields) -> list[dict[str, Any]]:
    return render_rows(table, collection.schema, fields, int64_as_number=_takes_int64(request))

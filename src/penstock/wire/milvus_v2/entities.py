"""``/v2/vectordb/entities/…``: query, get, search."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from penstock.collections.collections import CollectionService
from penstock.collections.entities import EntityService, OutputFields, SearchQuery
from penstock.domain.collections import Collection
from penstock.domain.schema import DataType
from penstock.errors import (
    CollectionNotFound,
    FieldNotFound,
    InvalidFilter,
    InvalidParameter,
    PartitionNotFound,
    Unsupported,
)
from penstock.wire.body import Fields
from penstock.wire.http import Operation, Route
from penstock.wire.milvus_v2.collections import cannot_find
from penstock.wire.milvus_v2.dialect import Answer, MilvusV2, Request
from penstock.wire.milvus_v2.errors import Refused
from penstock.wire.milvus_v2.query_vectors import query_vectors
from penstock.wire.milvus_v2.values import render_rows, shortest

__all__ = ["routes"]

MAX_TOP_K = 16384
DEFAULT_LIMIT = 100
_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_READ_BODY: Mapping[str, Mapping[str, Any]] = {
    "dbName": _TEXT,
    "collectionName": _TEXT,
    "filter": _TEXT,
    "exprParams": {"type": "object"},
    "outputFields": _TEXTS,
    "partitionNames": _TEXTS,
    "limit": {"type": "integer"},
    "offset": {"type": "integer"},
    "consistencyLevel": _TEXT,
}
_ROWS = {"type": "array", "items": {"type": "object"}}
_COUNT = re.compile(r"\s*count\s*\(\s*\*\s*\)\s*\Z", re.IGNORECASE)
_UNSERVED_QUERY = ("orderByFields", "groupByFields")
_UNSERVED_SEARCH = (
    *("ids", "groupingField", "groupSize", "strictGroupSize", "functionScore", "functionChains"),
    *("searchAggregation", "orderByFields"),
)
_TRUE_WORDS = ("1", "t", "T", "true", "TRUE", "True")


def routes(collections: CollectionService, entities: EntityService, v2: MilvusV2) -> tuple[Route, ...]:
    def collection_of(request: Request) -> Collection:
        name = request.fields.required_string("collectionName")
        try:
            return collections.get(request.cluster_id, request.database, name)
        except CollectionNotFound as error:
            raise cannot_find(request, error) from error

    def query(request: Request) -> object:
        fields = request.fields
        collection = collection_of(request)
        _refuse(fields, _UNSERVED_QUERY)
        given = _texts(fields, "outputFields")
        asked: dict[str, Any] = {
            "filter": fields.string("filter") or "",
            "filter_params": fields.mapping("exprParams"),
            "partitions": _texts(fields, "partitionNames") or (),
        }
        with_count = [name for name in given or () if _COUNT.match(name)]
        if with_count:
            if len(given or ()) > 1:
                raise InvalidParameter("count(*) must be alone in outputFields", output_fields=given)
            count = _reading(entities.count, collection, **asked)
            return _answer([{"count(*)": count if _takes_int64(request) else str(count)}])
        limit, offset = fields.integer("limit", strict=True), fields.integer("offset", strict=True)
        limit = DEFAULT_LIMIT if limit is None else limit
        rows = _reading(
            entities.query,
            collection,
            **asked,
            output_fields=("*",) if given is None else given or (collection.schema.primary.name,),
            limit=limit if limit > 0 else None,
            offset=max(offset or 0, 0) if limit > 0 else 0,
        )
        return _answer(_rendered(request, collection, rows.table, rows.fields))

    def get(request: Request) -> object:
        fields = request.fields
        fields.require("collectionName", "id")
        collection = collection_of(request)
        keys = _primary_keys(fields, collection)
        given = _texts(fields, "outputFields")
        rows = _reading(
            entities.query,
            collection,
            filter=f"{collection.schema.primary.name} in {{keys}}",
            filter_params={"keys": keys},
            partitions=_texts(fields, "partitionNames") or (),
            output_fields=given or ("*",),
        )
        return _answer(_rendered(request, collection, rows.table, rows.fields))

    def search(request: Request) -> object:
        collection = collection_of(request)
        asked = _search_query(request.fields, collection, entities)
        fields, hits = _reading(entities.search, collection, asked)
        primary = collection.schema.primary.name
        data = []
        for each in hits:
            rows = _rendered(request, collection, each.rows, fields)
            for row, score in zip(rows, each.scores, strict=True):
                # The key's own name is always shown; "distance" wins over a field of that name, as in Milvus.
                data.append({**row, primary: row[primary], "distance": shortest(float(score))})
        if not data:
            return _answer([])
        return _answer(data, topks=[each.rows.num_rows for each in hits])

    def operation(summary: str, body: Mapping[str, Mapping[str, Any]], required: Sequence[str]) -> Operation:
        return Operation(summary=summary, tag="entities", body=body, required=required, data=_ROWS)

    search_body: Mapping[str, Mapping[str, Any]] = {
        **_READ_BODY,
        "data": {"type": "array"},
        "annsField": _TEXT,
        "searchParams": {"type": "object"},
    }
    get_body: dict[str, Mapping[str, Any]] = {
        key: _READ_BODY[key] for key in ("dbName", "collectionName", "outputFields", "partitionNames")
    }
    return (
        v2.post(
            "/entities/query",
            query,
            struct="QueryReqV2",
            operation=operation("Rows that match a filter", _READ_BODY, ["collectionName"]),
        ),
        v2.post(
            "/entities/get",
            get,
            struct="CollectionIDReq",
            operation=operation("Rows by primary key", get_body | {"id": {}}, ["collectionName", "id"]),
        ),
        v2.post(
            "/entities/search",
            search,
            struct="SearchReqV2",
            operation=operation("Nearest rows to vectors", search_body, ["collectionName", "data"]),
        ),
    )


def _answer(rows: list[dict[str, Any]], **beside: Any) -> Answer:
    return Answer(rows, {"cost": 0, **beside})


def _takes_int64(request: Request) -> bool:
    return request.call.headers.get("accept-type-allow-int64", "") in _TRUE_WORDS


def _rendered(
    request: Request, collection: Collection, table: pa.Table, fields: OutputFields
) -> list[dict[str, Any]]:
    return render_rows(table, collection.schema, fields, int64_as_number=_takes_int64(request))


def _reading(call: Any, collection: Collection, *arguments: Any, **named: Any) -> Any:
    """Call a reading use case, and word what it finds wrong as reading calls do."""
    try:
        return call(collection, *arguments, **named)
    except InvalidFilter as error:
        raise InvalidParameter(f"failed to create query plan: {error}") from error
    except FieldNotFound as error:
        raise InvalidParameter(str(error)) from error
    except PartitionNotFound as error:
        raise InvalidParameter(str(error)) from error


def _texts(fields: Fields, key: str) -> Sequence[str] | None:
    """A list of strings; None where the key is absent, which an empty list is not."""
    return fields.strings(key)


def _refuse(fields: Fields, keys: Sequence[str]) -> None:
    for key in keys:
        if fields.value(key):
            raise Unsupported(f"{key} is not supported by this server", key=key)


def _primary_keys(fields: Fields, collection: Collection) -> list[int] | list[str]:
    given = fields.value("id")
    values = given if isinstance(given, list) else [given]
    if collection.schema.primary.type is DataType.VARCHAR:
        if all(isinstance(each, str | int) and not isinstance(each, bool) for each in values):
            return [str(each) for each in values]
    else:
        keys = [_int64(each) for each in values]
        if None not in keys:
            return [key for key in keys if key is not None]
    raise Refused(
        1806,
        "please check the primary key and its' type can only in [int, string], "
        f"error: {values} won't do for {collection.schema.primary.type.value} field {collection.schema.primary.name}",
    )


def _int64(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        number = int(value)
    except ValueError:
        return None
    return number if -(2**63) <= number < 2**63 else None


def _search_query(fields: Fields, collection: Collection, entities: EntityService) -> SearchQuery:
    _refuse(fields, _UNSERVED_SEARCH)
    data = fields.list("data")
    if not data:
        raise Refused(
            1802,
            "missing required parameters, error: either 'ids' (for primary key search) or 'data' "
            "(for vector search) must be provided",
        )
    try:
        target = entities.search_field(collection, fields.string("annsField"))
    except (InvalidParameter, FieldNotFound) as error:
        raise Refused(1801, f"can only accept json format request, error: {error}") from error
    limit, offset = fields.integer("limit", strict=True), fields.integer("offset", strict=True) or 0
    limit = DEFAULT_LIMIT if limit is None else limit
    for value in (limit, limit + offset):
        if not 1 <= value <= MAX_TOP_K or offset < 0:
            raise InvalidParameter(
                f"topk [{value}] is invalid, it should be in range [1, {MAX_TOP_K}], but got {value}", limit=value
            )
    params = _search_params(fields)
    return SearchQuery(
        field_name=target.name,
        queries=query_vectors(data, target),
        limit=limit,
        offset=offset,
        filter=fields.string("filter") or "",
        filter_params=fields.mapping("exprParams") or {},
        partitions=_texts(fields, "partitionNames") or (),
        output_fields=_texts(fields, "outputFields") or (),
        metric=str(params.pop("metric_type", "") or params.pop("metricType", "")),
        radius=_number(params, "radius"),
        range_filter=_number(params, "range_filter"),
        params=params,
    )


def _search_params(fields: Fields) -> dict[str, Any]:
    """``searchParams`` and its ``params``, flattened; the same key with two values is ambiguous."""
    given = dict(fields.mapping("searchParams") or {})
    nested = given.pop("params", {})
    if not isinstance(nested, dict):
        raise InvalidParameter("searchParams.params must be a dict", key="searchParams.params")
    for key, value in nested.items():
        if key in given and given[key] != value:
            raise InvalidParameter(f"ambiguous parameter: {key}", key=key)
    return given | nested


def _number(params: dict[str, Any], key: str) -> float | None:
    value = params.pop(key, None)
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InvalidParameter(f"{key} should be a number, but got {value!r}", key=key) from None

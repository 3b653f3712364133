"""Decode the bodies of ``entities/query``, ``get``, ``search`` and ``hybrid_search``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from penstock.collections.entity_requests import (
    HybridSearchRequest,
    QueryRequest,
    VectorSearchRequest,
    check_number_of_keys,
)
from penstock.collections.rankers import Ranker, RerankFunction, function_ranker, ranker_of
from penstock.collections.search_params import SearchParams, grouping_of, search_params
from penstock.collections.searches import SearchService
from penstock.domain.collections import Collection
from penstock.domain.parameter_values import MAX_EXACT_DOUBLE, MAX_INT64
from penstock.domain.schema import DataType, Field
from penstock.errors import FieldNotFound, InvalidParameter, Unsupported, shorten
from penstock.wire.decoding import Fields
from penstock.wire.milvus.errors import Refused
from penstock.wire.milvus_v2.collection_requests import consistency_level
from penstock.wire.milvus_v2.query_vectors import query_vectors

DEFAULT_LIMIT = 100
MAX_NESTED_LISTS = 32
"""The same limit as the depth of a filter."""
UNSERVED_QUERY = ("orderByFields", "groupByFields")
_UNSERVED_HYBRID_SEARCH = ("functionChains", "searchAggregation", "orderByFields")
_UNSERVED_SEARCH = ("functionScore", *_UNSERVED_HYBRID_SEARCH)
_ELSEWHERE = {
    "searchParams": "params within it",
    "partitionName": "partitionNames next to search",
    "partitionNames": "partitionNames next to search",
}
"""Keys of a search that one of a hybrid search lacks, and what to give in their place."""
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}\Z")


def query_request(fields: Fields) -> QueryRequest:
    """Decode the body of a query; of one for the number of rows ``limit`` and ``offset`` are ignored.

    Raises:
        MalformedBody, InvalidParameter, Unsupported.
    """
    refuse_unserved(fields)
    request = QueryRequest(
        filter=fields.string("filter") or "",
        filter_params=_expression_values(fields),
        partitions=partition_names(fields),
        output_fields=output_fields(fields),
    )
    if request.is_count():
        return request
    limit, offset = _page(fields)
    return replace(request, limit=limit, offset=offset)


def output_fields(fields: Fields) -> Sequence[str]:
    """All fields if ``outputFields`` is absent; an empty list is the primary key alone."""
    names = fields.strings("outputFields")
    return ("*",) if names is None else names


def partition_names(fields: Fields) -> Sequence[str]:
    """The partitions to read, none for all: ``partitionNames``, or ``partitionName`` as other calls have it.

    Raises:
        MalformedBody.
        InvalidParameter: there are both.
    """
    names, name = fields.strings("partitionNames"), fields.string("partitionName")
    if names and name:
        raise InvalidParameter("pass partitionNames or partitionName, not both", key="partitionName")
    return names or ([name] if name else [])


def _page(fields: Fields) -> tuple[int | None, int]:
    """Decode ``limit`` and ``offset`` of a query. Zero or less is no limit, and without one there is no offset."""
    limit, offset = fields.integer("limit", strict=True), fields.integer("offset", strict=True)
    limit = DEFAULT_LIMIT if limit is None else limit
    return (limit, max(offset or 0, 0)) if limit > 0 else (None, 0)


def refuse_unserved(fields: Fields, keys: Iterable[str] = UNSERVED_QUERY) -> None:
    """Raise Unsupported for a non-empty key of a feature that this server lacks."""
    consistency_level(fields)
    for key in keys:
        if fields.value(key):
            raise Unsupported(f"{key} is not supported by this server", key=key)


def _expression_values(fields: Fields) -> Mapping[str, Any]:
    """Decode ``exprParams``. JSON has one type of numbers: whole ones become integers, ``5.0`` too."""
    return {key: _value(value) for key, value in (fields.mapping("exprParams") or {}).items()}


def _value(value: Any, depth: int = 0) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_EXACT_DOUBLE:
        return int(value)
    if isinstance(value, list):
        if depth > MAX_NESTED_LISTS:
            raise InvalidParameter(f"a value of exprParams has lists more than {MAX_NESTED_LISTS} levels deep")
        return [_value(element, depth + 1) for element in value]
    return value


def primary_keys(ids: Any, collection: Collection) -> list[int] | list[str]:
    """Decode primary keys: one or a list of numbers or strings, for any key type.

    Raises:
        Refused: 1806, one can't be a key.
    """
    values: list[Any] = ids if isinstance(ids, list) else [ids]
    check_number_of_keys(len(values))
    primary = collection.schema.primary
    if primary.type is DataType.VARCHAR:
        if all(isinstance(value, str | int) and not isinstance(value, bool) for value in values):
            return [str(value) for value in values]
    else:
        keys = [_int64(value) for value in values]
        if None not in keys:
            return [key for key in keys if key is not None]
    excerpt = shorten(values, 200)
    raise Refused(
        1806,
        "please check the primary key and its' type can only in [int, string], "
        f"error: {excerpt} can't be keys of the {primary.type.value} field {primary.name}",
    )


def _int64(value: Any) -> int | None:
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, str) and _INTEGER.match(value))):
        return None
    number = int(value)
    return number if -MAX_INT64 - 1 <= number <= MAX_INT64 else None


def search_request(fields: Fields, collection: Collection, searches: SearchService) -> VectorSearchRequest:
    """Decode the body of a search.

    Raises:
        Refused: 1802 without query vectors or keys, 1801 for a field that can't be searched.
        MalformedBody: a query isn't of the field's type.
        InvalidParameter, Unsupported.
    """
    refuse_unserved(fields, _UNSERVED_SEARCH)
    data, ids = fields.list("data"), fields.list("ids")
    if data and ids:
        raise InvalidParameter(
            "primary keys (ids) and query vectors (data) are mutually exclusive. "
            "Specify either 'ids' or 'data', not both"
        )
    if not data and not ids:
        raise Refused(
            1802,
            "missing required parameters, error: either 'ids' (for primary key search) or 'data' "
            "(for vector search) must be provided",
        )
    target = _search_field(fields, collection, searches)
    limit, offset = fields.integer("limit", strict=True), fields.integer("offset", strict=True)
    return VectorSearchRequest(
        field_name=target.name,
        params=_search_params(fields),
        queries=query_vectors(data, target) if data else (),
        keys=primary_keys(ids, collection) if ids else (),
        limit=DEFAULT_LIMIT if limit is None else limit,
        offset=offset or 0,
        filter=fields.string("filter") or "",
        filter_params=_expression_values(fields),
        partitions=partition_names(fields),
        output_fields=fields.strings("outputFields") or (),
    )


def hybrid_search_request(fields: Fields, collection: Collection, searches: SearchService) -> HybridSearchRequest:
    """Decode the body of a hybrid search. Raises as :func:`search_request`."""
    refuse_unserved(fields, _UNSERVED_HYBRID_SEARCH)
    partitions = partition_names(fields)
    limit, offset = fields.integer("limit", strict=True), fields.integer("offset", strict=True)
    bodies = fields.list("search") or ()
    for body in bodies:
        if not isinstance(body, dict):
            raise fields.mismatch("search", body, "httpserver.SubSearchReq")
    return HybridSearchRequest(
        searches=[
            _sub_search(Fields(body, f"HybridSearchReq.Search[{number}]"), collection, searches, partitions)
            for number, body in enumerate(bodies)
        ],
        ranker=_ranker(fields),
        limit=DEFAULT_LIMIT if limit is None else limit,
        offset=offset or 0,
        output_fields=fields.strings("outputFields") or (),
        grouping=grouping_of(grouping_params(fields)),
    )


def _sub_search(
    fields: Fields, collection: Collection, searches: SearchService, partitions: Sequence[str]
) -> VectorSearchRequest:
    """Decode one search of a hybrid search. As in Milvus it needs a limit, and its offset has no effect."""
    fields.require("data")
    for key, instead in _ELSEWHERE.items():
        if key in fields:
            raise InvalidParameter(f"{key} has no effect within a search of a hybrid search; give {instead}", key=key)
    if fields.string("groupingField"):
        raise InvalidParameter(
            "not support search_group_by operation in the hybrid search; give groupingField next to search",
            key="groupingField",
        )
    target = _search_field(fields, collection, searches)
    params = dict(fields.mapping("params") or {})
    nested = params.pop("params", None) or {}
    if not isinstance(nested, dict):
        raise InvalidParameter("params of a search in its params must be a dict", key="params.params")
    return VectorSearchRequest(
        field_name=target.name,
        params=search_params(params, nested, metric=fields.value("metricType")),
        queries=query_vectors(fields.list("data") or (), target),
        limit=fields.integer("limit", strict=True) or 0,
        filter=fields.string("filter") or "",
        filter_params=_expression_values(fields),
        partitions=partitions,
    )


def _ranker(fields: Fields) -> Ranker:
    """Decode ``functionScore`` or, without it, ``rerank``."""
    score = fields.fields("functionScore", "FunctionScore")
    if score is None:
        rerank = fields.fields("rerank", "Rand") or Fields({}, "Rand")
        return ranker_of(rerank.string("strategy") or "", rerank.mapping("params") or {})
    functions = []
    for body in score.list("functions") or ():
        if not isinstance(body, dict):
            raise score.mismatch("functions", body, "httpserver.FunctionSchema")
        function = Fields(body, "FunctionSchema")
        functions.append(
            RerankFunction(
                type=function.string("type") or "",
                input_fields=function.strings("inputFieldNames") or (),
                output_fields=function.strings("outputFieldNames") or (),
                params=function.mapping("params") or {},
            )
        )
    return function_ranker(functions, score.mapping("params") or {})


def _search_field(fields: Fields, collection: Collection, searches: SearchService) -> Field:
    try:
        return searches.search_field(collection, fields.string("annsField"))
    except Unsupported:
        raise
    except (InvalidParameter, FieldNotFound) as error:
        raise Refused(1801, f"can only accept json format request, error: {error}") from error


def _search_params(fields: Fields) -> SearchParams:
    """Decode ``searchParams``, its ``params``, and the top-level ``params`` that Milvus 2.4 read."""
    params = dict(fields.mapping("searchParams") or {})
    nested = params.pop("params", None) or {}
    if not isinstance(nested, dict):
        raise InvalidParameter("searchParams.params must be a dict", key="searchParams.params")
    extra = fields.mapping("params") or {}
    for value in extra.values():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise fields.mismatch("params", value, "float64")
    return search_params(params, nested, extra, grouping_params(fields), metric=fields.value("metricType"))


def grouping_params(fields: Fields) -> dict[str, Any]:
    """Decode ``groupingField``, ``groupSize`` and ``strictGroupSize`` into search parameters."""
    values = {
        "group_by_field": fields.string("groupingField") or None,
        "group_size": fields.integer("groupSize", strict=True) or None,
        "strict_group_size": fields.boolean("strictGroupSize"),
    }
    return {key: value for key, value in values.items() if value is not None}

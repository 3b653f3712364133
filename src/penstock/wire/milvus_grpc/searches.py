"""Search: the rows nearest to query vectors, or to the vectors of stored rows; pages of search iterators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from penstock.collections.collection_settings import in_timezone
from penstock.collections.collections import CollectionService
from penstock.collections.entity_requests import MAX_WINDOW, VectorSearchRequest
from penstock.collections.parameter_tables import ITERATOR_PARAMS
from penstock.collections.parameters import check_parameters
from penstock.collections.result_memory import release_on_error
from penstock.collections.search_groups import Grouping
from penstock.collections.search_iterators import SearchCursor, SearchIteratorService
from penstock.collections.search_params import SearchParams, search_params
from penstock.collections.searches import SearchResult, SearchService
from penstock.domain.access import Role
from penstock.domain.collections import Collection
from penstock.domain.parameter_values import go_boolean
from penstock.domain.schema import DataType
from penstock.errors import InvalidParameter, shorten
from penstock.wire.milvus.call_errors import read_errors
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.dialect import Answer, MilvusGrpc, Request
from penstock.wire.milvus_grpc.field_data import field_data, fields_data, ids_of
from penstock.wire.milvus_grpc.placeholders import query_vectors, template_values
from penstock.wire.milvus_grpc.read_requests import (
    check_ids,
    collection_to_read,
    is_without_radius,
    output_names,
    refuse_members,
    session_timestamp,
    whole_parameter,
)
from penstock.wire.milvus_grpc.schemas import key_value_mapping
from penstock.wire.milvus_grpc.stubs import milvus_pb2

_UNSERVED = ("function_score", "function_chains", "highlighter", "search_aggregation", "sub_reqs", "namespace")
_OUTSIDE = ("topk", "limit", "offset", "anns_field", "metric_type", "collection_id", "cluster_id", "params")
"""Parameters of the request itself, not of the search of an index."""
_OF_THE_CALL = ("collection_id", "cluster_id")
"""Of these the Node.js client copies all that it sends into ``params``."""
_NO_ROUNDING = "-1"
_ITERATOR = tuple(name for parameter in ITERATOR_PARAMS.rows for name in parameter.names)


def methods(
    collections: CollectionService, searches: SearchService, iterators: SearchIteratorService, grpc: MilvusGrpc
) -> tuple[GrpcMethod, ...]:
    def search(request: Request) -> object:
        collection = collection_to_read(request, collections)
        with read_errors():
            query = search_request(request.message, collection, searches)
            collection = in_timezone(collection, query.params.timezone)
            parameters = iterator_parameters(request.message)
            query = replace(query, exact=bool(go_boolean(parameters.get("iterator"))))
            if go_boolean(parameters.get("search_iter_v2")):
                return page(request, collection, _page_request(query, parameters), _cursor(parameters))
            if query.exact and is_without_radius(request.message.guarantee_timestamp):
                query = _without_probing(query)
            result = searches.search(collection, query, org_id=request.cluster.org_id)
        with release_on_error(result.held):
            message = search_results(collection, result, query.output_fields, query.limit, query.params.grouping)
            message.session_ts = session_timestamp(without_radius=query.exact and query.params.radius is None)
            return Answer(message, result.held)

    def page(request: Request, collection: Collection, query: VectorSearchRequest, cursor: SearchCursor) -> Answer:
        page = iterators.next_page(collection, query, cursor, org_id=request.cluster.org_id)
        with release_on_error(page.result.held):
            message = search_results(collection, page.result, query.output_fields, query.limit, None)
            info = message.results.search_iterator_v2_results
            info.token, info.last_bound = page.cursor.id or "", page.cursor.last_bound or 0.0
            return Answer(message, page.result.held)

    return (grpc.method("Search", search, action="entity.search", role=Role.READER),)


def search_request(
    message: Any, collection: Collection, searches: SearchService, default_limit: int | None = None
) -> VectorSearchRequest:
    """Decode a search; one of a hybrid search may be without a limit.

    Raises:
        InvalidParameter, FieldNotFound, Unsupported.
    """
    refuse_members(message, _UNSERVED, "a search")
    outer = key_value_mapping(message.search_params)
    inner = json_parameters(outer.get("params", ""), "params of a search")
    check_ids(collection, outer)
    target = searches.search_field(collection, outer.get("anns_field") or None)
    limit = whole_parameter(outer, "topk")
    limit = default_limit if limit is None else limit
    if limit is None:
        raise InvalidParameter("topk not found in search_params", key="topk")
    offset = whole_parameter(outer, "offset")
    by_keys = message.WhichOneof("search_input") == "ids"
    return VectorSearchRequest(
        field_name=target.name,
        queries=() if by_keys else query_vectors(message.placeholder_group, target),
        keys=_keys(message.ids, collection) if by_keys else (),
        limit=limit,
        offset=(whole_parameter(inner, "offset") if offset is None else offset) or 0,
        filter=message.dsl,
        filter_params=template_values(message.expr_template_values),
        partitions=list(message.partition_names),
        output_fields=list(message.output_fields),
        params=_search_params(outer, inner),
    )


def iterator_parameters(message: Any) -> Mapping[str, str]:
    """The parameters of a search that make it a page of an iterator. Raises InvalidParameter."""
    parameters = {key: value for key, value in key_value_mapping(message.search_params).items() if key in _ITERATOR}
    check_parameters(ITERATOR_PARAMS, parameters)
    return parameters


def _without_probing(query: VectorSearchRequest) -> VectorSearchRequest:
    """The search of an iterator before v2, without the radius that comes with its range filter.

    Such an iterator widens the radius step by step, and ends after twenty steps without a row: those beyond a gap
    would be missing.
    """
    if query.params.range_filter is None:
        return query
    return replace(query, params=replace(query.params, radius=None))


def _page_request(query: VectorSearchRequest, parameters: Mapping[str, str]) -> VectorSearchRequest:
    """The search of an iterator's page, whose size is its limit.

    Raises:
        InvalidParameter: it has no size, or is not a search of an iterator.
    """
    if not query.exact:
        raise InvalidParameter("both iterator and search_iter_v2 must be set in the SDK", key="iterator")
    size = whole_parameter(parameters, "search_iter_batch_size")
    if size is None:
        raise InvalidParameter("batch size is required: set search_iter_batch_size", key="search_iter_batch_size")
    if not 1 <= size <= MAX_WINDOW:
        raise InvalidParameter(
            f"batch size is invalid, it should be in range [1, {MAX_WINDOW}], but got {size}",
            key="search_iter_batch_size",
        )
    return replace(query, limit=size)


def _cursor(parameters: Mapping[str, str]) -> SearchCursor:
    """Where the iterator stands. Its id comes with the second page, and its bound too."""
    bound = parameters.get("search_iter_last_bound") or None
    return SearchCursor(
        last_bound=None if bound is None else float(bound), id=parameters.get("search_iter_id") or None
    )


def json_parameters(text: str, what: str) -> dict[str, Any]:
    """Decode the JSON object in the text of a parameter; ``what`` names it in errors.

    Raises:
        InvalidParameter
    """
    try:
        params = orjson.loads(text or "{}")
    except orjson.JSONDecodeError as error:
        raise InvalidParameter(f"{what} can't be parsed as JSON: {shorten(text)}", key="params") from error
    if not isinstance(params, dict):
        raise InvalidParameter(f"{what} must be a dict, but got {shorten(text)}", key="params")
    return params


def _search_params(outer: Mapping[str, str], inner: Mapping[str, Any]) -> SearchParams:
    """Merge the parameters of both places. Clients copy those outside, as text, into ``params``, as JSON.

    pymilvus always has a ``round_decimal`` outside: its default is none.
    """
    beside = {key: value for key, value in outer.items() if key not in (*_OUTSIDE, *_ITERATOR)}
    if "round_decimal" in inner and beside.get("round_decimal") == _NO_ROUNDING:
        del beside["round_decimal"]
    copies = {key for key in _OF_THE_CALL if str(inner.get(key)) == outer.get(key)}
    within = {key: value for key, value in inner.items() if key not in ("offset", *_ITERATOR, *beside, *copies)}
    return search_params(within, beside, metric=outer.get("metric_type"))


def _keys(ids: Any, collection: Collection) -> list[int] | list[str]:
    """Decode the primary keys of a search by stored rows."""
    primary = collection.schema.primary
    member = "str_id" if primary.type is DataType.VARCHAR else "int_id"
    if ids.WhichOneof("id_field") != member:
        raise InvalidParameter(
            f"ids must be of the type of the primary key: {primary.name} is {primary.type.value}", key="ids"
        )
    return list(getattr(ids, member).data)


def search_results(
    collection: Collection,
    result: SearchResult,
    output_fields: Sequence[str],
    limit: int,
    grouping: Grouping | None,
) -> Any:
    """The SearchResults message: the hits of all queries one after the other, ``topks`` of each."""
    schema, fields = collection.schema, result.fields
    rows = pa.concat_tables([hit.rows for hit in result.hits])
    response = milvus_pb2.SearchResults(collection_name=collection.name, session_ts=session_timestamp())
    data = response.results
    data.num_queries = len(result.hits)
    data.top_k = limit
    data.topks.extend(len(hit.scores) for hit in result.hits)
    data.primary_field_name = schema.primary.name
    data.ids.CopyFrom(ids_of(rows[schema.primary.name].combine_chunks()))
    data.scores.extend(np.concatenate([hit.scores for hit in result.hits]).tolist())
    # The primary key is among the fields only where it is requested.
    hidden = set() if {"*", schema.primary.name} & set(output_fields) else {schema.primary.name}
    data.output_fields.extend(name for name in output_names(fields) if name not in hidden)
    data.fields_data.extend(
        message for message in fields_data(rows, schema, fields) if message.field_name not in hidden
    )
    if grouping is not None:
        name = grouping.field_name
        data.group_by_field_value.CopyFrom(field_data(schema[name], rows[name].combine_chunks()))
    return response

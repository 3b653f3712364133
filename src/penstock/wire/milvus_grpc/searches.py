"""Search: the rows nearest to query vectors, or to the vectors of stored rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from penstock.collections.collections import CollectionService
from penstock.collections.entity_requests import VectorSearchRequest
from penstock.collections.result_memory import release_on_error
from penstock.collections.search_groups import Grouping
from penstock.collections.search_params import SearchParams, search_params
from penstock.collections.searches import SearchResult, SearchService
from penstock.domain.access import Role
from penstock.domain.collections import Collection
from penstock.domain.schema import DataType
from penstock.errors import InvalidParameter, Unsupported, shorten
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.dialect import Answer, MilvusGrpc, Request
from penstock.wire.milvus_grpc.field_data import field_data, fields_data, ids_of
from penstock.wire.milvus_grpc.placeholders import query_vectors, template_values
from penstock.wire.milvus_grpc.read_requests import (
    check_collection_id,
    collection_to_read,
    output_names,
    pairs,
    session_timestamp,
    whole_parameter,
)
from penstock.wire.milvus_grpc.stubs import milvus_pb2
from penstock.wire.milvus_v2.read_errors import read_errors

_UNSERVED = ("function_score", "function_chains", "highlighter", "search_aggregation", "sub_reqs", "namespace")
_OUTSIDE = ("topk", "limit", "offset", "anns_field", "metric_type", "collection_id", "cluster_id", "params")
"""Parameters of the request itself, not of the search of an index."""
_ITERATOR = ("iterator", "search_iter_v2", "search_iter_batch_size", "search_iter_id", "search_iter_last_bound")
"""Parameters of iterators. Without a token in the answer clients iterate by radius and range_filter, as before v2."""
_TIMES = ("timezone", "time_fields")
"""Parameters for fields with a time zone, which no collection has."""


def methods(collections: CollectionService, searches: SearchService, grpc: MilvusGrpc) -> tuple[GrpcMethod, ...]:
    def search(request: Request) -> object:
        collection = collection_to_read(request, collections)
        with read_errors():
            query = search_request(request.message, collection, searches)
            result = searches.search(collection, query, org_id=request.cluster.org_id)
        with release_on_error(result.held):
            message = search_results(collection, result, query.output_fields, query.limit, query.params.grouping)
            return Answer(message, result.held)

    return (grpc.method("Search", search, action="entity.search", role=Role.READER),)


def search_request(
    message: Any, collection: Collection, searches: SearchService, default_limit: int | None = None
) -> VectorSearchRequest:
    """Decode a search; one of a hybrid search may be without a limit.

    Raises:
        InvalidParameter, FieldNotFound, Unsupported.
    """
    for field, _ in message.ListFields():
        if field.name in _UNSERVED:
            raise Unsupported(f"{field.name} of a search is not supported by this server", key=field.name)
    outer = pairs(message.search_params)
    inner = json_parameters(outer.get("params", ""), "params of a search")
    check_collection_id(collection, outer.get("collection_id"))
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
    """Merge the parameters of both places. Clients copy those outside, as text, into ``params``, as JSON."""
    beside = {key: value for key, value in outer.items() if key not in (*_OUTSIDE, *_ITERATOR, *_TIMES)}
    within = {key: value for key, value in inner.items() if key not in ("offset", *_ITERATOR, *beside)}
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

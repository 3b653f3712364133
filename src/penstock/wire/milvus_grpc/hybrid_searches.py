"""Hybrid search: several searches of vector fields, and one ranking of what they find."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.collections.collection_settings import in_timezone
from penstock.collections.collections import CollectionService
from penstock.collections.entity_requests import HybridSearchRequest, VectorSearchRequest
from penstock.collections.parameter_tables import RANK_PARAMS
from penstock.collections.parameters import check_parameters
from penstock.collections.rankers import Ranker, RerankFunction, function_ranker, ranker_of
from penstock.collections.result_memory import release_on_error
from penstock.collections.search_params import grouping_of, round_decimal
from penstock.collections.searches import SearchService
from penstock.domain.access import Role
from penstock.domain.collections import Collection
from penstock.domain.parameter_values import go_boolean
from penstock.errors import InvalidParameter, Unsupported
from penstock.wire.milvus.call_errors import read_errors
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.dialect import Answer, MilvusGrpc, Request
from penstock.wire.milvus_grpc.read_requests import (
    check_ids,
    collection_to_read,
    refuse_members,
    whole_parameter,
)
from penstock.wire.milvus_grpc.schemas import key_value_mapping
from penstock.wire.milvus_grpc.searches import iterator_parameters, json_parameters, search_request, search_results
from penstock.wire.milvus_grpc.stubs import schema_pb2

_UNSERVED = ("function_chains", "namespace")
_RANKER = ("strategy", "params")


def methods(collections: CollectionService, searches: SearchService, grpc: MilvusGrpc) -> tuple[GrpcMethod, ...]:
    def hybrid_search(request: Request) -> object:
        collection = collection_to_read(request, collections)
        with read_errors():
            query = _hybrid_request(request.message, collection, searches)
            collection = in_timezone(collection, query.timezone)
            result = searches.hybrid_search(collection, query, org_id=request.cluster.org_id)
        with release_on_error(result.held):
            message = search_results(collection, result, query.output_fields, query.limit, query.grouping)
            return Answer(message, result.held)

    return (grpc.method("HybridSearch", hybrid_search, action="entity.hybrid_search", role=Role.READER),)


def _hybrid_request(message: Any, collection: Collection, searches: SearchService) -> HybridSearchRequest:
    """Decode a hybrid search.

    Raises:
        InvalidParameter, FieldNotFound, Unsupported.
    """
    refuse_members(message, _UNSERVED, "a hybrid search")
    parameters = key_value_mapping(message.rank_params)
    others = {key: value for key, value in parameters.items() if key not in _RANKER}
    check_parameters(RANK_PARAMS, others)
    check_ids(collection, others)
    limit = whole_parameter(others, "limit")
    if limit is None:
        raise InvalidParameter("limit not found in rank_params", key="limit")
    offset = whole_parameter(others, "offset") or 0
    return HybridSearchRequest(
        searches=[_search(search, message, collection, searches, limit + offset) for search in message.requests],
        ranker=_ranker(message, parameters),
        limit=limit,
        offset=offset,
        output_fields=list(message.output_fields),
        grouping=grouping_of(others),
        round_decimal=round_decimal(others.get("round_decimal")),
    )


def _search(
    search: Any, message: Any, collection: Collection, searches: SearchService, default_limit: int
) -> VectorSearchRequest:
    """Decode one search. Clients send the partitions of the hybrid search with each of them."""
    if go_boolean(iterator_parameters(search).get("iterator")):
        raise Unsupported(
            "iterator of a hybrid search is not supported by this server; page with limit and offset, or iterate "
            "over one search",
            key="iterator",
        )
    if not search.partition_names:
        search.partition_names.extend(message.partition_names)
    return search_request(search, collection, searches, default_limit)


def _ranker(message: Any, parameters: Mapping[str, str]) -> Ranker:
    if message.HasField("function_score"):
        score = message.function_score
        return function_ranker([_function(function) for function in score.functions], key_value_mapping(score.params))
    params = json_parameters(parameters.get("params", ""), "params of a ranker")
    return ranker_of(parameters.get("strategy", ""), params)


def _function(schema: Any) -> RerankFunction:
    names: Mapping[int, str] = {value: name for name, value in schema_pb2.FunctionType.items()}
    return RerankFunction(
        type=names.get(schema.type, str(schema.type)),
        input_fields=list(schema.input_field_names),
        output_fields=list(schema.output_field_names),
        params=key_value_mapping(schema.params),
    )

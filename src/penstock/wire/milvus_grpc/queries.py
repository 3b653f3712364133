"""Query: rows that match an expression, and their number. ``get`` of the clients is a query by primary key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from penstock.collections.collection_settings import in_timezone
from penstock.collections.collections import CollectionService
from penstock.collections.entities import EntityService
from penstock.collections.entity_requests import QueryRequest
from penstock.collections.parameter_tables import QUERY_PARAMS
from penstock.collections.parameters import check_parameters
from penstock.collections.result_memory import release_on_error
from penstock.domain.access import Role
from penstock.domain.collections import Collection
from penstock.domain.parameter_values import go_boolean
from penstock.errors import InvalidParameter
from penstock.wire.milvus.call_errors import read_errors
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.dialect import Answer, MilvusGrpc, Request
from penstock.wire.milvus_grpc.field_data import count_data, fields_data
from penstock.wire.milvus_grpc.placeholders import template_values
from penstock.wire.milvus_grpc.read_requests import (
    check_ids,
    collection_to_read,
    output_names,
    refuse_members,
    session_timestamp,
    whole_parameter,
)
from penstock.wire.milvus_grpc.schemas import key_value_mapping
from penstock.wire.milvus_grpc.stubs import milvus_pb2

_UNSERVED = ("namespace",)

_HIGHEST_LEVEL = 2
"""Guarantee timestamps up to here stand for consistency levels."""


def methods(collections: CollectionService, entities: EntityService, grpc: MilvusGrpc) -> tuple[GrpcMethod, ...]:
    def query(request: Request) -> object:
        collection = collection_to_read(request, collections)
        parameters = key_value_mapping(request.message.query_params)
        check_parameters(QUERY_PARAMS, parameters)
        check_ids(collection, parameters)
        with read_errors():
            collection = in_timezone(collection, parameters.get("timezone"))
            query = _query_request(request.message, parameters)
            if query.is_count():
                count = count_data(entities.count(collection, query))
                return _results(collection, [count], ["count(*)"])
            result = entities.query(collection, query, org_id=request.cluster.org_id)
        with release_on_error(result.held):
            data = fields_data(result.table, collection.schema, result.fields)
            return Answer(_results(collection, data, output_names(result.fields)), result.held)

    return (grpc.method("Query", query, action="entity.query", role=Role.READER),)


def _query_request(message: Any, parameters: Mapping[str, str]) -> QueryRequest:
    """Decode a query; without output fields it is for the primary key alone.

    Raises:
        InvalidParameter, Unsupported.
    """
    refuse_members(message, _UNSERVED, "a query")
    request = QueryRequest(
        filter=message.expr,
        filter_params=template_values(message.expr_template_values),
        partitions=list(message.partition_names),
        output_fields=list(message.output_fields),
    )
    limit, offset = whole_parameter(parameters, "limit"), whole_parameter(parameters, "offset") or 0
    if limit is None:
        if offset:
            raise InvalidParameter(f"offset [{offset}] has no effect without a limit: add one", key="offset")
        return request
    if request.is_count():
        raise InvalidParameter("count entities with pagination is not allowed: leave out the limit", key="limit")
    if limit <= 0:
        raise InvalidParameter(f"limit [{limit}] is invalid, it should be greater than 0", key="limit")
    return replace(
        request,
        limit=limit,
        offset=offset,
        whole_keys=_continues_after_its_last_key(message, parameters, limit),
    )


def _continues_after_its_last_key(message: Any, parameters: Mapping[str, str], limit: int) -> bool:
    """Whether the query is a page of an iterator, or a step to an iterator's offset.

    Of the first query of an iterator only the time counts, which its pages have as their timestamp.
    """
    is_page = go_boolean(parameters.get("iterator"))
    if is_page is None:
        return False
    if not is_page:
        return "collection_id" in parameters
    has_timestamp = message.guarantee_timestamp > _HIGHEST_LEVEL
    return has_timestamp or limit > 1 or bool(message.output_fields) or bool(message.partition_names)


def _results(collection: Collection, data: Sequence[Any], names: Sequence[str]) -> Any:
    return milvus_pb2.QueryResults(
        fields_data=data,
        collection_name=collection.name,
        output_fields=names,
        session_ts=session_timestamp(),
        primary_field_name=collection.schema.primary.name,
    )

"""Indexes: create, describe, alter, drop, state, progress and statistics.

Calls name an index by its name, its field, both or neither; neither is all indexes of the collection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from penstock.collections.collections import CollectionService
from penstock.collections.description import describe_fields
from penstock.collections.index_requests import CreateIndex
from penstock.collections.indexes import IndexService, IndexStatus
from penstock.domain.access import Role
from penstock.domain.collections import Collection
from penstock.domain.index import IndexSpec
from penstock.errors import FieldNotFound, IndexNotFound, InvalidParameter, shorten
from penstock.wire.milvus.properties import key_values, spec_params
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.collections import qualified_name
from penstock.wire.milvus_grpc.dialect import MilvusGrpc, Request
from penstock.wire.milvus_grpc.property_changes import property_method
from penstock.wire.milvus_grpc.schemas import key_value_mapping
from penstock.wire.milvus_grpc.stubs import milvus_pb2


def methods(collections: CollectionService, indexes: IndexService, grpc: MilvusGrpc) -> tuple[GrpcMethod, ...]:
    def collection_of(request: Request) -> Collection:
        return collections.get(*qualified_name(request))

    def select(request: Request, collection: Collection) -> Sequence[IndexSpec]:
        # GetIndexStatistics has no field.
        name, field = request.message.index_name, getattr(request.message, "field_name", "")
        return [
            spec
            for spec in indexes.list(collection)
            if (not name or spec.name == name) and (not field or spec.field_name == field)
        ]

    def select_some(request: Request, collection: Collection) -> Sequence[IndexSpec]:
        """Raises IndexNotFound, from which pymilvus makes an empty list or None."""
        selected = select(request, collection)
        if selected:
            return selected
        name = request.message.index_name
        if name:
            raise IndexNotFound(f"index not found[indexName={shorten(name)}]", index=name)
        raise IndexNotFound(f"index not found[collection={collection.name}]", collection=collection.name)

    def status_of_one(request: Request) -> IndexStatus:
        collection = collection_of(request)
        selected = select_some(request, collection)
        if len(selected) > 1:
            names = ", ".join(spec.name for spec in selected)
            raise InvalidParameter(f"the collection {collection.name} has several indexes, name one of them: {names}")
        return indexes.status(collection, selected[0].name)

    def create(request: Request) -> object:
        try:
            indexes.create(collection_of(request), index_request(request.message))
        except FieldNotFound as error:
            raise InvalidParameter(str(error), **error.details) from error
        return None

    def describe(response: Callable[..., Any]) -> Callable[[Request], object]:
        def handle(request: Request) -> object:
            collection = collection_of(request)
            statuses = [indexes.status(collection, spec.name) for spec in select_some(request, collection)]
            return response(index_descriptions=[_description(status, collection) for status in statuses])

        return handle

    def alter_properties(request: Request, properties: Mapping[str, str]) -> None:
        indexes.alter_properties(collection_of(request), request.message.index_name, properties)

    def drop_properties(request: Request, keys: Sequence[str]) -> None:
        indexes.drop_properties(collection_of(request), request.message.index_name, keys)

    def drop(request: Request) -> object:
        collection = collection_of(request)
        for spec in select(request, collection):
            indexes.drop(collection, spec.name)
        return None

    def state(request: Request) -> object:
        return milvus_pb2.GetIndexStateResponse(state=status_of_one(request).state.value)

    def progress(request: Request) -> object:
        status = status_of_one(request)
        return milvus_pb2.GetIndexBuildProgressResponse(indexed_rows=status.indexed_rows, total_rows=status.rows)

    def reading(name: str, handler: Callable[[Request], object]) -> GrpcMethod:
        return grpc.method(name, handler, action="index.describe", role=Role.READER)

    return (
        grpc.method("CreateIndex", create, action="index.create", role=Role.WRITER),
        grpc.method("DropIndex", drop, action="index.drop", role=Role.WRITER),
        property_method(
            "AlterIndex",
            grpc,
            action="index",
            role=Role.WRITER,
            alter=alter_properties,
            drop=drop_properties,
            pairs="extra_params",
        ),
        reading("DescribeIndex", describe(milvus_pb2.DescribeIndexResponse)),
        reading("GetIndexStatistics", describe(milvus_pb2.GetIndexStatisticsResponse)),
        reading("GetIndexState", state),
        reading("GetIndexBuildProgress", progress),
    )


def index_request(message: Any) -> CreateIndex:
    """Decode a ``CreateIndexRequest``.

    Parameters stand in the JSON object ``params`` of ``extra_params`` or next to it, where they are text; of one that
    stands in both places the latter counts.

    Raises:
        InvalidParameter: ``params`` is not a JSON object.
    """
    extra = key_value_mapping(message.extra_params)
    nested = _json_object(extra.pop("params", ""))
    return CreateIndex(
        field_name=message.field_name,
        index_name=message.index_name,
        index_type=extra.pop("index_type", ""),
        metric=extra.pop("metric_type", ""),
        params={**nested, **extra},
    )


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text) if text.strip() else {}
    except orjson.JSONDecodeError as error:
        raise InvalidParameter(f"params of an index should be a JSON object, but got {shorten(text)}") from error
    if not isinstance(value, dict):
        raise InvalidParameter(f"params of an index should be a JSON object, but got {shorten(text)}")
    return value


def _description(status: IndexStatus, collection: Collection) -> Any:
    field_ids = {field.field.name: field.id for field in describe_fields(collection.schema)}
    return milvus_pb2.IndexDescription(
        index_name=status.spec.name,
        # Unlike those of other collections; a field has one index at most.
        indexID=collection.number + field_ids[status.spec.field_name],
        field_name=status.spec.field_name,
        params=key_values(spec_params(status.spec)),
        total_rows=status.rows,
        indexed_rows=status.indexed_rows,
        pending_index_rows=status.pending_rows,
        state=status.state.value,
    )

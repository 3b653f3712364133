"""Collections: list, has, describe, drop, statistics. Creating one is in :mod:`penstock.wire.milvus_grpc.schemas`."""

from __future__ import annotations

from penstock.collections.collections import CollectionService
from penstock.domain.access import Role
from penstock.domain.collections import Collection, LoadState
from penstock.errors import CollectionNotFound, DatabaseNotFound, InvalidParameter, Unsupported, shorten_name
from penstock.wire.milvus.properties import key_values
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.collection_views import description
from penstock.wire.milvus_grpc.dialect import Handler, MilvusGrpc, Request
from penstock.wire.milvus_grpc.errors import status_of
from penstock.wire.milvus_grpc.stubs import milvus_pb2
from penstock.wire.milvus_grpc.times import hybrid_timestamp, millis

LOADED_PERCENT = 100
_MAX_DESCRIBED = 1000


def qualified_name(request: Request) -> tuple[str, str, str]:
    """Cluster, database and name of the request's collection."""
    return request.cluster_id, request.database, request.message.collection_name


def cannot_find(request: Request, error: CollectionNotFound) -> CollectionNotFound:
    """The same error with the text of calls that read a schema, which pymilvus looks for."""
    name = shorten_name(str(error.details.get("collection", request.message.collection_name)))
    return CollectionNotFound(f"can't find collection[database={request.database}][collection={name}]")


def name_of_number(request: Request, collections: CollectionService, number: int) -> str:
    """The name of the collection with this id, which some clients send alone. Raises CollectionNotFound."""
    for collection in collections.list(request.cluster_id, request.database):
        if collection.number == number:
            return collection.name
    raise CollectionNotFound(f"collection not found[database={request.database}][collection={number}]")


def methods(collections: CollectionService, grpc: MilvusGrpc) -> tuple[GrpcMethod, ...]:
    def show(request: Request) -> object:
        shown: list[Collection] = list(collections.list(request.cluster_id, request.database))
        only_loaded = request.message.type == milvus_pb2.ShowType.Value("InMemory")
        if only_loaded:
            names = set(request.message.collection_names)
            shown = [
                collection
                for collection in shown
                if collection.load_state is LoadState.LOADED and (not names or collection.name in names)
            ]
        return milvus_pb2.ShowCollectionsResponse(
            collection_names=[collection.name for collection in shown],
            collection_ids=[collection.number for collection in shown],
            created_timestamps=[hybrid_timestamp(collection.created_at) for collection in shown],
            created_utc_timestamps=[millis(collection.created_at) for collection in shown],
            shards_num=[collection.settings.shards for collection in shown],
            inMemory_percentages=[LOADED_PERCENT for _ in shown] if only_loaded else [],
            query_service_available=[True for _ in shown] if only_loaded else [],
        )

    def has(request: Request) -> object:
        return milvus_pb2.BoolResponse(value=collections.has(*qualified_name(request)))

    def describe(request: Request) -> object:
        name, number = request.message.collection_name, request.message.collectionID
        if number and not name:
            name = name_of_number(request, collections, number)
        try:
            return description(collections.describe(request.cluster_id, request.database, name))
        except CollectionNotFound as error:
            raise cannot_find(request, error) from error

    def describe_several(request: Request) -> object:
        names = request.message.collection_name
        if request.message.collectionID:
            raise Unsupported(
                "collectionID of BatchDescribeCollection is not supported by this server: name the collections",
                key="collectionID",
            )
        if len(names) > _MAX_DESCRIBED:
            raise InvalidParameter(f"{len(names)} collections in one call, at most {_MAX_DESCRIBED} are described")
        responses = []
        for name in names:
            try:
                responses.append(description(collections.describe(request.cluster_id, request.database, name)))
            except CollectionNotFound as error:
                status = status_of(cannot_find(request, error))
                responses.append(milvus_pb2.DescribeCollectionResponse(status=status))
        return milvus_pb2.BatchDescribeCollectionResponse(responses=responses)

    def drop(request: Request) -> object:
        try:
            collections.drop(*qualified_name(request))
        except (CollectionNotFound, DatabaseNotFound):
            # Dropping a missing collection succeeds, as in Milvus.
            return None
        return None

    def statistics(request: Request) -> object:
        rows = collections.count(*qualified_name(request))
        return milvus_pb2.GetCollectionStatisticsResponse(stats=key_values({"row_count": str(rows)}))

    def method(name: str, handler: Handler, action: str, role: Role = Role.READER) -> GrpcMethod:
        return grpc.method(name, handler, action=f"collection.{action}", role=role)

    return (
        method("ShowCollections", show, "list"),
        method("HasCollection", has, "has"),
        method("DescribeCollection", describe, "describe"),
        method("BatchDescribeCollection", describe_several, "describe"),
        method("DropCollection", drop, "drop", Role.WRITER),
        method("GetCollectionStatistics", statistics, "get_stats"),
    )

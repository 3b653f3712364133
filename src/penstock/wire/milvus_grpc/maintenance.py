"""Flush, compaction, replicas and segments: calls about work that a caller of Penstock never has to start.

Rows are durable from their import's commit on, so a flush is done when it is called. Compaction runs by itself. Each
collection is shown as one segment with all of its rows, and once loaded as one replica.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from penstock.collections.collections import CollectionService
from penstock.domain.access import Role
from penstock.domain.collections import Collection, LoadState
from penstock.domain.ids import new_id
from penstock.errors import CollectionNotLoaded, Unsupported
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.collections import name_of_number
from penstock.wire.milvus_grpc.dialect import MilvusGrpc, Request
from penstock.wire.milvus_grpc.stubs import common_pb2, milvus_pb2, schema_pb2
from penstock.wire.milvus_grpc.times import hybrid_timestamp

_RESOURCE_GROUP = "__default_resource_group"
"""Milvus's name for the group of all nodes."""
_ALL_PARTITIONS = -1


def methods(collections: CollectionService, grpc: MilvusGrpc) -> tuple[GrpcMethod, ...]:
    def get(request: Request, name: str) -> Collection:
        return collections.get(request.cluster_id, request.database, name)

    def collection_of(request: Request) -> Collection:
        """The collection that the call names, or the one with its id: older clients send that alone."""
        name, number = request.message.collection_name, request.message.collectionID
        return get(request, name if name or not number else name_of_number(request, collections, number))

    def check_collections(request: Request, names: Iterable[str]) -> list[str]:
        """The names as sent, without repetitions. Raises CollectionNotFound for the first unknown one."""
        unique = list(dict.fromkeys(names))
        for name in unique:
            get(request, name)
        return unique

    def flush(request: Request) -> object:
        names = check_collections(request, request.message.collection_names)
        now = datetime.now(UTC)
        return milvus_pb2.FlushResponse(
            db_name=request.database,
            coll_segIDs={name: schema_pb2.LongArray() for name in names},
            flush_coll_segIDs={name: schema_pb2.LongArray() for name in names},
            coll_seal_times={name: int(now.timestamp()) for name in names},
            coll_flush_ts={name: hybrid_timestamp(now) for name in names},
        )

    def flush_state(request: Request) -> object:
        # Empty where a client asks for segments only.
        check_collections(request, filter(None, [request.message.collection_name]))
        return milvus_pb2.GetFlushStateResponse(flushed=True)

    def flush_all(request: Request) -> object:
        collections.list(request.cluster_id, request.database)  # of which there must be a database
        return milvus_pb2.FlushAllResponse(flush_all_ts=hybrid_timestamp(datetime.now(UTC)))

    def flush_all_state(request: Request) -> object:
        del request
        return milvus_pb2.GetFlushAllStateResponse(flushed=True)

    def compact(request: Request) -> object:
        collection = collection_of(request)
        if request.message.majorCompaction:
            raise Unsupported(
                f"clustering compaction of the collection {collection.name} is not supported by this server: "
                "clustering keys have no effect, and rows stay as they were imported",
                collection=collection.name,
            )
        return milvus_pb2.ManualCompactionResponse(compactionID=new_id())

    def compaction_state(request: Request) -> object:
        del request
        return milvus_pb2.GetCompactionStateResponse(state="Completed")

    def compaction_plans(request: Request) -> object:
        # pymilvus lists the compactions of a collection by this call.
        check_collections(request, filter(None, [request.message.collection_name]))
        return milvus_pb2.GetCompactionPlansResponse(state="Completed")

    def replicas(request: Request) -> object:
        collection = collection_of(request)
        if collection.load_state is not LoadState.LOADED:
            raise CollectionNotLoaded(
                f"collection not loaded[collection={collection.number}]", collection=collection.name
            )
        replica = milvus_pb2.ReplicaInfo(
            replicaID=collection.number, collectionID=collection.number, resource_group_name=_RESOURCE_GROUP
        )
        return milvus_pb2.GetReplicasResponse(replicas=[replica])

    def segments(request: Request, segment: Callable[..., Any], state: str) -> list[Any]:
        collection = get(request, request.message.collectionName)
        rows = collections.count(request.cluster_id, request.database, collection.name)
        if not rows:
            return []
        number = collection.number
        return [
            segment(segmentID=number, collectionID=number, partitionID=_ALL_PARTITIONS, num_rows=rows, state=state)
        ]

    def stored_segments(request: Request) -> object:
        infos = segments(request, milvus_pb2.PersistentSegmentInfo, "Flushed")
        states = request.message.states
        if states and common_pb2.SegmentState.Value("Flushed") not in states:
            infos = []
        return milvus_pb2.GetPersistentSegmentInfoResponse(infos=infos)

    def loaded_segments(request: Request) -> object:
        loaded = get(request, request.message.collectionName).load_state is LoadState.LOADED
        infos = segments(request, milvus_pb2.QuerySegmentInfo, "Sealed") if loaded else []
        return milvus_pb2.GetQuerySegmentInfoResponse(infos=infos)

    def reading(name: str, handler: Callable[[Request], object], action: str) -> GrpcMethod:
        return grpc.method(name, handler, action=action, role=Role.READER)

    return (
        grpc.method("Flush", flush, action="collection.flush", role=Role.WRITER),
        reading("GetFlushState", flush_state, "collection.get_flush_state"),
        grpc.method("FlushAll", flush_all, action="database.flush", role=Role.WRITER),
        reading("GetFlushAllState", flush_all_state, "database.get_flush_state"),
        grpc.method("ManualCompaction", compact, action="collection.compact", role=Role.WRITER),
        reading("GetCompactionState", compaction_state, "collection.get_compaction_state"),
        reading("GetCompactionStateWithPlans", compaction_plans, "collection.get_compaction_state"),
        reading("GetReplicas", replicas, "collection.get_replicas"),
        reading("GetPersistentSegmentInfo", stored_segments, "segment.describe"),
        reading("GetQuerySegmentInfo", loaded_segments, "segment.describe"),
    )

"""Partitions: create, drop, has, list, statistics."""

from __future__ import annotations

from penstock.collections.collections import CollectionService
from penstock.collections.partitions import PartitionService
from penstock.domain.access import Role
from penstock.domain.collections import Collection, LoadState, Partition
from penstock.wire.milvus.properties import key_values
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.collections import LOADED_PERCENT, qualified_name
from penstock.wire.milvus_grpc.dialect import Handler, MilvusGrpc, Request
from penstock.wire.milvus_grpc.stubs import milvus_pb2
from penstock.wire.milvus_grpc.times import hybrid_timestamp, millis


def methods(collections: CollectionService, partitions: PartitionService, grpc: MilvusGrpc) -> tuple[GrpcMethod, ...]:
    def collection_of(request: Request) -> Collection:
        return collections.get(*qualified_name(request))

    def create(request: Request) -> object:
        partitions.create(collection_of(request), request.message.partition_name)
        return None

    def drop(request: Request) -> object:
        partitions.drop(collection_of(request), request.message.partition_name)
        return None

    def has(request: Request) -> object:
        value = partitions.has(collection_of(request), request.message.partition_name)
        return milvus_pb2.BoolResponse(value=value)

    def show(request: Request) -> object:
        collection = collection_of(request)
        shown = partitions.list(collection)
        only_loaded = request.message.type == milvus_pb2.ShowType.Value("InMemory")
        if only_loaded:
            loaded = partitions.load_status(collection, request.message.partition_names).state is LoadState.LOADED
            names = set(request.message.partition_names) or {partition.name for partition in shown}
            shown = [partition for partition in shown if loaded and partition.name in names]
        return milvus_pb2.ShowPartitionsResponse(
            partition_names=[partition.name for partition in shown],
            partitionIDs=[_wire_id(collection, partition) for partition in shown],
            # The catalog has no times of partitions; none is older than its collection.
            created_timestamps=[hybrid_timestamp(collection.created_at) for _ in shown],
            created_utc_timestamps=[millis(collection.created_at) for _ in shown],
            inMemory_percentages=[LOADED_PERCENT for _ in shown] if only_loaded else [],
        )

    def statistics(request: Request) -> object:
        rows = partitions.count(collection_of(request), request.message.partition_name)
        return milvus_pb2.GetPartitionStatisticsResponse(stats=key_values({"row_count": str(rows)}))

    def method(name: str, handler: Handler, action: str, role: Role = Role.READER) -> GrpcMethod:
        return grpc.method(name, handler, action=f"partition.{action}", role=role)

    return (
        method("CreatePartition", create, "create", Role.WRITER),
        method("DropPartition", drop, "drop", Role.WRITER),
        method("HasPartition", has, "has"),
        method("ShowPartitions", show, "list"),
        method("GetPartitionStatistics", statistics, "get_stats"),
    )


def _wire_id(collection: Collection, partition: Partition) -> int:
    """A partition's id on the wire: not zero, and unlike those of other collections."""
    return collection.number + 1 + partition.number

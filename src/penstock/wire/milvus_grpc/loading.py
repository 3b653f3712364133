"""Load states of collections and partitions. A load is done when its call is answered."""

from __future__ import annotations

from penstock.collections.collections import CollectionService
from penstock.collections.partitions import PartitionService
from penstock.domain.access import Role
from penstock.domain.collections import LoadState
from penstock.errors import CollectionNotFound, CollectionNotLoaded
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.collections import qualified_name
from penstock.wire.milvus_grpc.dialect import MilvusGrpc, Request
from penstock.wire.milvus_grpc.stubs import milvus_pb2

_LOAD_STATES = {
    LoadState.LOADED: "LoadStateLoaded",
    LoadState.NEVER: "LoadStateNotLoad",
    LoadState.RELEASED: "LoadStateNotLoad",
}


def methods(collections: CollectionService, partitions: PartitionService, grpc: MilvusGrpc) -> tuple[GrpcMethod, ...]:
    def load(request: Request) -> object:
        if request.message.refresh:
            collections.refresh_load(*qualified_name(request))
        else:
            collections.load(*qualified_name(request))
        return None

    def release(request: Request) -> object:
        collections.release(*qualified_name(request))
        return None

    def load_partitions(request: Request) -> object:
        partitions.load(collections.get(*qualified_name(request)), request.message.partition_names)
        return None

    def release_partitions(request: Request) -> object:
        partitions.release(collections.get(*qualified_name(request)), request.message.partition_names)
        return None

    def load_state(request: Request) -> object:
        try:
            collection = collections.get(*qualified_name(request))
        except CollectionNotFound:
            # A state in Milvus, not an error.
            return milvus_pb2.GetLoadStateResponse(state="LoadStateNotExist")
        status = partitions.load_status(collection, request.message.partition_names)
        return milvus_pb2.GetLoadStateResponse(state=_LOAD_STATES[status.state])

    def loading_progress(request: Request) -> object:
        collection = collections.get(*qualified_name(request))
        status = partitions.load_status(collection, request.message.partition_names)
        if status.state is not LoadState.LOADED:
            raise CollectionNotLoaded(
                f"collection not loaded[collection={collection.number}]", collection=collection.name
            )
        return milvus_pb2.GetLoadingProgressResponse(progress=status.progress, refresh_progress=status.progress)

    return (
        grpc.method("LoadCollection", load, action="collection.load", role=Role.WRITER),
        grpc.method("ReleaseCollection", release, action="collection.release", role=Role.WRITER),
        grpc.method("LoadPartitions", load_partitions, action="partition.load", role=Role.WRITER),
        grpc.method("ReleasePartitions", release_partitions, action="partition.release", role=Role.WRITER),
        grpc.method("GetLoadState", load_state, action="collection.get_load_state", role=Role.READER),
        grpc.method("GetLoadingProgress", loading_progress, action="collection.get_load_progress", role=Role.READER),
    )

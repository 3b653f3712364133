"""Partitions over gRPC: what the lists of them have."""

from __future__ import annotations

import grpc

from tests.support.data_planes import DataPlane
from tests.support.grpc import call


def test_partitions_that_are_loaded(plane: DataPlane, channel: grpc.Channel) -> None:
    name = plane.quick()
    for partition in ("early", "late"):
        plane.call("partitions/create", collectionName=name, partitionName=partition)

    def loaded(*names: str) -> list[tuple[str, int]]:
        shown = call(channel, "ShowPartitions", collection_name=name, partition_names=names, type="InMemory")
        return list(zip(shown.partition_names, shown.inMemory_percentages, strict=True))

    assert loaded() == [("_default", 100), ("early", 100), ("late", 100)]
    assert loaded("late") == [("late", 100)]
    missing = call(channel, "ShowPartitions", collection_name=name, partition_names=["nope"], type="InMemory").status
    assert (missing.code, missing.reason) == (200, "partition not found[partition=nope]")
    plane.call("collections/release", collectionName=name)
    assert loaded() == []
    everything = call(channel, "ShowPartitions", collection_name=name)
    assert list(everything.partition_names) == ["_default", "early", "late"]
    assert list(everything.inMemory_percentages) == []

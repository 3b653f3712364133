"""Flush, compaction, replicas and segments: there is never work left to wait for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from pymilvus import MilvusClient
from pymilvus.client.types import SegmentState

from penstock.domain.collections import CollectionSettings
from penstock.server.services import Services
from penstock.wire.milvus_grpc.stubs import common_pb2
from tests.support.data_planes import DataPlane
from tests.support.grpc import call
from tests.support.grpc_methods import answer
from tests.support.http import make_services
from tests.support.schemas import KEY_AND_VECTOR


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with make_services(tmp_path_factory.mktemp("maintenance")) as services:
        services.collections.create("in01-local", "default", "docs", KEY_AND_VECTOR, CollectionSettings())
        yield services


def test_a_flush_is_done_when_it_is_called(docs: Services) -> None:
    flushed = answer(docs, "Flush", collection_names=["docs", "docs"])
    assert list(flushed.coll_segIDs["docs"].data) == []
    assert flushed.coll_flush_ts["docs"] >> 18 >= flushed.coll_seal_times["docs"] * 1000 > 0
    state = {"flush_ts": flushed.coll_flush_ts["docs"], "collection_name": "docs"}
    assert answer(docs, "GetFlushState", **state).flushed
    assert answer(docs, "GetFlushState", segmentIDs=[1]).flushed
    everything = answer(docs, "FlushAll").flush_all_ts
    assert answer(docs, "GetFlushAllState", flush_all_ts=everything).flushed


def test_a_compaction_is_completed(docs: Services) -> None:
    number = answer(docs, "DescribeCollection", collection_name="docs").collectionID
    for named in ({"collection_name": "docs"}, {"collectionID": number}):
        compaction = answer(docs, "ManualCompaction", **named)
        assert compaction.compactionID > 0
        for method in ("GetCompactionState", "GetCompactionStateWithPlans"):
            state = answer(docs, method, compactionID=compaction.compactionID).state
            assert state == common_pb2.CompactionState.Value("Completed")


def test_clustering_compaction_is_refused(docs: Services) -> None:
    status = answer(docs, "ManualCompaction", collection_name="docs", majorCompaction=True).status
    assert status.code == 1100
    assert status.reason.startswith("clustering compaction of the collection docs is not supported by this server")


def test_a_loaded_collection_has_one_replica(docs: Services) -> None:
    assert answer(docs, "GetReplicas", collection_name="docs").status.code == 101
    answer(docs, "CreateIndex", collection_name="docs", field_name="vector")
    answer(docs, "LoadCollection", collection_name="docs")
    (replica,) = answer(docs, "GetReplicas", collection_name="docs").replicas
    assert replica.collectionID == answer(docs, "DescribeCollection", collection_name="docs").collectionID
    answer(docs, "ReleaseCollection", collection_name="docs")


def test_a_collection_without_rows_has_no_segments(docs: Services) -> None:
    for method in ("GetPersistentSegmentInfo", "GetQuerySegmentInfo"):
        assert list(answer(docs, method, collectionName="docs").infos) == []


def test_segments_are_selected_by_state(plane: DataPlane, client: MilvusClient) -> None:
    name = plane.quick()
    plane.put(name, [{"id": 1, "vector": [1, 2]}])
    assert [segment.num_rows for segment in client.list_persistent_segments(name)] == [1]
    flushed, dropped = [SegmentState.Flushed, SegmentState.Dropped], [SegmentState.Dropped]
    assert [segment.num_rows for segment in client.list_persistent_segments(name, states=flushed)] == [1]
    assert client.list_persistent_segments(name, states=dropped) == []


def test_segments_of_a_database_that_the_request_names(plane: DataPlane, channel: grpc.Channel) -> None:
    """As the Java client names it; its field has another name than in other requests."""
    sales, name = plane.name("db"), plane.name()
    plane.call("databases/create", dbName=sales)
    plane.call("collections/create", dbName=sales, collectionName=name, dimension=2)
    plane.put(name, [{"id": 1, "vector": [1, 2]}], database=sales)
    for method in ("GetPersistentSegmentInfo", "GetQuerySegmentInfo"):
        segments = call(channel, method, dbName=sales, collectionName=name).infos
        assert [segment.num_rows for segment in segments] == [1]


def test_a_flush_of_a_missing_database(docs: Services) -> None:
    status = answer(docs, "FlushAll", database="nope").status
    assert (status.code, status.reason) == (800, "database not found[database=nope]")


def test_a_collection_is_described_by_its_id(docs: Services) -> None:
    named = answer(docs, "DescribeCollection", collection_name="docs")
    assert answer(docs, "DescribeCollection", collectionID=named.collectionID).schema == named.schema
    missing = answer(docs, "DescribeCollection", collectionID=77).status
    assert (missing.code, missing.reason) == (100, "collection not found[database=default][collection=77]")
    refused = answer(docs, "BatchDescribeCollection", collectionID=[named.collectionID]).status
    assert refused.reason.startswith("collectionID of BatchDescribeCollection is not supported by this server")


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("GetCompactionStateWithPlans", {"collection_name": "nope"}),
        ("Flush", {"collection_names": ["docs", "nope"]}),
        ("GetFlushState", {"collection_name": "nope"}),
        ("ManualCompaction", {"collection_name": "nope"}),
        ("ManualCompaction", {"collectionID": 77}),
        ("GetReplicas", {"collection_name": "nope"}),
        ("GetPersistentSegmentInfo", {"collectionName": "nope"}),
        ("GetQuerySegmentInfo", {"collectionName": "nope"}),
    ],
)
def test_a_missing_collection(docs: Services, method: str, fields: dict[str, Any]) -> None:
    response = answer(docs, method, **fields)
    assert response.status.code == 100
    assert response.status.reason.startswith("collection not found[database=default][collection=")


def test_collections_are_described_together_each_with_its_status(docs: Services) -> None:
    responses = answer(docs, "BatchDescribeCollection", collection_name=["docs", "nope"]).responses
    assert [response.status.code for response in responses] == [0, 100]
    assert responses[0].schema == answer(docs, "DescribeCollection", collection_name="docs").schema
    assert responses[1].status.reason == "can't find collection[database=default][collection=nope]"
    status = answer(docs, "BatchDescribeCollection", collection_name=["docs"] * 1001).status
    assert status.reason.startswith("1001 collections in one call, at most 1000 are described")

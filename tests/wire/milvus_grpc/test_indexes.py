"""Indexes over gRPC: what clients send to create one, and what they read of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from penstock.collections.index_requests import CreateIndex
from penstock.domain.collections import CollectionSettings
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import InvalidParameter
from penstock.server.services import Services
from penstock.wire.milvus_grpc.indexes import index_request
from penstock.wire.milvus_grpc.stubs import common_pb2, milvus_pb2
from tests.support.grpc_methods import answer
from tests.support.http import make_services

SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="size", type=DataType.INT32),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=4),
    )
)
FINISHED = common_pb2.IndexState.Value("Finished")


@pytest.fixture
def docs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with make_services(tmp_path_factory.mktemp("indexes")) as services:
        services.collections.create("in01-local", "default", "docs", SCHEMA, CollectionSettings())
        yield services


def pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def create(services: Services, field: str, name: str = "", **params: str) -> Any:
    return answer(
        services,
        "CreateIndex",
        collection_name="docs",
        field_name=field,
        index_name=name,
        extra_params=pairs(params),
    )


def test_parameters_stand_in_a_json_object_or_beside_it() -> None:
    extra = {"index_type": "IVF_FLAT", "metric_type": "L2", "params": '{"nlist": 128, "warmup": "sync"}'}
    message = milvus_pb2.CreateIndexRequest(
        field_name="vector", index_name="ann", extra_params=pairs(extra | {"mmap.enabled": "true"})
    )
    assert index_request(message) == CreateIndex(
        field_name="vector",
        index_name="ann",
        index_type="IVF_FLAT",
        metric="L2",
        params={"nlist": 128, "warmup": "sync", "mmap.enabled": "true"},
    )


@pytest.mark.parametrize("text", ["{", "[1]", "null"])
def test_params_that_are_no_object(text: str) -> None:
    with pytest.raises(InvalidParameter, match="params of an index should be a JSON object"):
        index_request(milvus_pb2.CreateIndexRequest(extra_params=pairs({"params": text})))


def test_an_index_is_described_by_name_by_field_or_with_all_others(docs: Services) -> None:
    assert create(docs, "vector", "ann", index_type="HNSW", metric_type="IP", params='{"M":16}').code == 0
    assert create(docs, "size").code == 0
    described = {
        name: answer(docs, "DescribeIndex", collection_name="docs", **selection).index_descriptions
        for name, selection in {
            "all": {},
            "name": {"index_name": "ann"},
            "field": {"field_name": "size"},
            "both": {"field_name": "size", "index_name": "size"},
        }.items()
    }
    names = {selection: [index.index_name for index in indexes] for selection, indexes in described.items()}
    assert names == {"all": ["ann", "size"], "name": ["ann"], "field": ["size"], "both": ["size"]}
    ann, size = described["all"]
    assert {pair.key: pair.value for pair in ann.params} == {
        "index_type": "HNSW",
        "metric_type": "IP",
        "params": '{"M":16}',
    }
    assert {pair.key: pair.value for pair in size.params} == {"index_type": "AUTOINDEX"}
    assert (ann.field_name, ann.state, ann.total_rows, ann.indexed_rows, ann.pending_index_rows) == (
        "vector",
        FINISHED,
        0,
        0,
        0,
    )
    assert ann.indexID != size.indexID
    statistics = answer(docs, "GetIndexStatistics", collection_name="docs", index_name="ann")
    assert list(statistics.index_descriptions) == [ann]


def test_without_an_index_type_it_is_autoindex(docs: Services) -> None:
    assert create(docs, "vector", metric_type="COSINE").code == 0
    (index,) = answer(docs, "DescribeIndex", collection_name="docs").index_descriptions
    assert index.index_name == "vector"
    assert {pair.key: pair.value for pair in index.params} == {"index_type": "AUTOINDEX", "metric_type": "COSINE"}


def test_the_same_index_again_is_a_success_and_another_one_is_refused(docs: Services) -> None:
    assert create(docs, "vector", metric_type="L2").code == 0
    assert create(docs, "vector", metric_type="L2").code == 0
    refused = create(docs, "vector", metric_type="IP")
    assert (refused.code, refused.reason) == (
        1100,
        "at most one distinct index is allowed per field: invalid parameter",
    )


def test_a_wrong_index_has_milvuss_number(docs: Services) -> None:
    assert create(docs, "nope").reason.startswith("cannot create index on non-exist field: nope")
    assert create(docs, "vector", index_type="TRIE").code == 1100
    assert create(docs, "vector", metric_type="BM25").code == 1100


def test_names_of_indexes_have_the_rule_of_milvus(docs: Services) -> None:
    refused = create(docs, "vector", name="1-2")
    assert refused.code == 1100
    assert refused.reason.startswith("Invalid index name: 1-2. the first character of a index name must be an")
    assert create(docs, "vector", name="_ann_1").code == 0


@pytest.mark.parametrize("method", ["DescribeIndex", "GetIndexStatistics", "GetIndexState", "GetIndexBuildProgress"])
def test_a_missing_index_is_what_clients_look_for(docs: Services, method: str) -> None:
    for selection, text in (({}, "collection=docs"), ({"index_name": "ann"}, "indexName=ann")):
        status = answer(docs, method, collection_name="docs", **selection).status
        assert (status.code, status.error_code) == (700, common_pb2.ErrorCode.Value("IndexNotExist"))
        assert status.reason == f"index not found[{text}]"


def test_state_and_progress_are_those_of_one_index(docs: Services) -> None:
    create(docs, "vector")
    assert answer(docs, "GetIndexState", collection_name="docs").state == FINISHED
    assert answer(docs, "GetIndexBuildProgress", collection_name="docs", index_name="vector").total_rows == 0
    create(docs, "size")
    several = answer(docs, "GetIndexState", collection_name="docs").status
    assert several.reason.startswith("the collection docs has several indexes, name one of them: vector, size")
    assert answer(docs, "GetIndexState", collection_name="docs", field_name="size").state == FINISHED


def test_an_index_is_dropped_and_a_missing_one_is_fine(docs: Services) -> None:
    create(docs, "vector")
    create(docs, "size")
    assert answer(docs, "DropIndex", collection_name="docs", index_name="nope").code == 0
    assert answer(docs, "DropIndex", collection_name="docs", field_name="size").code == 0
    (index,) = answer(docs, "DescribeIndex", collection_name="docs").index_descriptions
    assert index.index_name == "vector"
    answer(docs, "LoadCollection", collection_name="docs")
    refused = answer(docs, "DropIndex", collection_name="docs", index_name="vector")
    assert (refused.code, "cannot be dropped on loaded collection" in refused.reason) == (1100, True)

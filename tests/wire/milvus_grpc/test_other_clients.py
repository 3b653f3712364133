"""Requests as the clients for Java (2.6) and Go (2.6) make them, in ``golden``, one after the other.

They were composed from what the sources of these clients put into each message, not recorded. ``COLLECTION`` stands
for a collection's name, 4711 for its number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import text_format

from penstock.wire.milvus_grpc.stubs import SERVICE, message_types
from tests.support.data_planes import DataPlane
from tests.support.grpc import call

GOLDEN = Path(__file__).with_name("golden")
VECTOR = {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}}
WORDS = {"fieldName": "words", "dataType": "SparseFloatVector"}
INDEXES = [
    {"fieldName": "vector", "indexName": "vector", "indexType": "AUTOINDEX", "metricType": "L2"},
    {"fieldName": "words", "indexName": "words", "indexType": "AUTOINDEX", "metricType": "IP"},
]

EXPECTED: dict[str, dict[str, Any]] = {
    "java": {
        "01_Connect": "ok",
        "02_CreateCollection": "ok",
        "03_CreateIndex": "ok",
        "04_DropIndex": "ok",
        "05_CreateIndex": "ok",
        "06_DescribeIndex": [
            {"index_type": "HNSW", "metric_type": "L2", "params": '{"M":"8","efConstruction":"64"}'}
        ],
        "07_LoadCollection": "ok",
        "08_Query": [1, 2],
        "09_Search": [1, 2],
        "10_HybridSearch": [1, 8],
        "11_Search": [1],
        "12_Search": [1, 2, 3, 4],
        "13_Query": [3],
        "14_Query": [5, 6, 7],
    },
    "go": {
        "01_Connect": "ok",
        "02_CreateCollection": "ok",
        "03_CreateIndex": "ok",
        "04_DropIndex": "ok",
        "05_CreateIndex": "ok",
        "06_DropIndex": "ok",
        "07_CreateIndex": "ok",
        "08_LoadCollection": "ok",
        "09_Search": [1, 2],
        "10_Search": [4, 3],
        "11_HybridSearch": [1, 8],
        "12_Search": [1],
        "13_Search": [1, 2, 3, 4],
        "14_Query": [2, 3],
        "15_Query": [5, 6, 7],
    },
}
"""Keys found, the description of an index, or that the call succeeded; else the error's text."""


@pytest.mark.parametrize("client", ["java", "go"])
def test_requests_of_other_clients(plane: DataPlane, channel: grpc.Channel, client: str) -> None:
    name = plane.collection(VECTOR, WORDS, dynamic=True, indexParams=INDEXES)
    rows = [{"id": i, "vector": [i, 0], "words": {"1": i}, "color": f"c{i}"} for i in range(1, 13)]
    plane.put(name, rows)
    call(channel, "ReleaseCollection", collection_name=name)
    number = call(channel, "DescribeCollection", collection_name=name).collectionID

    answers = {file.stem: answered(channel, file, name, number) for file in sorted((GOLDEN / client).glob("*.txtpb"))}

    assert answers == EXPECTED[client]


def answered(channel: grpc.Channel, file: Path, name: str, number: int) -> Any:
    method = file.stem.partition("_")[2]
    request_type, response_type = message_types(method)
    text = file.read_text().replace("COLLECTION", name).replace("4711", str(number))
    rpc: Any = channel.unary_unary(
        f"/{SERVICE}/{method}",
        request_serializer=request_type.SerializeToString,
        response_deserializer=response_type.FromString,
    )
    return summary(method, rpc(text_format.Parse(text, request_type()), timeout=30))


def summary(method: str, answer: Any) -> Any:
    status = answer if answer.DESCRIPTOR.name == "Status" else answer.status
    if status.code:
        return status.reason
    if method in ("Search", "HybridSearch"):
        return list(answer.results.ids.int_id.data)
    if method == "Query":
        (ids,) = (field for field in answer.fields_data if field.field_name == "id")
        return list(ids.scalars.long_data.data)
    if method == "DescribeIndex":
        return [{pair.key: pair.value for pair in index.params} for index in answer.index_descriptions]
    return "ok"

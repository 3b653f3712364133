"""Databases, collections, partitions and rows: Milvus's wire in, plain values out."""

from __future__ import annotations

import base64
import inspect
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import penstock
from penstock.sdk import collections, schema
from penstock.sdk.errors import InvalidResponse, NotFound
from penstock.sdk.rows import decode_row, encode_vectors
from penstock.sdk.schema import CollectionInfo, collection_from_wire
from tests.sdk.recording_server import RecordingServer

V2 = "/v2/vectordb"


def field(name: str, kind: str, dim: int | None = None, **more: Any) -> dict[str, Any]:
    params = [{"key": "dim", "value": str(dim)}] if dim else []
    return {"name": name, "type": kind, "primaryKey": False, "nullable": False, "params": params, **more}


DESCRIPTION: dict[str, Any] = {
    "collectionName": "docs",
    "collectionID": 449700000000000001,
    "autoId": False,
    "enableDynamicField": True,
    "load": "LoadStateLoaded",
    "partitionsNum": 1,
    "aliases": ["d"],
    "indexes": [{"fieldName": "v", "indexName": "v_idx", "metricType": "COSINE"}],
    "fields": [
        field("pk", "Int64", primaryKey=True, autoId=False),
        field("tag", "VarChar", nullable=True, defaultValue={"Data": {"StringData": "x"}}),
        field("j", "JSON"),
        field("list", "Array", elementType="Int64"),
        field("v", "FloatVector", 2),
        field("half", "Float16Vector", 2),
        field("bhalf", "BFloat16Vector", 2),
        field("small", "Int8Vector", 2),
        field("bits", "BinaryVector", 16),
        field("sparse", "SparseFloatVector"),
    ],
    "structFields": [
        {
            "name": "chunks",
            "id": 110,
            "type": "ArrayOfStruct",
            "nullable": True,
            "params": [{"key": "max_capacity", "value": "4"}],
            "fields": [
                field("n", "Array", elementType="Int64"),
                field("half", "ArrayOfVector", 2, elementType="Float16Vector"),
                field("bits", "ArrayOfVector", 8, elementType="BinaryVector"),
            ],
        }
    ],
}
ROW: dict[str, Any] = {
    "pk": "9223372036854775807",
    "tag": '{"not": "json"}',
    "j": '{"a": [1, null], "big": 9007199254740993}',
    "list": {"Data": {"LongData": {"data": [1, 2]}}},
    "v": [0.5, -1],
    "half": base64.b64encode(struct.pack("<2e", 0.5, -2.25)).decode(),
    "bhalf": base64.b64encode(b"\x80\x3f\x10\xc0").decode(),
    "small": base64.b64encode(b"\x80\x7f").decode(),
    "bits": base64.b64encode(b"\xaa\x01").decode(),
    "sparse": {"3": 0.5, "100": 1},
    "chunks": [{"n": 7, "half": base64.b64encode(struct.pack("<2e", 0.5, -2.25)).decode(), "bits": "qg=="}],
    "dyn": "17",
}
PLAIN: dict[str, Any] = {
    "pk": 2**63 - 1,
    "tag": '{"not": "json"}',
    "j": {"a": [1, None], "big": 2**53 + 1},
    "list": [1, 2],
    "v": [0.5, -1],
    "half": [0.5, -2.25],
    "bhalf": [1.0, -2.25],
    "small": [-128, 127],
    "bits": b"\xaa\x01",
    "sparse": {3: 0.5, 100: 1.0},
    "chunks": [{"n": 7, "half": [0.5, -2.25], "bits": b"\xaa"}],
    "dyn": "17",
}


@pytest.fixture
def docs() -> CollectionInfo:
    return collection_from_wire(DESCRIPTION)


@pytest.fixture
def client(server: RecordingServer) -> penstock.Client:
    server.answer(f"{V2}/collections/describe", {"code": 0, "message": "", "data": DESCRIPTION})
    return penstock.Client(server.url)


def test_every_type_is_decoded(docs: CollectionInfo) -> None:
    assert decode_row(ROW, docs) == PLAIN


def test_what_other_releases_send_is_decoded_too(docs: CollectionInfo) -> None:
    row = {
        "pk": 1,
        "j": {"a": 1},
        "list": [1, 2],
        "half": [0.5, 1],
        "bhalf": [0.5, 1],
        "small": [1, -1],
        "bits": [170, 1],
        "sparse": '{"1": 0.5}',
    }
    assert decode_row(row, docs) == {
        **row,
        "half": [0.5, 1.0],
        "bhalf": [0.5, 1.0],
        "bits": b"\xaa\x01",
        "sparse": {1: 0.5},
    }


def test_nulls_and_empty_arrays(docs: CollectionInfo) -> None:
    assert decode_row(dict.fromkeys(ROW), docs) == dict.fromkeys(ROW)
    assert decode_row({"list": {"Data": {"LongData": {}}}}, docs) == {"list": []}
    assert decode_row({"list": {"Data": {}}}, docs) == {"list": []}


def test_query(server: RecordingServer, client: penstock.Client) -> None:
    server.answer(f"{V2}/entities/query", {"code": 0, "cost": 0, "data": [ROW]})

    rows = client.query(
        "docs", "pk > {low}", output_fields=["*"], limit=5, filter_params={"low": 3}, partitions=["p"]
    )

    assert rows == [PLAIN]
    assert server.last.headers["Accept-Type-Allow-Int64"] == "true"
    assert server.last.body == {
        "collectionName": "docs",
        "dbName": "default",
        "filter": "pk > {low}",
        "outputFields": ["*"],
        "limit": 5,
        "partitionNames": ["p"],
        "exprParams": {"low": 3},
    }


def test_a_known_schema_saves_a_call(server: RecordingServer, client: penstock.Client, docs: CollectionInfo) -> None:
    server.answer(f"{V2}/entities/get", {"code": 0, "data": [ROW]})

    assert client.get("docs", 2**63 - 1, schema=docs) == [PLAIN]
    assert [request.path for request in server.requests] == [f"{V2}/entities/get"]
    assert server.last.body["id"] == [2**63 - 1]


@pytest.mark.parametrize("count", [3000, "3000"])
def test_count(server: RecordingServer, client: penstock.Client, count: Any) -> None:
    server.answer(f"{V2}/entities/query", {"code": 0, "data": [{"count(*)": count}]})
    assert client.count("docs", "pk > 3") == 3000
    assert server.last.body["outputFields"] == ["count(*)"]


def test_search_gives_the_hits_of_each_query(server: RecordingServer, client: penstock.Client) -> None:
    rows = [
        {"pk": "1", "distance": 0.9, "j": "{}"},
        {"pk": "2", "distance": 0.5, "j": "[]"},
        {"pk": "1", "distance": 1},
    ]
    server.answer(f"{V2}/entities/search", {"code": 0, "cost": 0, "topks": [2, 0, 1], "data": rows})

    vectors = np.array([[0, 1], [1, 0], [1, 1]], dtype=np.float32)
    first, second, third = client.search(
        "docs", vectors, field="v", output_fields=["j"], params={"ef": 8}, metric="IP"
    )

    assert [(hit.id, hit.distance, hit.fields) for hit in first] == [(1, 0.9, {"j": {}}), (2, 0.5, {"j": []})]
    assert second == []
    assert third[0].distance == 1.0
    assert server.last.body["data"] == [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    assert server.last.body["searchParams"] == {"params": {"ef": 8}, "metricType": "IP"}


def test_the_score_counts_where_a_field_is_named_distance(
    server: RecordingServer, client: penstock.Client, docs: CollectionInfo
) -> None:
    named = replace(docs, fields=(*docs.fields, schema.FieldInfo(name="distance", type="Int64")))
    server.answer(f"{V2}/entities/search", {"code": 0, "topks": [1], "data": [{"pk": "1", "distance": 0.75}]})
    ((hit,),) = client.search("docs", [[0, 1]], schema=named)
    assert (hit.id, hit.distance, hit.fields) == (1, 0.75, {})


def test_search_where_topks_are_missing(server: RecordingServer, client: penstock.Client) -> None:
    hit = {"pk": 1, "distance": 1}
    for rows, counts in (([], [0, 0]), ([hit] * 4, [2, 2])):
        server.answer(f"{V2}/entities/search", {"code": 0, "data": rows})
        assert [len(hits) for hits in client.search("docs", [[0, 1], [1, 0]])] == counts
    server.answer(f"{V2}/entities/search", {"code": 0, "data": [hit] * 3})
    with pytest.raises(InvalidResponse, match="no topks"):
        client.search("docs", [[0, 1], [1, 0]])


def test_query_vectors_of_every_kind() -> None:
    assert encode_vectors([b"\xaa\x01"]) == ["qgE="]
    assert encode_vectors([{3: 0.5}]) == [{"3": 0.5}]
    assert encode_vectors([np.array([1, 2], dtype=np.int8), [np.float32(0.5), 1]]) == [[1, 2], [0.5, 1]]
    assert encode_vectors(["a text"]) == ["a text"]
    for wrong in ([0.1, 0.2], np.zeros(3), "text", b"\0"):
        with pytest.raises(ValueError, match="give a list of query vectors"):
            encode_vectors(wrong)


def test_collections(server: RecordingServer, client: penstock.Client) -> None:
    for action, data in (
        ("create", {}),
        ("list", ["docs"]),
        ("has", {"has": True}),
        ("get_stats", {"rowCount": 3000}),
        ("drop", {}),
    ):
        server.answer(f"{V2}/collections/{action}", {"code": 0, "data": data})

    client.collections.create("docs", dimension=768, metric="L2")
    assert server.last.body == {
        "collectionName": "docs",
        "dbName": "default",
        "dimension": 768,
        "metricType": "L2",
    }
    fields = {"fields": [{"fieldName": "pk", "dataType": "Int64", "isPrimary": True}]}
    client.collections.create("docs", schema=fields, indexes=[{"fieldName": "v"}], description="d")
    assert server.last.body["schema"] == fields
    assert server.last.body["indexParams"] == [{"fieldName": "v"}]
    with pytest.raises(ValueError, match="either a dimension"):
        client.collections.create("docs")

    assert client.collections.list() == ("docs",)
    assert client.collections.has("docs")
    assert client.collections.stats("docs") == schema.CollectionStats(rows=3000)
    client.collections.drop("docs")

    docs = client.collections.describe("docs")
    assert docs.primary.name == "pk"
    assert docs.fields[1].default == "x"
    assert docs.fields[4].dim == 2
    assert docs.indexes == (schema.IndexInfo(field="v", name="v_idx", metric="COSINE"),)
    assert (docs.id, docs.dynamic, docs.load_state) == ("449700000000000001", True, "LoadStateLoaded")


def test_databases_and_partitions(server: RecordingServer, client: penstock.Client) -> None:
    for path, data in (
        ("databases/create", {}),
        ("databases/list", ["default", "sales"]),
        ("databases/describe", {"dbName": "sales", "dbID": 4497, "properties": [{"key": "k", "value": "v"}]}),
        ("databases/drop", {}),
        ("partitions/create", {}),
        ("partitions/list", ["_default", "p"]),
        ("partitions/has", {"has": False}),
        ("partitions/get_stats", {"rowCount": 3}),
        ("partitions/drop", {}),
    ):
        server.answer(f"{V2}/{path}", {"code": 0, "data": data})

    client.databases.create("sales")
    assert client.databases.list() == ("default", "sales")
    assert client.databases.describe("sales") == schema.DatabaseInfo(name="sales", id="4497", properties={"k": "v"})
    client.databases.drop("sales")
    client.partitions.create("docs", "p")
    assert client.partitions.list("docs") == ("_default", "p")
    assert not client.partitions.has("docs", "p")
    assert client.partitions.stats("docs", "p") == schema.PartitionStats(rows=3)
    client.partitions.drop("docs", "p")
    assert server.last.body == {"collectionName": "docs", "partitionName": "p", "dbName": "default"}


def test_what_does_not_exist(server: RecordingServer) -> None:
    message = "can't find collection[database=default][collection=x]"
    server.answer(f"{V2}/collections/describe", {"code": 100, "message": message})
    with penstock.Client(server.url) as client, pytest.raises(NotFound, match="can't find collection"):
        client.query("x")


def test_exports() -> None:
    """Everything in ``__all__`` is there, and every public class of these modules is in ``__all__``."""
    for name in penstock.__all__:
        assert getattr(penstock, name) is not None
    for module in (collections, schema):
        classes = [
            name for name, each in inspect.getmembers(module, inspect.isclass) if each.__module__ == module.__name__
        ]
        assert set(classes) <= set(module.__all__)
    assert repr(penstock.Client("http://127.0.0.1:9", "key")) == "Client('http://127.0.0.1:9', database='default')"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        penstock.nothing  # noqa: B018

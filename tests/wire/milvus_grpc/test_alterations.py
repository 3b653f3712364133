"""Changes of collections, indexes and databases that exist, with pymilvus's client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from pymilvus import DataType, MilvusClient, MilvusException

from penstock.errors import InvalidParameter
from penstock.wire.milvus_grpc.schemas import added_field
from penstock.wire.milvus_grpc.stubs import common_pb2
from tests.support.data_planes import DataPlane
from tests.support.grpc import call
from tests.support.grpc_methods import answer
from tests.support.http import make_services

V = {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}}


def refusal(method: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[int, str]:
    with pytest.raises(MilvusException) as error:
        method(*args, **kwargs)
    return error.value.code, error.value.message


def test_rename_also_into_another_database(plane: DataPlane, client: MilvusClient) -> None:
    docs, texts, sales = plane.quick(), plane.name(), plane.name("db")
    plane.put(docs, [{"id": 1, "vector": [1, 2]}])
    client.rename_collection(docs, texts)
    assert [row["id"] for row in client.get(texts, [1], output_fields=["id"])] == [1]
    assert not client.has_collection(docs)
    client.create_database(sales)
    client.rename_collection(texts, texts, sales)
    assert plane.call("collections/list", dbName=sales) == [texts]
    assert refusal(client.rename_collection, "nope", "x") == (
        100,
        "collection not found[database=default][collection=nope]",
    )
    other, alias = plane.quick(), plane.name("alias")
    client.create_alias(other, alias)
    assert refusal(client.rename_collection, alias, "x") == (
        1100,
        f"unsupported use an alias to rename collection, alias:{alias}: invalid parameter",
    )


def test_properties_of_a_collection(plane: DataPlane, client: MilvusClient) -> None:
    docs = plane.quick()
    client.alter_collection_properties(docs, {"collection.ttl.seconds": 600, "timezone": "UTC"})
    assert client.describe_collection(docs)["properties"] == {"timezone": "UTC", "collection.ttl.seconds": "600"}
    client.drop_collection_properties(docs, ["timezone"])
    assert client.describe_collection(docs)["properties"] == {"collection.ttl.seconds": "600"}
    assert refusal(client.alter_collection_properties, docs, {"mmap.enabled": True}) == (
        104,
        f"can not alter mmap properties if collection loaded: collection already loaded[collection={docs}]",
    )
    code, text = refusal(client.alter_collection_properties, docs, {"collection.ttl.second": 600})
    assert (code, "did you mean" in text) == (1100, True)
    assert refusal(client.drop_collection_properties, docs, []) == (
        1100,
        "no properties or delete keys provided: invalid parameter",
    )


def test_limits_of_a_field(plane: DataPlane, client: MilvusClient) -> None:
    tag = {"fieldName": "tag", "dataType": "VarChar", "elementTypeParams": {"max_length": 4}}
    docs = plane.collection(V, tag)
    client.alter_collection_field(docs, "tag", {"max_length": 8})
    assert client.describe_collection(docs)["fields"][2]["params"] == {"max_length": 8}
    plane.put(docs, [{"id": 1, "v": [1, 2], "tag": "12345678"}])
    assert refusal(client.alter_collection_field, docs, "v", {"max_length": 8}) == (
        1100,
        "v can not modify the maxlength for non-string types: invalid parameter",
    )


def test_fields_are_added(plane: DataPlane, client: MilvusClient) -> None:
    docs = plane.quick(metricType="L2")
    plane.put(docs, [{"id": 1, "vector": [1, 0]}])
    before = client.describe_collection(docs)
    client.add_collection_field(docs, "size", DataType.INT64, nullable=True, default_value=7)
    client.add_collection_field(docs, "note", DataType.VARCHAR, desc="free text", nullable=True, max_length=8)
    client.add_collection_field(
        docs, "tags", DataType.ARRAY, element_type=DataType.INT8, max_capacity=2, nullable=True
    )
    client.add_collection_field(docs, "other", DataType.FLOAT_VECTOR, dim=2, nullable=True)
    described = client.describe_collection(docs)
    assert described["update_timestamp"] > before["update_timestamp"]
    size, note, tags, other = described["fields"][2:]
    assert (size["field_id"], size["name"], size["nullable"]) == (102, "size", True)
    assert (note["description"], note["params"]) == ("free text", {"max_length": 8})
    assert (tags["element_type"], other["params"]) == (DataType.INT8, {"dim": 2})
    plane.put(docs, [{"id": 2, "vector": [2, 0], "size": 1, "note": "x", "tags": [1], "other": [0, 1]}])
    rows = client.query(docs, "id > 0", output_fields=["size", "note", "tags", "other"])
    assert list(rows) == [
        {"id": 1, "size": 7, "note": None, "tags": None, "other": None},
        {"id": 2, "size": 1, "note": "x", "tags": [1], "other": [0.0, 1.0]},
    ]
    assert [row["id"] for row in client.query(docs, "size == 7 and note is null", output_fields=["id"])] == [1]
    ((hit,),) = client.search(docs, [[1.0, 0.0]], limit=1, anns_field="vector", output_fields=["size", "note"])
    assert hit["entity"] == {"size": 7, "note": None}
    params = client.prepare_index_params()
    params.add_index("other", metric_type="L2")
    client.create_index(docs, params)
    (hits,) = client.search(docs, [[0.0, 1.0]], limit=5, anns_field="other")
    assert [hit["id"] for hit in hits] == [2]
    assert refusal(client.add_collection_field, docs, "size", DataType.INT64, nullable=True) == (
        1100,
        "duplicated field name size found: invalid parameter",
    )
    assert refusal(client.add_collection_field, docs, "n", DataType.INT64) == (
        1100,
        (
            "added field must be nullable, please check it, field name = n; or give it a default value: "
            "invalid parameter"
        ),
    )


def test_a_field_that_is_no_message() -> None:
    with pytest.raises(InvalidParameter, match="the schema of the added field is not a FieldSchema message"):
        added_field(b"\xff")


def test_properties_of_an_index(plane: DataPlane, client: MilvusClient) -> None:
    docs = plane.quick()
    assert refusal(client.alter_index_properties, docs, "vector", {"mmap.enabled": True})[0] == 104
    client.release_collection(docs)
    client.alter_index_properties(docs, "vector", {"mmap.enabled": True})
    assert client.describe_index(docs, "vector")["mmap.enabled"] == "True"
    client.drop_index_properties(docs, "vector", ["mmap.enabled"])
    assert "mmap.enabled" not in client.describe_index(docs, "vector")
    assert refusal(client.drop_index_properties, docs, "nope", ["mmap.enabled"]) == (
        700,
        "index not found[indexName=nope]",
    )


def test_properties_of_a_database(plane: DataPlane, client: MilvusClient) -> None:
    sales = plane.name("db")
    client.create_database(sales)
    client.alter_database_properties(sales, {"database.replica.number": 2, "timezone": "UTC"})
    assert client.describe_database(sales) == {"name": sales, "database.replica.number": "2", "timezone": "UTC"}
    client.drop_database_properties(sales, ["timezone"])
    assert client.describe_database(sales) == {"name": sales, "database.replica.number": "2"}
    assert refusal(client.alter_database_properties, "nope", {"timezone": "UTC"}) == (
        800,
        "database not found[database=nope]",
    )


@pytest.mark.parametrize(
    ("method", "request_fields"),
    [
        ("AlterCollection", {"collection_name": "docs", "properties": [{"key": "timezone", "value": "UTC"}]}),
        ("AlterIndex", {"collection_name": "docs", "extra_params": [{"key": "timezone", "value": "UTC"}]}),
        ("AlterDatabase", {"db_name": "default", "properties": [{"key": "timezone", "value": "UTC"}]}),
    ],
)
def test_setting_and_deleting_are_two_calls(
    method: str, request_fields: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with make_services(tmp_path_factory.mktemp("both")) as services:
        status = answer(services, method, delete_keys=["mmap.enabled"], **request_fields)
    assert (status.code, status.error_code) == (1100, common_pb2.ErrorCode.Value("IllegalArgument"))
    assert status.reason == (
        f"{method} sets properties or deletes keys, not both in one call: sets timezone, deletes mmap.enabled: "
        "invalid parameter"
    )


def test_parameters_of_a_field_are_not_deleted(tmp_path_factory: pytest.TempPathFactory) -> None:
    with make_services(tmp_path_factory.mktemp("field")) as services:
        status = answer(
            services, "AlterCollectionField", collection_name="docs", field_name="tag", delete_keys=["warmup"]
        )
    assert status.reason.startswith("delete_keys of the field tag is not supported by this server"), status.reason


FIELD = {"name": "size", "data_type": "Int64", "nullable": True}


@pytest.mark.parametrize(
    ("action", "code", "text"),
    [
        ({"drop_request": {"field_name": "tag"}}, 10, "Dropping a field by AlterCollectionSchema is not served"),
        (
            {"drop_request": {"function_name": "bm25"}},
            10,
            "Dropping a function by AlterCollectionSchema is not served",
        ),
        (
            {"add_request": {"field_infos": [{"field_schema": FIELD}], "func_schema": [{"name": "bm25"}]}},
            10,
            "Adding a function by AlterCollectionSchema is not served",
        ),
        ({}, 1100, "AlterCollectionSchema adds one field in a call, but got 0"),
        ({"add_request": {"field_infos": [{"field_schema": FIELD}] * 2}}, 1100, "one field in a call, but got 2"),
        (
            {"add_request": {"field_infos": [{"field_schema": FIELD, "index_name": "i"}]}},
            1100,
            "an index with the added field size is not supported by this server: add the field, then call create",
        ),
        (
            {"add_request": {"field_infos": [{"field_schema": {**FIELD, "external_field": "c"}}]}},
            1100,
            "external_field of the field size is not supported by this server",
        ),
    ],
)
def test_of_a_schema_one_field_is_added(
    plane: DataPlane, channel: grpc.Channel, action: dict[str, Any], code: int, text: str
) -> None:
    docs = plane.quick()
    status = call(channel, "AlterCollectionSchema", collection_name=docs, action=action).alter_status
    assert (status.code, text in status.reason) == (code, True), status.reason


def test_a_field_of_pymilvus_3_is_added_by_one_call(plane: DataPlane, channel: grpc.Channel) -> None:
    docs = plane.quick()
    action = {"add_request": {"field_infos": [{"field_schema": FIELD}]}}
    assert call(channel, "AlterCollectionSchema", collection_name=docs, action=action).alter_status.code == 0
    described = plane.call("collections/describe", collectionName=docs)
    assert [field["name"] for field in described["fields"]] == ["id", "vector", "size"]


def test_a_client_reads_why_a_field_is_not_dropped(plane: DataPlane, client: MilvusClient) -> None:
    code, text = refusal(client.drop_collection_field, plane.quick(), "vector")
    assert (code, text) == (
        10,
        (
            "service unimplemented: Dropping a field by AlterCollectionSchema is not served by Penstock; create a "
            "new collection and import into it"
        ),
    )

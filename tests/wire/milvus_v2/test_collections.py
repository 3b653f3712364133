"""``/v2/vectordb/collections/…``: both forms of create, and what describe and the load calls tell."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.data_planes import DataPlane

PK = {"fieldName": "pk", "dataType": "Int64", "isPrimary": True}
V = {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}}


def shown(number: int, name: str, kind: str, **more: Any) -> dict[str, Any]:
    """A field as describe shows it."""
    flags = {"primaryKey": False, "partitionKey": False, "clusteringKey": False, "autoId": False, "nullable": False}
    return {"name": name, "id": number, "type": kind, **flags, "description": "", **more}


def described(plane: DataPlane, name: str) -> dict[str, Any]:
    """The description, without the collection's own number."""
    told = plane.call("collections/describe", collectionName=name)
    assert told.pop("collectionID") > 2**53
    assert isinstance(told, dict)
    return told


def schema(*fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"fields": [*fields], **more}


# Describe


def test_the_quick_form(plane: DataPlane) -> None:
    name = plane.quick(5)
    assert plane.reply("collections/describe", {"collectionName": name})["message"] == ""
    assert described(plane, name) == {
        "collectionName": name,
        "description": "",
        "autoId": False,
        "fields": [
            shown(100, "id", "Int64", primaryKey=True),
            shown(101, "vector", "FloatVector", params=[{"key": "dim", "value": "5"}]),
        ],
        "structFields": [],
        "functions": [],
        "aliases": [],
        "indexes": [{"fieldName": "vector", "indexName": "vector", "metricType": "COSINE"}],
        "load": "LoadStateLoaded",
        "shardsNum": 1,
        "partitionsNum": 1,
        "consistencyLevel": "Bounded",
        "enableDynamicField": True,
        "externalSource": "",
        "externalSpec": "",
        "properties": [],
    }


def test_the_schema_form(plane: DataPlane) -> None:
    name = plane.name()
    plane.call(
        "collections/create",
        collectionName=name,
        description="all about it",
        schema=schema(
            PK,
            {
                "fieldName": "tag",
                "dataType": "VarChar",
                "nullable": True,
                "defaultValue": "x",
                "elementTypeParams": {"max_length": "128", "mmap.enabled": True, "enable_match": False},
            },
            {
                "fieldName": "arr",
                "dataType": "Array",
                "elementDataType": "Int64",
                "elementTypeParams": {"max_capacity": 16},
            },
            V,
            autoId=False,
            enableDynamicField=True,
        ),
        indexParams=[
            {"fieldName": "v", "metricType": "L2", "indexType": "HNSW", "params": {"M": 16, "efConstruction": 200}}
        ],
        params={"shardsNum": 2, "consistencyLevel": "Strong", "ttlSeconds": 21000000, "mmap.enabled": True},
    )
    assert described(plane, name) == {
        "collectionName": name,
        "description": "all about it",
        "autoId": False,
        "fields": [
            shown(100, "pk", "Int64", primaryKey=True),
            shown(
                101,
                "tag",
                "VarChar",
                nullable=True,
                defaultValue={"Data": {"StringData": "x"}},
                params=[
                    {"key": "max_length", "value": "128"},
                    {"key": "mmap.enabled", "value": "true"},
                    {"key": "enable_match", "value": "false"},
                ],
            ),
            shown(102, "arr", "Array", elementType="Int64", params=[{"key": "max_capacity", "value": "16"}]),
            shown(103, "v", "FloatVector", params=[{"key": "dim", "value": "4"}]),
        ],
        "structFields": [],
        "functions": [],
        "aliases": [],
        "indexes": [{"fieldName": "v", "indexName": "v", "metricType": "L2"}],
        "load": "LoadStateLoaded",
        "shardsNum": 2,
        "partitionsNum": 1,
        "consistencyLevel": "Strong",
        "enableDynamicField": True,
        "externalSource": "",
        "externalSpec": "",
        "properties": [
            {"key": "mmap.enabled", "value": "true"},
            {"key": "collection.ttl.seconds", "value": "21000000"},
        ],
    }


def test_without_index_a_description_says_so_and_succeeds(plane: DataPlane) -> None:
    name = plane.collection(V)
    told = plane.reply("collections/describe", {"collectionName": name})
    assert (told["code"], told["message"]) == (0, f"index not found[collection={name}]")
    assert told["data"]["indexes"] == []
    assert told["data"]["load"] == "LoadStateNotLoad"


@pytest.mark.parametrize(
    ("kind", "value", "member"),
    [
        ("Bool", True, "BoolData"),
        ("Int8", 3, "IntData"),
        ("Int32", 3.0, "IntData"),
        ("Int64", 2**53 + 1, "LongData"),
        ("Float", 0.5, "FloatData"),
        ("Double", 2, "DoubleData"),
        ("VarChar", "é", "StringData"),
    ],
)
def test_default_values_are_a_union(plane: DataPlane, kind: str, value: Any, member: str) -> None:
    params = {"elementTypeParams": {"max_length": 4}} if kind == "VarChar" else {}
    name = plane.collection(V, {"fieldName": "d", "dataType": kind, "defaultValue": value, **params})
    assert described(plane, name)["fields"][2]["defaultValue"] == {"Data": {member: value}}


# The quick form's words


def test_the_quick_form_takes_names_types_and_a_metric(plane: DataPlane) -> None:
    name = plane.quick(
        8,
        metricType="L2",
        idType="VarChar",
        primaryFieldName="key",
        vectorFieldName="embedding",
        params={"max_length": 64, "enableDynamicField": "false"},
        consistencyLevel="Eventually",
        primaryField="ignored",
    )
    told = described(plane, name)
    assert [(each["name"], each["type"]) for each in told["fields"]] == [
        ("key", "VarChar"),
        ("embedding", "FloatVector"),
    ]
    assert told["fields"][0]["params"] == [{"key": "max_length", "value": "64"}]
    assert told["indexes"] == [{"fieldName": "embedding", "indexName": "embedding", "metricType": "L2"}]
    assert told["enableDynamicField"] is False
    assert told["consistencyLevel"] == "Eventually"


@pytest.mark.parametrize(
    ("kind", "dimension", "metric"),
    [
        ("FloatVector", 4, "COSINE"),
        ("Float16Vector", 4, "COSINE"),
        ("BFloat16Vector", 4, "COSINE"),
        ("Int8Vector", 4, "COSINE"),
        ("BinaryVector", 16, "HAMMING"),
        ("SparseFloatVector", None, "IP"),
    ],
)
def test_every_vector_type_has_a_metric_of_its_own(
    plane: DataPlane, kind: str, dimension: int | None, metric: str
) -> None:
    told = described(plane, plane.quick(dimension, vectorFieldType=kind, autoID=True))
    assert told["fields"][1]["type"] == kind
    assert told["indexes"][0]["metricType"] == metric
    assert told["autoId"] is told["fields"][0]["autoId"] is True
    assert told["load"] == "LoadStateLoaded"


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        (
            {},
            1100,
            "type: COSINE): invalid parameter[expected=collectionName & dimension][actual=collectionName]",
        ),
        (
            {"dimension": "5"},
            1801,
            "cannot unmarshal string into Go struct field CollectionReq.dimension of type int32",
        ),
        ({"dimension": 2.5}, 1801, "cannot unmarshal number into"),
        (
            {"dimension": 1},
            1100,
            "invalid dimension: 1 of field vector. float vector dimension should be in range 2 ~ 32768",
        ),
        ({"dimension": 4, "idType": "int"}, 1100, "idType can only be [Int64, VarChar], default: Int64: "),
        ({"dimension": 4, "idType": "VarChar"}, 1101, "type param(max_length) should be specified for the field(id)"),
        ({"dimension": 4, "vectorFieldType": "Floats"}, 1100, "vectorFieldType can only be ["),
        ({"dimension": 9, "vectorFieldType": "BinaryVector"}, 1100, "should be multiple of 8"),
        (
            {"dimension": 4, "consistencyLevel": "strong"},
            1100,
            "consistencyLevel can only be [Strong, Session, Bounded, Eventually, Customized], default: Bounded, err:",
        ),
        ({"dimension": 4, "primaryFieldName": "1"}, 1701, "Invalid field name: 1."),
        ({"dimension": 4, "params": {"shardsNum": 17}}, 1100, "maximum shards's number should be limited to 16"),
        ({"dimension": 4, "params": {"partitionsNum": 4}}, 1100, "only be specified with partition key field"),
        (
            {"dimension": 4, "params": {"ttlSeconds": 1}, "properties": {"ttl.seconds": 2}},
            1100,
            "collection TTL is specified multiple times: invalid parameter",
        ),
        (
            {"dimension": 4, "params": {"ttlSeconds": "soon"}},
            1100,
            "ttlSeconds in params should be a whole number, but got soon",
        ),
        ({"dimension": 4, "properties": {"collection.ttl.seconds": 1.5}}, 1100, "but got 1.5"),
    ],
)
def test_the_quick_form_refused(plane: DataPlane, body: dict[str, Any], code: int, text: str) -> None:
    name = plane.name()
    found, told = plane.error("collections/create", collectionName=name, **body)
    assert (found, text in told) == (code, True), told
    assert plane.call("collections/has", collectionName=name) == {"has": False}


@pytest.mark.parametrize(
    ("spelling", "dynamic"),
    [(True, True), (False, False), *((each, True) for each in ("1", "t", "T", "true", "TRUE", "True", 1))]
    + [(each, False) for each in ("0", "f", "F", "false", "FALSE", "False", 0)],
)
def test_spellings_of_a_boolean(plane: DataPlane, spelling: object, dynamic: bool) -> None:
    name = plane.quick(2, params={"enableDynamicField": spelling})
    assert described(plane, name)["enableDynamicField"] is dynamic


def test_the_quick_form_builds_the_index_that_it_names(plane: DataPlane) -> None:
    params = [{"fieldName": "vector", "indexName": "graph", "indexType": "HNSW", "metricType": "L2"}]
    name = plane.quick(2, indexParams=params)
    assert described(plane, name)["indexes"] == [{"fieldName": "vector", "indexName": "graph", "metricType": "L2"}]
    assert described(plane, name)["load"] == "LoadStateLoaded"


# The schema form refused

VARCHAR = {"fieldName": "s", "dataType": "VarChar"}
ARRAY = {"fieldName": "a", "dataType": "Array", "elementDataType": "Int8"}


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ([V], 1101, "primary key is not specified: missing parameter"),
        ([PK, {**PK, "fieldName": "b"}, V], 1101, "there are more than one primary key, field name = pk, b"),
        ([{**PK, "dataType": "Int32"}, V], 1101, "the data type of primary key should be Int64 or VarChar"),
        ([{**PK, "defaultValue": 3}, V], 1100, "primary field not support default_value: invalid parameter"),
        ([PK], 1100, "schema does not contain vector field: invalid parameter"),
        ([PK, V, V], 1100, "duplicated field name v found: invalid parameter"),
        ([PK, {**V, "fieldName": "v!"}], 1701, "Invalid field name: v!."),
        ([PK, {**V, "elementTypeParams": {}}], 1100, "dimension is not defined in field type params of field v"),
        (
            [PK, {"fieldName": "v", "dataType": "SparseFloatVector", "elementTypeParams": {"dim": 4}}],
            1100,
            "dim should not be specified for sparse vector field v",
        ),
        (
            [PK, {"fieldName": "v", "dataType": "BinaryVector", "elementTypeParams": {"dim": 12}}],
            1100,
            "binary vector dimension should be multiple of 8",
        ),
        ([{**PK, "dataType": "int64"}, V], 1100, "invalid parameter, data type int64 is invalid(case sensitive)."),
        ([PK, V, VARCHAR], 1101, "type param(max_length) should be specified for the field(s) of collection c_"),
        ([PK, V, {**VARCHAR, "elementTypeParams": {"max_length": 65536}}], 1100, "should be in (0, 65535]"),
        ([PK, V, ARRAY], 1101, "type param(max_capacity) should be specified for array field a"),
        ([PK, V, {**ARRAY, "elementTypeParams": {"max_capacity": 4097}}], 1100, "should be in (0, 4096]"),
        ([PK, V, {**ARRAY, "elementDataType": "JSON"}], 1100, "element type JSON is not supported for array field a"),
        (
            [PK, V, {"fieldName": "k", "dataType": "Int64", "isPartitionKey": True, "nullable": True}],
            1100,
            "partition key field not support nullable",
        ),
        (
            [PK, V, {"fieldName": "d", "dataType": "Int8", "defaultValue": "x"}],
            1100,
            "convert defaultValue fail, err:",
        ),
        ([PK, V, {"fieldName": "j", "dataType": "JSON", "defaultValue": "{}"}], 1100, "convert defaultValue fail"),
        ([PK, V, {"fieldName": "s", "dataType": "String"}], 1100, "data type String of field s is not supported"),
        ([PK, {**V, "isClusteringKey": True}], 1100, "vector clustering key not allowed, field name = v"),
        (
            [PK, {"dataType": "FloatVector"}],
            1802,
            "Key: 'CollectionReq.Schema.Fields[1].FieldName' Error:Field validation for 'FieldName' failed",
        ),
        ([{"fieldName": "pk"}], 1802, "Field validation for 'DataType' failed on the 'required' tag"),
        ([{**PK, "isPrimary": "yes"}, V], 1801, "cannot unmarshal string into Go struct field"),
        ([{**PK, "fieldName": 3}, V], 1801, "cannot unmarshal number into Go struct field"),
        (["pk"], 1801, "cannot unmarshal string into Go struct field"),
    ],
)
def test_schemas_refused(plane: DataPlane, fields: list[Any], code: int, text: str) -> None:
    name = plane.name()
    found, told = plane.error("collections/create", collectionName=name, schema={"fields": fields})
    assert (found, text in told) == (code, True), told
    assert plane.call("collections/has", collectionName=name) == {"has": False}


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (
            {"functions": [{"name": "f", "type": "TextEmbedding", "params": {"provider": "x"}}]},
            "function type TextEmbedding of function f is not supported by this server; the only one is BM25",
        ),
        ({"externalSource": "s3://bucket/x"}, "externalSource is not supported by this server"),
    ],
)
def test_parts_of_a_schema_that_are_not_served(plane: DataPlane, more: dict[str, Any], text: str) -> None:
    code, told = plane.error("collections/create", collectionName=plane.name(), schema=schema(PK, V, **more))
    assert (code, told) == (1100, f"{text}: invalid parameter")


@pytest.mark.parametrize("wrong", [[], "x", {"fields": {}}, {"fields": "pk"}])
def test_a_schema_of_another_json_type(plane: DataPlane, wrong: Any) -> None:
    assert plane.error("collections/create", collectionName="c", dimension=2, schema=wrong)[0] == 1801


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("1c", "the first character of a collection name must be an underscore or letter"),
        ("a-b", "collection name can only contain numbers, letters and underscores"),
        ("x" * 256, "the length of a collection name must be less than 255 characters"),
    ],
)
def test_bad_names(plane: DataPlane, name: str, text: str) -> None:
    code, told = plane.error("collections/create", collectionName=name, dimension=2)
    assert (code, told.startswith(f"Invalid collection name: {name}."), text in told) == (1100, True, True)


# Create again


def test_the_same_again_succeeds(plane: DataPlane) -> None:
    name = plane.quick(4)
    assert plane.call("collections/create", collectionName=name, dimension=4) == {}
    for other in ({"dimension": 8}, {"dimension": 4, "autoID": True}, {"dimension": 4, "description": "x"}):
        assert plane.error("collections/create", collectionName=name, **other) == (
            1100,
            f"create duplicate collection with different parameters, collection: {name}: invalid parameter",
        )


def test_an_index_that_is_refused_leaves_the_collection_and_the_indexes_before_it(plane: DataPlane) -> None:
    w = {**V, "fieldName": "w"}
    name = plane.name()
    good = {"fieldName": "v", "metricType": "L2"}

    code, text = plane.error(
        "collections/create", collectionName=name, schema=schema(PK, V, w), indexParams=[good, {"fieldName": "x"}]
    )
    assert (code, text) == (1802, "missing required parameters, error: `x` hasn't defined in schema")
    assert plane.call("indexes/list", collectionName=name) == ["v"]
    assert plane.call("collections/get_load_state", collectionName=name) == {"loadState": "LoadStateNotLoad"}

    code, text = plane.error("collections/create", collectionName=name, schema=schema(PK, V, w), indexParams=[good])
    assert code == 1100
    assert text == "there is no vector index on field: [w], please create index firstly: invalid parameter"

    plane.call(
        "collections/create", collectionName=name, schema=schema(PK, V, w), indexParams=[good, {"fieldName": "w"}]
    )
    assert plane.call("indexes/list", collectionName=name) == ["v", "w"]
    assert described(plane, name)["indexes"] == [
        {"fieldName": "v", "indexName": "v", "metricType": "L2"},
        {"fieldName": "w", "indexName": "w", "metricType": "COSINE"},
    ]
    assert described(plane, name)["load"] == "LoadStateLoaded"


def test_a_partition_key_makes_partitions(plane: DataPlane) -> None:
    key = {"fieldName": "k", "dataType": "Int64", "isPartitionKey": True}
    name = plane.collection(V, key)
    assert described(plane, name)["partitionsNum"] == 16
    assert described(plane, name)["fields"][2]["partitionKey"] is True
    name = plane.collection(V, key, params={"partitionsNum": 3, "partitionKeyIsolation": True})
    assert described(plane, name)["partitionsNum"] == 3
    assert described(plane, name)["properties"] == [{"key": "partitionkey.isolation", "value": "true"}]
    assert plane.error(
        "collections/create",
        collectionName=plane.name(),
        schema=schema(PK, V, key),
        params={"partitionsNum": 1025},
    ) == (1100, "partition number (1025) exceeds max configuration (1024): invalid parameter")


# The other calls


def test_list_has_drop(plane: DataPlane) -> None:
    name = plane.quick(2)
    assert name in plane.call("collections/list")
    assert plane.call("collections/has", collectionName=name) == {"has": True}
    assert plane.call("collections/drop", COLLECTIONNAME=name) == {}
    assert plane.call("collections/has", collectionName=name) == {"has": False}
    assert name not in plane.call("collections/list")


def test_dropping_what_is_not_there_succeeds(plane: DataPlane) -> None:
    assert plane.call("collections/drop", collectionName="nope") == {}
    assert plane.call("collections/drop", dbName="nope", collectionName="nope") == {}


def test_the_literal_body_null_is_an_empty_request(plane: DataPlane) -> None:
    assert plane.reply("collections/list", b"null")["code"] == 0
    assert plane.reply("collections/has", b"null")["code"] == 1802


def test_rows_are_counted(plane: DataPlane) -> None:
    name = plane.quick(2)
    assert plane.call("collections/get_stats", collectionName=name) == {"rowCount": 0}
    plane.put(name, [{"id": number, "vector": [1, 2]} for number in range(3)])
    assert plane.call("collections/get_stats", collectionName=name) == {"rowCount": 3}
    assert plane.call("collections/flush", collectionName=name) == {}


def test_load_and_release(plane: DataPlane) -> None:
    name = plane.collection(V)
    assert plane.error("collections/load", collectionName=name) == (700, f"index not found[collection={name}]")
    code, text = plane.error("collections/refresh_load", collectionName=name)
    assert (code, text.startswith("collection not loaded[collection=")) == (101, True)

    plane.call("indexes/create", collectionName=name, indexParams=[{"fieldName": "v"}])
    for _ in range(2):
        assert plane.call("collections/load", collectionName=name) == {}
    assert plane.call("collections/refresh_load", collectionName=name) == {}
    assert plane.reply("collections/get_load_state", {"collectionName": name}) == {
        "code": 0,
        "data": {"loadState": "LoadStateLoaded", "loadProgress": 100},
        "message": "",
    }

    for _ in range(2):
        assert plane.call("collections/release", collectionName=name) == {}
    assert plane.reply("collections/get_load_state", {"collectionName": name, "partitionNames": ["_default"]}) == {
        "code": 0,
        "data": {"loadState": "LoadStateNotLoad"},
    }
    assert plane.error("collections/get_load_state", collectionName=name, partitionNames=["p"]) == (
        200,
        "partition not found[partition=p]",
    )


@pytest.mark.parametrize("action", ["query", "get", "search"])
def test_released_rows_are_not_read(plane: DataPlane, action: str) -> None:
    name = plane.quick(2)
    plane.call("collections/release", collectionName=name)
    code, text = plane.error(f"entities/{action}", collectionName=name, data=[[1, 2]], id=1)
    number = plane.call("collections/describe", collectionName=name)["collectionID"]
    assert code == 101
    assert text.startswith(f"collection not loaded[collection={number}]")


def test_rows_of_a_collection_that_was_never_loaded_are_read_all_the_same(plane: DataPlane) -> None:
    name = plane.collection(V)
    plane.put(name, [{"id": 1, "v": [1, 2, 3, 4]}])
    assert plane.call("entities/query", collectionName=name, outputFields=["id"]) == [{"id": "1"}]


@pytest.mark.parametrize(
    "action", ["get_stats", "load", "refresh_load", "release", "get_load_state", "flush", "describe"]
)
def test_unknown_collections(plane: DataPlane, action: str) -> None:
    text = "can't find collection" if action == "describe" else "collection not found"
    assert plane.error(f"collections/{action}", collectionName="nope") == (
        100,
        f"{text}[database=default][collection=nope]",
    )
    assert plane.error(f"collections/{action}", dbName="nope", collectionName="nope")[0] == 800


@pytest.mark.parametrize("action", ["create", "describe", "has", "drop", "get_stats", "load", "release", "flush"])
def test_a_name_there_must_be(plane: DataPlane, action: str) -> None:
    code, text = plane.error(f"collections/{action}", collectionName="")
    assert code == 1802
    assert "Error:Field validation for 'CollectionName' failed on the 'required' tag" in text
    assert plane.error(f"collections/{action}", collectionName=3)[0] == 1801

"""Struct arrays over REST: made, described, given back; and refused where they aren't served."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.support.data_planes import DataPlane

V = {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}}
CHUNKS = {
    "fieldName": "chunks",
    "nullable": True,
    "typeParams": {"max_capacity": 8},
    "fields": [
        {"fieldName": "n", "dataType": "Array", "elementDataType": "Int64"},
        {
            "fieldName": "text",
            "dataType": "Array",
            "elementDataType": "VarChar",
            "elementTypeParams": {"max_length": 20},
        },
        {
            "fieldName": "v",
            "dataType": "ArrayOfVector",
            "elementDataType": "FloatVector",
            "elementTypeParams": {"dim": 2},
        },
        {
            "fieldName": "i8",
            "dataType": "ArrayOfVector",
            "elementDataType": "Int8Vector",
            "elementTypeParams": {"dim": 2},
        },
    ],
}
KEY = {"fieldName": "id", "dataType": "Int64", "isPrimary": True}
INDEX = {"fieldName": "v", "metricType": "L2", "indexType": "AUTOINDEX"}


@pytest.fixture(scope="module")
def docs(plane: DataPlane) -> str:
    name = plane.name("structs")
    schema = {"fields": [KEY, V], "structFields": [CHUNKS]}
    plane.call("collections/create", collectionName=name, schema=schema, indexParams=[INDEX])
    row = {"n": 2**53 + 1, "text": "<a>", "v": [0.1, 1], "i8": [-1, 1]}
    plane.put(
        name,
        [
            {"id": 1, "v": [0, 1], "chunks": [row, {**row, "n": 2}]},
            {"id": 2, "v": [0, 2], "chunks": None},
            {"id": 3, "v": [0, 3], "chunks": []},
            {"id": 4, "v": [0, 4]},
        ],
    )
    plane.call("collections/load", collectionName=name)
    return name


def test_describe_tells_them_apart_from_fields(plane: DataPlane, docs: str) -> None:
    told = plane.call("collections/describe", collectionName=docs)
    flags = {"primaryKey": False, "partitionKey": False, "clusteringKey": False, "autoId": False}

    def part(name: str, number: int, kind: str, element: str, **params: str) -> dict[str, Any]:
        shown = [{"key": key, "value": value} for key, value in params.items()]
        more = {"nullable": True, "description": "", "elementType": element, "params": shown}
        return {"name": name, "id": number, "type": kind, **flags, **more}

    assert [(each["name"], each["id"]) for each in told["fields"]] == [("id", 100), ("v", 101)]
    assert told["structFields"] == [
        {
            "name": "chunks",
            "id": 102,
            "type": "ArrayOfStruct",
            "description": "",
            "nullable": True,
            "params": [{"key": "max_capacity", "value": "8"}],
            "fields": [
                part("n", 103, "Array", "Int64", max_capacity="8"),
                part("text", 104, "Array", "VarChar", max_length="20", max_capacity="8"),
                part("v", 105, "ArrayOfVector", "FloatVector", dim="2", max_capacity="8"),
                part("i8", 106, "ArrayOfVector", "Int8Vector", dim="2", max_capacity="8"),
            ],
        }
    ]


def test_rows_hold_lists_of_objects(plane: DataPlane, docs: str) -> None:
    rows = plane.call("entities/query", collectionName=docs, filter="id > 0", outputFields=["chunks"])
    i8 = base64.b64encode(b"\xff\x01").decode()
    one = {"n": 2**53 + 1, "text": "<a>", "v": [0.1, 1.0], "i8": i8}
    assert rows == [
        {"id": "1", "chunks": [one, {**one, "n": 2}]},
        {"id": "2", "chunks": None},
        {"id": "3", "chunks": []},
        {"id": "4", "chunks": None},
    ]
    hits = plane.call(
        "entities/search", collectionName=docs, data=[[0, 1]], annsField="v", limit=1, outputFields=["chunks"]
    )
    assert hits[0]["chunks"] == rows[0]["chunks"]


@pytest.mark.parametrize("text", ["chunks is null", "chunks[n] == 1", 'chunks["n"] == 1', "array_length(chunks) > 1"])
def test_filters_are_refused(plane: DataPlane, docs: str, text: str) -> None:
    code, told = plane.error("entities/query", collectionName=docs, filter=text)
    assert code == 1100
    assert "filters on the struct array field chunks are not supported by this server" in told


@pytest.mark.parametrize("name", ["chunks", "chunks[v]"])
def test_searches_and_indexes_are_refused(plane: DataPlane, docs: str, name: str) -> None:
    code, told = plane.error("entities/search", collectionName=docs, data=[[0, 1]], annsField=name, limit=1)
    assert (code, "searching the vectors of struct arrays is not supported" in told) == (1100, True), told
    index = {**INDEX, "fieldName": name}
    code, told = plane.error("indexes/create", collectionName=docs, indexParams=[index])
    assert (code, "indexes on struct arrays are not supported by this server" in told) == (1100, True), told


def test_single_parts_are_not_given_out(plane: DataPlane, docs: str) -> None:
    _, told = plane.error("entities/query", collectionName=docs, filter="id > 0", outputFields=["chunks[n]"])
    assert "chunks[n] in outputFields is not supported by this server; use chunks" in told


@pytest.mark.parametrize(
    ("struct", "code", "text"),
    [
        ({"fieldName": "s"}, 1802, "Fields"),
        ({"fieldName": "s", "fields": []}, 1100, "empty fields in StructArrayField"),
        ("s", 1801, "cannot unmarshal string"),
        ({**CHUNKS, "nullable": "yes"}, 1801, "cannot unmarshal string"),
        ({**CHUNKS, "fields": [V]}, 1100, "must be Array or ArrayOfVector"),
        ({**CHUNKS, "fieldName": "v"}, 1100, "duplicated field name v found"),
        ({**CHUNKS, "typeParams": {}}, 1101, "type param(max_capacity) should be specified"),
    ],
)
def test_struct_fields_refused(plane: DataPlane, struct: Any, code: int, text: str) -> None:
    schema = {"fields": [KEY, V], "structFields": [struct]}
    found, told = plane.error("collections/create", collectionName=plane.name(), schema=schema)
    assert (found, text in told) == (code, True), (found, told)

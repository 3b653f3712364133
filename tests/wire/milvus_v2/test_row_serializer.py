"""Every type, put in from a JSON Lines file and read back as the wire shows it."""

from __future__ import annotations

import base64
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.support.data_planes import DataPlane


@pytest.fixture(scope="module")
def types(plane: DataPlane) -> str:
    """A collection with :data:`ROWS`."""
    name = plane.name("types")
    schema = {"fields": [PK, *FIELDS], "enableDynamicField": True}
    plane.call("collections/create", collectionName=name, schema=schema)
    plane.put(name, ROWS)
    return name


def b64(values: list[Any], dtype: Any) -> str:
    return base64.b64encode(np.asarray(values).astype(dtype).tobytes()).decode()


def field(name: str, kind: str, element: str | None = None, **params: Any) -> dict[str, Any]:
    more = {"elementDataType": element} if element else {}
    return {"fieldName": name, "dataType": kind, "nullable": True, "elementTypeParams": params, **more}


PK = {"fieldName": "pk", "dataType": "Int64", "isPrimary": True}
FIELDS = [
    *(field(kind.lower(), kind) for kind in ("Bool", "Int8", "Int16", "Int32", "Int64", "Float", "Double", "JSON")),
    field("varchar", "VarChar", max_length=100),
    *(
        field(f"{kind.lower()}s", "Array", kind, max_capacity=9)
        for kind in ("Bool", "Int8", "Int16", "Int32", "Int64", "Float", "Double")
    ),
    field("varchars", "Array", "VarChar", max_capacity=9, max_length=100),
    *(field(f"{kind}_v", f"{kind}Vector", dim=2) for kind in ("Float", "Float16", "BFloat16", "Int8")),
    field("Binary_v", "BinaryVector", dim=16),
    field("Sparse_v", "SparseFloatVector"),
]
NAMES = [each["fieldName"] for each in FIELDS]

FILLED: dict[str, Any] = {
    "pk": 2**63 - 1,
    "bool": True,
    "int8": -128,
    "int16": -(2**15),
    "int32": 2**31 - 1,
    "int64": -(2**63),
    "float": 0.1,
    "double": 0.1,
    "json": {"a": {"<b>": [1, None, 2.5]}, "big": 2**53 + 1},
    "varchar": 'naïve ☕ "quoted" <&>',
    "bools": [True, False],
    "int8s": [-128, 127],
    "int16s": [1],
    "int32s": [2, 3],
    "int64s": [2**53 + 1],
    "floats": [0.1, -2],
    "doubles": [0.1],
    "varchars": ["", "é"],
    "Float_v": [0.1, -1],
    "Float16_v": [0.5, -2.25],
    "BFloat16_v": [0.5, 3],
    "Int8_v": [-128, 127],
    "Binary_v": [170, 1],
    "Sparse_v": {"3": 0.1, "4294967294": 2},
    "color": "red",
    "nested": {"deep": [1, {"x": None}]},
    "count": 7,
}
FILLED_ON_THE_WIRE: dict[str, Any] = {
    "pk": "9223372036854775807",
    "bool": True,
    "int8": -128,
    "int16": -32768,
    "int32": 2147483647,
    "int64": "-9223372036854775808",
    "float": 0.1,
    "double": 0.1,
    "json": '{"a":{"<b>":[1,null,2.5]},"big":9007199254740993}',
    "varchar": 'naïve ☕ "quoted" <&>',
    "bools": {"Data": {"BoolData": {"data": [True, False]}}},
    "int8s": {"Data": {"IntData": {"data": [-128, 127]}}},
    "int16s": {"Data": {"IntData": {"data": [1]}}},
    "int32s": {"Data": {"IntData": {"data": [2, 3]}}},
    "int64s": {"Data": {"LongData": {"data": [9007199254740993]}}},
    "floats": {"Data": {"FloatData": {"data": [0.1, -2.0]}}},
    "doubles": {"Data": {"DoubleData": {"data": [0.1]}}},
    "varchars": {"Data": {"StringData": {"data": ["", "é"]}}},
    "Float_v": [0.1, -1.0],
    "Float16_v": b64([0.5, -2.25], np.float16),
    "BFloat16_v": b64([0.5, 3], ml_dtypes.bfloat16),
    "Int8_v": b64([-128, 127], np.int8),
    "Binary_v": b64([170, 1], np.uint8),
    "Sparse_v": {"3": 0.1, "4294967294": 2.0},
    "color": "red",
    "nested": {"deep": [1, {"x": None}]},
    "count": 7,
}
EMPTY: dict[str, Any] = {
    **FILLED,
    "pk": 2,
    "json": [],
    "varchar": "",
    **{name: [] for name in NAMES if name.endswith("s")},
    "Sparse_v": {},
}
EMPTY_ON_THE_WIRE: dict[str, Any] = {
    **FILLED_ON_THE_WIRE,
    "pk": "2",
    "json": "[]",
    "varchar": "",
    **{name: {"Data": {key: {} for key in FILLED_ON_THE_WIRE[name]["Data"]}} for name in NAMES if name.endswith("s")},
    "Sparse_v": {},
}
NULLS = {"pk": 1, **dict.fromkeys(NAMES)}
NULLS_ON_THE_WIRE = {**NULLS, "pk": "1"}

ROWS = [FILLED, EMPTY, NULLS]
ON_THE_WIRE = [NULLS_ON_THE_WIRE, EMPTY_ON_THE_WIRE, FILLED_ON_THE_WIRE]


def test_query(plane: DataPlane, types: str) -> None:
    assert plane.call("entities/query", collectionName=types) == ON_THE_WIRE


def test_get(plane: DataPlane, types: str) -> None:
    for told in ON_THE_WIRE:
        assert plane.call("entities/get", collectionName=types, id=told["pk"]) == [told]


def test_search(plane: DataPlane, types: str) -> None:
    hits = plane.call(
        "entities/search", collectionName=types, data=[[0.1, -1]], annsField="Float_v", outputFields=["*"]
    )
    assert [hit.pop("distance") for hit in hits] == pytest.approx([1, 1])
    assert sorted(hits, key=lambda hit: int(hit["pk"])) == ON_THE_WIRE[1:], "equal scores have no order"


def test_int64_as_numbers(plane: DataPlane, types: str) -> None:
    headers = {"Accept-Type-Allow-Int64": "true"}
    rows = plane.call("entities/query", headers, collectionName=types, outputFields=["int64", "int64s"])
    assert [row["pk"] for row in rows] == [1, 2, 2**63 - 1]
    assert [row["int64"] for row in rows] == [None, -(2**63), -(2**63)]
    assert rows[2]["int64s"] == {"Data": {"LongData": {"data": [2**53 + 1]}}}


def test_floats_are_written_as_short_as_they_can_be(plane: DataPlane, types: str) -> None:
    names = ["float", "floats", "Float_v", "Sparse_v"]
    text = plane.post("entities/query", {"collectionName": types, "outputFields": names, "filter": "pk > 2"}).text
    assert text.count("0.1") == 4
    assert "0.1000" not in text


def test_rows_without_some_values_are_counted(plane: DataPlane, types: str) -> None:
    rows = plane.call("entities/query", collectionName=types, filter="int8 is null", outputFields=["count(*)"])
    assert rows == [{"count(*)": "1"}]

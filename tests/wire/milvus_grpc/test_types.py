"""Texts, times, geometries and clustering keys over gRPC, and the same collection over REST."""

from __future__ import annotations

from typing import Any

import pytest
from pymilvus import DataType, MilvusClient, MilvusException

from tests.support.data_planes import DataPlane

SHANGHAI = "Asia/Shanghai"
ROWS: list[dict[str, Any]] = [
    {"id": 1, "at": "2025-01-01T00:00:00Z", "place": "point(1.50 2)", "body": "one " * 20_000, "v": [1, 0]},
    {"id": 2, "at": "2025-01-01 12:00:00", "until": "2025-02-01", "place": "POINT EMPTY", "body": "", "v": [2, 0]},
    {"id": 3, "at": "2025-01-31T00:00:00.25-05:00", "area": "POLYGON((0 0,1 0,1 1,0 0))", "body": "x", "v": [3, 0]},
]


@pytest.fixture(scope="module")
def docs(served: tuple[DataPlane, MilvusClient]) -> str:
    plane, client = served
    name = plane.name("types")
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("at", DataType.TIMESTAMPTZ)
    schema.add_field("until", DataType.TIMESTAMPTZ, nullable=True)
    schema.add_field("made", DataType.TIMESTAMPTZ, default_value="2020-01-01 00:00:00")
    schema.add_field("place", DataType.GEOMETRY, default_value="point(0 0)")
    schema.add_field("area", DataType.GEOMETRY, nullable=True)
    schema.add_field("body", DataType.TEXT, is_clustering_key=False)
    schema.add_field("tag", DataType.INT32, is_clustering_key=True, default_value=7)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=2)
    indexes = client.prepare_index_params()
    indexes.add_index("v", index_type="FLAT", metric_type="L2")
    indexes.add_index("place", index_type="RTREE")
    indexes.add_index("at", index_type="STL_SORT")
    client.create_collection(name, schema=schema, index_params=indexes, properties={"timezone": SHANGHAI})
    plane.put(name, ROWS)
    return name


def test_the_schema_is_described(client: MilvusClient, plane: DataPlane, docs: str) -> None:
    fields = {field["name"]: field for field in client.describe_collection(docs)["fields"]}
    assert [fields[name]["type"] for name in ("at", "place", "body")] == [
        DataType.TIMESTAMPTZ,
        DataType.GEOMETRY,
        DataType.TEXT,
    ]
    assert fields["tag"]["is_clustering_key"]
    assert fields["made"]["default_value"].string_data == "2020-01-01T00:00:00+08:00"
    assert fields["place"]["default_value"].string_data == "POINT (0 0)"
    shown = {field["name"]: field for field in plane.call("collections/describe", collectionName=docs)["fields"]}
    assert shown["tag"]["clusteringKey"]
    assert shown["made"]["type"] == "Timestamptz"
    assert shown["made"]["defaultValue"] == {"Data": {"StringData": "2020-01-01T00:00:00+08:00"}}


EXPECTED = [
    {
        "id": 1,
        "at": "2025-01-01T08:00:00+08:00",
        "until": None,
        "made": "2020-01-01T00:00:00+08:00",
        "place": "POINT (1.5 2)",
        "area": None,
        "tag": 7,
    },
    {
        "id": 2,
        "at": "2025-01-01T12:00:00+08:00",
        "until": "2025-02-01T00:00:00+08:00",
        "made": "2020-01-01T00:00:00+08:00",
        "place": "POINT EMPTY",
        "area": None,
        "tag": 7,
    },
    {
        "id": 3,
        "at": "2025-01-31T13:00:00.25+08:00",
        "until": None,
        "made": "2020-01-01T00:00:00+08:00",
        "place": "POINT (0 0)",
        "area": "POLYGON ((0 0, 1 0, 1 1, 0 0))",
        "tag": 7,
    },
]
NAMES = list(EXPECTED[0])


def test_values_come_back(client: MilvusClient, plane: DataPlane, docs: str) -> None:
    assert list(client.query(docs, "id > 0", output_fields=NAMES)) == EXPECTED
    bodies = client.query(docs, "id > 0", output_fields=["body"])
    assert [row["body"] for row in bodies] == [row["body"] for row in ROWS]
    rows = plane.call("entities/query", collectionName=docs, filter="id > 0", outputFields=NAMES)
    assert [{**row, "id": int(row["id"])} for row in rows] == EXPECTED
    (hits,) = client.search(docs, [[3, 0]], limit=1, output_fields=["at", "area"])
    assert hits[0]["entity"] == {name: EXPECTED[2][name] for name in ("at", "area")}


def test_times_in_the_time_zone_of_the_request(client: MilvusClient, plane: DataPlane, docs: str) -> None:
    (row,) = client.query(docs, "at == ISO '2025-01-01T01:00:00'", output_fields=["at"], timezone="Europe/Berlin")
    assert row == {"id": 1, "at": "2025-01-01T01:00:00+01:00"}
    (hits,) = client.search(docs, [[1, 0]], limit=1, output_fields=["at"], timezone="UTC")
    assert hits[0]["entity"] == {"at": "2025-01-01T00:00:00Z"}
    body = {"collectionName": docs, "data": [[1, 0]], "limit": 1, "outputFields": ["at"]}
    (row,) = plane.call("entities/search", **body, searchParams={"timezone": "UTC"})
    assert row["at"] == "2025-01-01T00:00:00Z"
    with pytest.raises(MilvusException, match="unknown or invalid IANA Time Zone ID: Mars"):
        client.query(docs, "id > 0", timezone="Mars")
    with pytest.raises(MilvusException, match="parts of times are not extracted"):
        client.query(docs, "id > 0", time_fields="year,month")


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ("at > ISO '2025-01-01T00:00:00+08:00'", [1, 2, 3]),
        ("at > ISO '2025-01-01 12:00:00'", [3]),
        ("at != ISO '2025-01-01T12:00:00'", [1, 3]),
        ("at + INTERVAL 'P1M' >= ISO '2025-03-03T05:00:00.25Z'", [3]),
        ("at + INTERVAL 'P1M' == ISO '2025-02-01T00:00:00Z'", [1]),
        ("ISO '2025-01-02T00:00:00Z' > at + INTERVAL 'PT20H'", [1]),
        ("until < ISO '2030-01-01T00:00:00Z'", [2]),
        ("not (until < ISO '2030-01-01T00:00:00Z')", []),
        ("until is null", [1, 3]),
        ("area is not null", [3]),
        ("at > made", [1, 2, 3]),
        ("body like 'one%'", [1]),
        ("body == ''", [2]),
        ("body in ['x', 'y']", [3]),
    ],
)
def test_filters(client: MilvusClient, docs: str, filter: str, expected: list[int]) -> None:
    assert [row["id"] for row in client.query(docs, filter, output_fields=["id"])] == expected


@pytest.mark.parametrize(
    ("filter", "text"),
    [
        ("st_within(place, 'POLYGON ((0 0, 1 0, 1 1, 0 0))')", "the spatial function st_within is not supported"),
        ("ST_ISVALID(place)", "the spatial function ST_ISVALID is not supported"),
        ("place == 'POINT (0 0)'", "comparisons between Geometry and VarChar are not supported"),
        ("place like 'P%'", "like operation on non-string field"),
        ("at > '2025-01-01T00:00:00Z'", "comparisons between Timestamptz and VarChar are not supported"),
    ],
)
def test_filters_refused(client: MilvusClient, docs: str, filter: str, text: str) -> None:
    with pytest.raises(MilvusException, match=text):
        client.query(docs, filter)


def test_a_time_zone_that_changes_and_one_of_the_database(client: MilvusClient, plane: DataPlane) -> None:
    database = plane.name("zones")
    client.create_database(database, properties={"timezone": "Asia/Kathmandu"})
    with pytest.raises(MilvusException, match="unknown or invalid IANA Time Zone ID: Mars"):
        client.alter_database_properties(database, {"timezone": "Mars"})
    with pytest.raises(MilvusException, match="unknown or invalid IANA Time Zone ID: Mars"):
        client.create_database(plane.name("mars"), properties={"timezone": "Mars"})
    schema = {
        "fields": [
            {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
            {"fieldName": "at", "dataType": "Timestamptz", "defaultValue": "2025-01-01 00:00:00"},
            {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
        ]
    }
    create = {"dbName": database, "collectionName": "c", "schema": schema}
    plane.call("collections/create", **create)
    plane.call("collections/create", **create)  # the same again

    def described() -> dict[str, Any]:
        shown: dict[str, Any] = plane.call("collections/describe", dbName=database, collectionName="c")
        return shown

    def default() -> Any:
        return described()["fields"][1]["defaultValue"]["Data"]["StringData"]

    assert described()["properties"] == [{"key": "timezone", "value": "Asia/Kathmandu"}]
    assert default() == "2025-01-01T00:00:00+05:45"
    alter = {"dbName": database, "collectionName": "c"}
    plane.call("collections/alter_properties", **alter, properties={"timezone": "UTC"})
    assert default() == "2024-12-31T18:15:00Z"
    code, text = plane.error("collections/alter_properties", **alter, properties={"timezone": "Mars"})
    assert (code, text) == (1100, "unknown or invalid IANA Time Zone ID: Mars: invalid parameter")
    added = {"fieldName": "until", "dataType": "Timestamptz", "defaultValue": "2026-01-01", "nullable": True}
    plane.call("collections/fields/add", **alter, schema=added)
    assert described()["fields"][3]["defaultValue"] == {"Data": {"StringData": "2026-01-01T00:00:00Z"}}
    place = {"fieldName": "place", "dataType": "Geometry", "defaultValue": "POINT (1)"}
    code, text = plane.error("collections/fields/add", **alter, schema=place)
    assert code == 1100
    assert "no geometry: Expected number" in text


def test_schemas_refused(plane: DataPlane) -> None:
    key = {"fieldName": "id", "dataType": "Int64", "isPrimary": True, "isClusteringKey": True}
    vector = {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}}
    for field, text in (
        ({"fieldName": "n", "dataType": "Int8", "isClusteringKey": True}, "there are more than one clustering key"),
        (
            {"fieldName": "j", "dataType": "JSON", "isClusteringKey": True},
            "clustering key field j has unsupported data",
        ),
        ({"fieldName": "t", "dataType": "Text", "isPartitionKey": True}, "partition key should be Int64 or VarChar"),
        ({"fieldName": "t", "dataType": "Timestamptz", "defaultValue": "soon"}, "invalid timestamp string: 'soon'"),
        ({"fieldName": "g", "dataType": "Geometry", "defaultValue": "soon"}, "no geometry: Unknown type: 'SOON'"),
        (
            {
                "fieldName": "a",
                "dataType": "Array",
                "elementDataType": "Geometry",
                "elementTypeParams": {"max_capacity": 2},
            },
            "element type Geometry is not supported for array field a",
        ),
    ):
        code, message = plane.error("collections/create", collectionName="c", schema={"fields": [key, field, vector]})
        assert code == 1100
        assert text in message
    fields = [{**key, "isClusteringKey": False}, {"fieldName": "g", "dataType": "Geometry"}, vector]
    index = [{"fieldName": "g", "indexType": "INVERTED"}]
    name = plane.name()
    code, message = plane.error(
        "collections/create", collectionName=name, schema={"fields": fields}, indexParams=index
    )
    assert (code, message) == (1100, "invalid index type: INVERTED: invalid parameter")

"""``/v2/vectordb/partitions/…``."""

from __future__ import annotations

import pytest

from tests.support.data_planes import DataPlane

KEY = {"fieldName": "k", "dataType": "Int64", "isPartitionKey": True}
V = {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}}


def test_create_list_has_count_drop(plane: DataPlane) -> None:
    docs = plane.quick()
    assert plane.call("partitions/list", collectionName=docs) == ["_default"]
    for _ in range(2):  # one that is there is fine
        assert plane.call("partitions/create", collectionName=docs, partitionName="2024-05") == {}
    assert plane.call("partitions/list", collectionName=docs) == ["_default", "2024-05"]
    assert plane.call("partitions/has", collectionName=docs, partitionName="2024-05") == {"has": True}
    assert plane.call("partitions/has", collectionName=docs, partitionName="2025") == {"has": False}

    plane.put(docs, [{"id": 1, "vector": [1, 2]}])
    plane.put(docs, [{"id": 2, "vector": [1, 2]}, {"id": 3, "vector": [1, 2]}], partition="2024-05")
    assert plane.call("partitions/get_stats", collectionName=docs, partitionName="2024-05") == {"rowCount": 2}
    assert plane.call("partitions/get_stats", collectionName=docs, partitionName="_default") == {"rowCount": 1}
    assert plane.call("collections/get_stats", collectionName=docs) == {"rowCount": 3}

    for _ in range(2):  # and one that isn't
        assert plane.call("partitions/drop", collectionName=docs, partitionName="2024-05") == {}
    assert plane.call("partitions/list", collectionName=docs) == ["_default"]
    assert plane.call("collections/get_stats", collectionName=docs) == {"rowCount": 1}


def test_a_partition_made_again_is_empty(plane: DataPlane) -> None:
    docs = plane.quick()
    for _ in range(2):
        plane.call("partitions/create", collectionName=docs, partitionName="p")
        assert plane.call("partitions/get_stats", collectionName=docs, partitionName="p") == {"rowCount": 0}
        plane.put(docs, [{"id": 1, "vector": [1, 2]}], partition="p")
        plane.call("partitions/drop", collectionName=docs, partitionName="p")


def test_reading_from_some_partitions(plane: DataPlane) -> None:
    docs = plane.quick()
    for number, name in enumerate(("p", "q"), 1):
        plane.call("partitions/create", collectionName=docs, partitionName=name)
        plane.put(docs, [{"id": number, "vector": [1, number]}], partition=name)
    plane.put(docs, [{"id": 3, "vector": [1, 3]}])

    def ids(*names: str) -> list[str]:
        rows = plane.call("entities/query", collectionName=docs, partitionNames=names, outputFields=["id"])
        return [row["id"] for row in rows]

    assert ids("p") == ["1"]
    assert ids("q", "_default") == ["2", "3"]
    assert ids() == ["1", "2", "3"]
    hits = plane.call("entities/search", collectionName=docs, data=[[1, 1]], partitionNames=["q"])
    assert [hit["id"] for hit in hits] == ["2"]
    assert plane.call("entities/get", collectionName=docs, id=[1, 2], partitionNames=["p"])[0]["id"] == "1"
    counted = plane.call(
        "entities/query", collectionName=docs, partitionNames=["q"], filter="id > 0", outputFields=["count(*)"]
    )
    assert counted == [{"count(*)": "1"}]
    for action in ("query", "search", "get"):
        assert plane.error(
            f"entities/{action}", collectionName=docs, data=[[1, 1]], id=1, partitionNames=["p", "x"]
        ) == (1100, "partition name x not found: invalid parameter")


def test_what_is_refused(plane: DataPlane) -> None:
    docs = plane.quick()
    assert plane.error("partitions/drop", collectionName=docs, partitionName="_default") == (
        1100,
        "default partition cannot be deleted: invalid parameter",
    )
    assert plane.error("partitions/create", collectionName=docs, partitionName="a$b") == (
        1100,
        (
            "Invalid partition name: a$b. Partition name can only contain numbers, letters and underscores.: "
            "invalid parameter"
        ),
    )
    assert plane.error("partitions/get_stats", collectionName=docs, partitionName="x") == (
        200,
        "partition not found[partition=x]",
    )


@pytest.mark.parametrize("action", ["create", "drop", "has", "get_stats", "list", "load", "release"])
def test_names_there_must_be(plane: DataPlane, action: str) -> None:
    code, text = plane.error(f"partitions/{action}", collectionName="nope", partitionName="p", partitionNames=["p"])
    assert (code, text) == (100, "collection not found[database=default][collection=nope]")
    code, text = plane.error(f"partitions/{action}")
    assert (code, "'CollectionName' failed on the 'required' tag" in text) == (1802, True)
    if action != "list":
        code, text = plane.error(f"partitions/{action}", collectionName="nope")
        assert (code, "Req.PartitionName" in text) == (1802, True)


def test_load_and_release(plane: DataPlane) -> None:
    docs = plane.quick()
    plane.call("partitions/create", collectionName=docs, partitionName="p")

    def is_loaded() -> bool:
        state = plane.call("collections/get_load_state", collectionName=docs)["loadState"]
        return bool(state == "LoadStateLoaded")

    assert plane.call("partitions/release", collectionName=docs, partitionNames=["p"]) == {}
    assert is_loaded()
    assert plane.call("partitions/release", collectionName=docs, partitionNames=["p", "_default"]) == {}
    assert not is_loaded()
    assert plane.call("partitions/load", collectionName=docs, partitionNames=["p"]) == {}
    assert is_loaded()
    for action in ("load", "release"):
        assert plane.error(f"partitions/{action}", collectionName=docs, partitionNames=["x"]) == (
            200,
            "partition not found[partition=x]",
        )
        assert plane.error(f"partitions/{action}", collectionName=docs, partitionNames=[])[0] == 1100
        assert plane.error(f"partitions/{action}", collectionName=docs, partitionNames="p")[0] == 1801


def test_a_partition_key_rules_partitions_out(plane: DataPlane) -> None:
    docs = plane.collection(V, KEY, params={"partitionsNum": 2})
    assert plane.call("partitions/list", collectionName=docs) == ["_default_0", "_default_1"]
    for action in ("create", "drop", "load", "release"):
        assert plane.error(
            f"partitions/{action}", collectionName=docs, partitionName="p", partitionNames=["_default_0"]
        ) == (1100, f"disable {action} partition if partition key mode is used: invalid parameter")
    assert plane.error("entities/query", collectionName=docs, partitionNames=["_default_0"]) == (
        1100,
        "not support manually specifying the partition names if partition key mode is used: invalid parameter",
    )

    plane.put(docs, [{"id": number, "k": number, "v": [1, number]} for number in range(20)])
    counts = [
        plane.call("partitions/get_stats", collectionName=docs, partitionName=name)["rowCount"]
        for name in ("_default_0", "_default_1")
    ]
    assert sum(counts) == 20
    assert all(counts)
    assert len(plane.call("entities/query", collectionName=docs, filter="k in [3, 4]")) == 2


def test_one_partition_is_read_under_the_key_that_other_calls_have(plane: DataPlane) -> None:
    docs = plane.quick(metricType="L2")
    plane.call("partitions/create", collectionName=docs, partitionName="late")
    plane.put(docs, [{"id": 1, "vector": [1, 0]}])
    plane.put(docs, [{"id": 2, "vector": [2, 0]}], partition="late")
    search = {"data": [[1, 0]], "annsField": "vector", "limit": 5}
    for action, body in (
        ("query", {"filter": "id > 0"}),
        ("get", {"id": [1, 2]}),
        ("search", search),
        ("hybrid_search", {"search": [search]}),
    ):
        rows = plane.call(f"entities/{action}", collectionName=docs, partitionName="late", **body)
        assert [row["id"] for row in rows] == ["2"], action
        both = {"partitionName": "late", "partitionNames": ["_default"]}
        assert plane.error(f"entities/{action}", collectionName=docs, **body, **both) == (
            1100,
            "pass partitionNames or partitionName, not both: invalid parameter",
        )

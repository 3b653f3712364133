"""``entities/hybrid_search``: its body, its answer, and what is refused. Scores are in the tests of the gRPC call."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.data_planes import DataPlane


@pytest.fixture(scope="module")
def docs(plane: DataPlane) -> str:
    """Ten rows: row i is at ``[i, 0]`` of ``up``, and at ``[9 - i, 0]`` of ``down``."""
    vector = {"dataType": "FloatVector", "elementTypeParams": {"dim": 2}}
    name = plane.collection(
        {"fieldName": "up", **vector},
        {"fieldName": "down", **vector},
        {"fieldName": "color", "dataType": "VarChar", "elementTypeParams": {"max_length": 9}},
        indexParams=[{"fieldName": field, "indexName": field, "metricType": "L2"} for field in ("up", "down")],
    )
    rows = [{"id": i, "up": [i, 0], "down": [9 - i, 0], "color": "red" if i % 2 else "blue"} for i in range(10)]
    plane.put(name, rows)
    return name


def body(docs: str, **more: Any) -> dict[str, Any]:
    searches = [
        {"data": [[2, 0]], "annsField": "up", "limit": 3},
        {"data": [[6, 0]], "annsField": "down", "limit": 3, "filter": "id > 2", "params": {"nprobe": 4}},
    ]
    return {"collectionName": docs, "search": searches, "limit": 3, **more}


@pytest.mark.parametrize("action", ["entities/hybrid_search", "entities/advanced_search"])
def test_the_answer(plane: DataPlane, docs: str, action: str) -> None:
    # up finds 2, 1, 3 and down 3, 4, 5.
    told = plane.reply(action, body(docs, outputFields=["color"], rerank={"strategy": "rrf", "params": {"k": 1}}))
    third = pytest.approx(1 / 3)
    assert told == {
        "code": 0,
        "cost": 0,
        "topks": [3],
        "data": [
            {"id": "3", "distance": 0.75, "color": "red"},
            {"id": "2", "distance": 0.5, "color": "blue"},
            {"id": "1", "distance": third, "color": "red"},
        ],
    }


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, ["3", "2", "1"]),
        ({"limit": 2, "offset": 1}, ["2", "1"]),
        ({"rerank": {"strategy": "weighted", "params": {"weights": [1, 0], "norm_score": True}}}, ["2", "1", "3"]),
        ({"rerank": {"strategy": "weighted", "params": {"weights": [0, 1], "norm_score": True}}}, ["3", "4", "5"]),
        (
            {"functionScore": {"functions": [{"type": "Rerank", "params": {"reranker": "rrf", "k": 60}}]}},
            ["3", "2", "1"],
        ),
        ({"groupingField": "color", "limit": 2}, ["2", "3"]),
    ],
)
def test_rankers_and_pages(plane: DataPlane, docs: str, more: dict[str, Any], expected: list[str]) -> None:
    assert [hit["id"] for hit in plane.call("entities/hybrid_search", **body(docs, **more))] == expected


def test_nothing_found(plane: DataPlane, docs: str) -> None:
    searches = [{"data": [[1, 0]], "annsField": "up", "limit": 3, "filter": "id > 99"}]
    assert plane.reply("entities/hybrid_search", body(docs, search=searches)) == {"code": 0, "cost": 0, "data": []}


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        ({"rerank": {"strategy": "best"}}, 1100, "unsupported rank type best"),
        ({"rerank": []}, 1801, "of type httpserver.Rand"),
        ({"search": None}, 1100, "a hybrid search has 1 to 1024 ann search requests, but got 0"),
        ({"search": [[1, 2]]}, 1801, "of type httpserver.SubSearchReq"),
        ({"search": [{"annsField": "up", "limit": 1}]}, 1802, "HybridSearchReq.Search[0].Data"),
        ({"search": [{"data": [[1, 2]], "annsField": "up"}]}, 1100, "topk [0] is invalid, it should be in range"),
        ({"search": [{"data": [[1, 2]], "limit": 1}]}, 1801, "already found multiple vector fields"),
        ({"search": [{"data": [[1]], "annsField": "up", "limit": 1}]}, 1801, "dimension: 2"),
        ({"search": [{"data": [[1, 2]], "annsField": "up", "limit": 1, "groupingField": "color"}]}, 1100, "next to"),
        ({"functionScore": {"functions": []}}, 1100, "Currently only supports one rerank function, but got 0"),
        ({"functionScore": {"functions": [1]}}, 1801, "of type httpserver.FunctionSchema"),
        ({"limit": 20000}, 1100, "invalid max query result window"),
        ({"limit": 0}, 1100, "limit [0] is invalid, it should be greater than 0"),
        ({"offset": -1}, 1100, "offset [-1] is invalid"),
        ({"functionChains": [1]}, 1100, "functionChains is not supported"),
        ({"consistencyLevel": "Sometimes"}, 1100, "Sometimes"),
    ],
)
def test_errors(plane: DataPlane, docs: str, more: dict[str, Any], code: int, text: str) -> None:
    told = plane.error("entities/hybrid_search", **body(docs, **more))
    assert told[0] == code, told
    assert text in told[1]


@pytest.mark.parametrize(
    ("key", "value", "instead"),
    [
        ("searchParams", {"params": {"nprobe": 4}}, "params within it"),
        ("partitionNames", ["late"], "partitionNames next to search"),
        ("partitionName", "late", "partitionNames next to search"),
    ],
)
def test_keys_of_a_search_that_would_have_no_effect(
    plane: DataPlane, docs: str, key: str, value: Any, instead: str
) -> None:
    search = {"data": [[2, 0]], "annsField": "up", "limit": 3, key: value}
    assert plane.error("entities/hybrid_search", collectionName=docs, search=[search]) == (
        1100,
        f"{key} has no effect within a search of a hybrid search; give {instead}: invalid parameter",
    )

"""``entities/search``: what a query may be, its answer, and what is refused. How near is in ``test_exactness``."""

from __future__ import annotations

import base64
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.support.data_planes import DataPlane

DIM = 8


def b64(values: Any, dtype: Any) -> str:
    return base64.b64encode(np.asarray(values).astype(dtype).tobytes()).decode()


def vector(name: str, kind: str, dim: int | None = DIM) -> dict[str, Any]:
    return {"fieldName": name, "dataType": kind, "elementTypeParams": {} if dim is None else {"dim": dim}}


@pytest.fixture(scope="module")
def docs(plane: DataPlane) -> str:
    """Ten rows on a line, found by L2: row i is at ``[i, 0]``."""
    name = plane.quick(2, metricType="L2")
    plane.put(name, [{"id": i, "vector": [i, 0], "color": "red" if i % 2 else "blue"} for i in range(10)])
    return name


def hits(plane: DataPlane, docs: str, *queries: Any, **more: Any) -> list[int]:
    found = plane.call("entities/search", collectionName=docs, data=queries or [[0, 0]], **more)
    return [int(hit["id"]) for hit in found]


# The answer


def test_one_query(plane: DataPlane, docs: str) -> None:
    told = plane.reply(
        "entities/search",
        {"collectionName": docs, "data": [[4, 0.5]], "limit": 3, "outputFields": ["vector", "color"]},
    )
    assert told == {
        "code": 0,
        "cost": 0,
        "topks": [3],
        "data": [
            {"id": "4", "distance": 0.25, "vector": [4.0, 0.0], "color": "blue"},
            {"id": "3", "distance": 1.25, "vector": [3.0, 0.0], "color": "red"},
            {"id": "5", "distance": 1.25, "vector": [5.0, 0.0], "color": "red"},
        ],
    }


def test_without_output_fields_key_and_distance_alone(plane: DataPlane, docs: str) -> None:
    empty: list[str] = []
    for names in (None, empty):
        found = plane.call("entities/search", collectionName=docs, data=[[0, 0]], limit=1, outputFields=names)
        assert found == [{"id": "0", "distance": 0.0}]
    (hit,) = plane.call(
        "entities/search", {"Accept-Type-Allow-Int64": "true"}, collectionName=docs, data=[[0, 0]], limit=1
    )
    assert hit["id"] == 0


def test_many_queries_come_flat(plane: DataPlane, docs: str) -> None:
    told = plane.reply(
        "entities/search",
        {"collectionName": docs, "data": [[9, 0], [0, 0], [5, 0]], "limit": 2, "filter": "id != 0"},
    )
    assert told["topks"] == [2, 2, 2]
    assert [int(hit["id"]) for hit in told["data"]] == [9, 8, 1, 2, 5, 4]


def test_queries_may_find_different_numbers_of_rows(plane: DataPlane, docs: str) -> None:
    told = plane.reply(
        "entities/search",
        {"collectionName": docs, "data": [[0, 0], [50, 0], [9, 0]], "searchParams": {"params": {"radius": 2}}},
    )
    assert told["topks"] == [2, 0, 2]
    assert [int(hit["id"]) for hit in told["data"]] == [0, 1, 9, 8]


def test_no_hits_at_all(plane: DataPlane, docs: str) -> None:
    nothing = {"code": 0, "cost": 0, "data": []}
    assert plane.reply("entities/search", {"collectionName": docs, "data": [[0, 0]], "filter": "id > 99"}) == nothing
    assert plane.reply("entities/search", {"collectionName": plane.quick(), "data": [[0, 0]]}) == nothing


def test_distance_wins_over_a_field_of_that_name(plane: DataPlane) -> None:
    docs = plane.collection(vector("v", "FloatVector", 2), {"fieldName": "distance", "dataType": "Int8"})
    plane.put(docs, [{"id": 1, "distance": 7, "v": [1, 0]}])
    (hit,) = plane.call("entities/search", collectionName=docs, data=[[1, 0]], outputFields=["*"])
    assert hit == {"id": "1", "distance": 1.0, "v": [1.0, 0.0]}


# Limits and ranges


def test_limit_and_offset(plane: DataPlane, docs: str) -> None:
    assert hits(plane, docs, limit=3) == [0, 1, 2]
    assert hits(plane, docs, limit=3, offset=8) == [8, 9]
    assert hits(plane, docs, limit=3, offset=20) == []
    assert hits(plane, docs, limit=16383, offset=1) == list(range(1, 10))


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"limit": 20000}, "topk [20000] is invalid, it should be in range [1, 16384], but got 20000: "),
        ({"limit": 0}, "topk [0] is invalid, it should be in range [1, 16384], but got 0: "),
        ({"limit": -1}, "topk [-1] is invalid, it should be in range [1, 16384], but got -1: "),
        ({"offset": -1}, "offset [-1] is invalid, it should be in range [0, 16384], but got -1: "),
        ({"limit": 16384, "offset": 1}, "offset+limit [16385] is invalid, it should be in range [1, 16384], but got"),
    ],
)
def test_limits_that_are_refused(plane: DataPlane, docs: str, asked: dict[str, int], text: str) -> None:
    code, told = plane.error("entities/search", collectionName=docs, data=[[0, 0]], **asked)
    assert (code, told.startswith(text)) == (1100, True), told


def test_a_range_of_distances(plane: DataPlane, docs: str) -> None:
    # L2 is squared: range_filter <= distance < radius.
    assert hits(plane, docs, searchParams={"params": {"radius": 9}}) == [0, 1, 2]
    assert hits(plane, docs, searchParams={"params": {"radius": 9, "range_filter": 1}}) == [1, 2]
    assert hits(plane, docs, searchParams={"radius": "9", "range_filter": 4.0}) == [2]


def test_a_range_of_similarities(plane: DataPlane) -> None:
    docs = plane.quick(2, metricType="IP")
    plane.put(docs, [{"id": i, "vector": [i, 0]} for i in range(10)])
    # radius < similarity <= range_filter
    assert hits(plane, docs, [1, 0], searchParams={"params": {"radius": 6}}) == [9, 8, 7]
    assert hits(plane, docs, [1, 0], searchParams={"params": {"radius": 6, "range_filter": 8}}) == [8, 7]


def test_a_row_is_within_reach_of_itself(plane: DataPlane) -> None:
    docs = plane.quick(DIM)
    vectors = np.random.default_rng(1).normal(size=(50, DIM)).astype(np.float32)
    plane.put(docs, [{"id": i, "vector": row.tolist()} for i, row in enumerate(vectors)])
    for i, row in enumerate(vectors):
        params = {"params": {"radius": 0.9999, "range_filter": 1.0}}
        assert hits(plane, docs, row.tolist(), searchParams=params) == [i]


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"radius": 1, "range_filter": 2}, "range_filter(2.0) must be less than radius(1.0)"),
        ({"radius": "near"}, "radius should be a number, but got 'near'"),
        ({"range_filter": True}, "range_filter should be a number, but got True"),
    ],
)
def test_ranges_that_are_refused(plane: DataPlane, docs: str, params: dict[str, Any], text: str) -> None:
    code, told = plane.error("entities/search", collectionName=docs, data=[[0, 0]], searchParams={"params": params})
    assert (code, text in told) == (1100, True), told


# Search parameters


def test_the_metric_must_be_the_indexs(plane: DataPlane, docs: str) -> None:
    for good in ({"metricType": "L2"}, {"metric_type": "L2"}, {"params": {"metric_type": "L2"}}, {}):
        assert hits(plane, docs, limit=1, searchParams=good) == [0]
    assert plane.error("entities/search", collectionName=docs, data=[[0, 0]], searchParams={"metricType": "IP"}) == (
        1100,
        "metric type not match: invalid [expected=L2][actual=IP]: invalid parameter",
    )
    # Milvus ignores it at the top; a caller who names another metric than the index's is told so here.
    assert hits(plane, docs, limit=1, metricType="L2") == [0]
    code, text = plane.error("entities/search", collectionName=docs, data=[[0, 0]], metricType="IP")
    assert (code, "metric type not match" in text) == (1100, True)


def test_without_an_index_any_metric_of_the_type_goes(plane: DataPlane) -> None:
    docs = plane.collection(vector("v", "FloatVector", 2))
    plane.put(docs, [{"id": 1, "v": [1, 0]}, {"id": 2, "v": [5, 5]}])

    def distances(**params: Any) -> list[float]:
        found = plane.call("entities/search", collectionName=docs, data=[[1, 0]], searchParams=params)
        return [hit["distance"] for hit in found]

    assert distances() == distances(metricType="COSINE") == pytest.approx([1, 0.5**0.5])
    assert distances(metricType="L2") == [0, 41]
    assert distances(metricType="IP") == [5, 1]
    code, text = plane.error(
        "entities/search", collectionName=docs, data=[[1, 0]], searchParams={"metricType": "HAMMING"}
    )
    assert (code, "can't be searched by HAMMING" in text) == (1100, True)
    code, text = plane.error("entities/search", collectionName=docs, data=[[1, 0]], searchParams={"metricType": "X"})
    assert (code, "metric type X is not supported" in text) == (1100, True)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"nprobe": 1, "params": {"nprobe": 2}}, "ambiguous parameter: nprobe"),
        ({"params": [1]}, "searchParams.params must be a dict"),
        ({"metricType": "L2", "metric_type": "IP"}, "metric type should be one string"),
        ({"group_by_field": "colour"}, "field not found[field=colour]"),
        ({"group_by_field": "vector"}, "field vector of type FloatVector can't be grouped by"),
        ({"group_by_field": "id", "group_size": 11}, "group size:11 is invalid"),
        ({"group_by_field": "id", "radius": 1}, "Not allowed to do range-search when doing search-group-by"),
        ({"round_decimal": 7}, "round_decimal [7] is invalid, it should be -1 or an integer in range [0, 6]"),
        ({"iterator": True}, "search iterators are served over gRPC only"),
    ],
)
def test_search_params_that_are_refused(plane: DataPlane, docs: str, params: dict[str, Any], text: str) -> None:
    code, told = plane.error("entities/search", collectionName=docs, data=[[0, 0]], searchParams=params)
    assert (code, text in told) == (1100, True), told


def test_search_params_that_make_no_difference_here(plane: DataPlane, docs: str) -> None:
    params = {"nprobe": 2, "params": {"nprobe": 2, "ef": 64}, "ignoreGrowing": True, "hints": "x"}
    assert hits(plane, docs, limit=2, searchParams=params, params={"nprobe": 2}) == [0, 1]
    assert hits(plane, docs, limit=2, params={"radius": 1}) == [0], "as Milvus 2.4 took it"
    assert plane.error("entities/search", collectionName=docs, data=[[0, 0]], params={"nprobe": "1"})[0] == 1801


# By stored rows, in groups, rounded


def test_ids_search_by_their_stored_vectors(plane: DataPlane, docs: str) -> None:
    ask = {"collectionName": docs, "limit": 2}
    told = plane.reply("entities/search", {**ask, "ids": ["4", 0]})
    assert told["topks"] == [2, 2]
    assert [(int(hit["id"]), hit["distance"]) for hit in told["data"]] == [(4, 0.0), (3, 1.0), (0, 0.0), (1, 1.0)]
    assert plane.error("entities/search", **ask, ids=[4, 77]) == (
        1100,
        "some of the provided primary key IDs do not exist: missing IDs = [77]: invalid parameter",
    )
    code, text = plane.error("entities/search", **ask, ids=[4], data=[[0, 0]])
    assert (code, "mutually exclusive" in text) == (1100, True)
    assert plane.error("entities/search", **ask, ids=[])[0] == 1802


def test_ids_search_vectors_of_any_type(plane: DataPlane) -> None:
    docs = plane.collection(
        vector("half", "Float16Vector", 2),
        vector("bits", "BinaryVector", 8),
        vector("sparse", "SparseFloatVector", None),
    )
    plane.put(docs, [{"id": i, "half": [i, 1], "bits": [2**i - 1], "sparse": {"1": i}} for i in range(1, 5)])
    for field, metric, nearest in (("half", "L2", 3), ("bits", "HAMMING", 3), ("sparse", "IP", 4)):
        found = plane.call(
            "entities/search",
            collectionName=docs,
            ids=[3],
            annsField=field,
            limit=1,
            searchParams={"metricType": metric},
        )
        assert [int(hit["id"]) for hit in found] == [nearest]


@pytest.fixture(scope="module")
def pages(plane: DataPlane) -> str:
    """Rows on a line, near ones first: three quarters of them belong to one book."""
    name = plane.collection(
        vector("v", "FloatVector", 2),
        {"fieldName": "book", "dataType": "VarChar", "elementTypeParams": {"max_length": 9}},
        {"fieldName": "shelf", "dataType": "Int64", "nullable": True},
    )
    books = ["a"] * 900 + ["b", "c", "b", "b", "c", "d"] * 50
    plane.put(
        name,
        [{"id": i, "v": [i, 0], "book": book, "shelf": i % 2 or None} for i, book in enumerate(books)],
    )
    return name


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"limit": 3}, [0, 900, 901]),
        ({"limit": 9}, [0, 900, 901, 905]),
        ({"limit": 2, "offset": 1}, [900, 901]),
        ({"limit": 2, "groupSize": 2, "strictGroupSize": True}, [0, 1, 900, 902]),
        (
            {"limit": 4, "groupSize": 3, "strictGroupSize": True},
            [0, 1, 2, 900, 902, 903, 901, 904, 907, 905, 911, 917],
        ),
        ({"limit": 1, "groupSize": 2, "filter": "book == 'c'"}, [901, 904]),
    ],
)
def test_groups_hold_the_best_rows_of_each_value(
    plane: DataPlane, pages: str, more: dict[str, Any], expected: list[int]
) -> None:
    params = {"metricType": "L2"}
    found = plane.call(
        "entities/search", collectionName=pages, data=[[0, 0]], groupingField="book", searchParams=params, **more
    )
    assert [int(hit["id"]) for hit in found] == expected
    assert [hit["distance"] for hit in found] == [key**2 for key in expected]


def test_groups_come_with_output_fields_and_null_is_a_group(plane: DataPlane, pages: str) -> None:
    found = plane.call(
        "entities/search",
        collectionName=pages,
        data=[[0, 0]],
        groupingField="shelf",
        outputFields=["book", "v"],
        searchParams={"metricType": "L2"},
    )
    assert found == [
        {"id": "0", "distance": 0.0, "book": "a", "v": [0.0, 0.0]},
        {"id": "1", "distance": 1.0, "book": "a", "v": [1.0, 0.0]},
    ]


def test_scores_are_rounded(plane: DataPlane, docs: str) -> None:
    for decimals, distance in ((-1, 0.123904), (0, 0.0), (2, 0.12), (6, 0.123904)):
        (hit,) = plane.call(
            "entities/search",
            collectionName=docs,
            data=[[0.352, 0]],
            limit=1,
            searchParams={"round_decimal": decimals},
        )
        assert hit["distance"] == pytest.approx(distance, abs=1e-7)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("functionScore", {"a": 1}),
        ("searchAggregation", {"a": 1}),
        ("orderByFields", ["id"]),
    ],
)
def test_parts_of_a_search_that_are_not_served(plane: DataPlane, docs: str, key: str, value: Any) -> None:
    assert plane.error("entities/search", collectionName=docs, data=[[0, 0]], **{key: value}) == (
        1100,
        f"{key} is not supported by this server: invalid parameter",
    )


# Which field


def test_the_only_vector_field_need_not_be_named(plane: DataPlane, docs: str) -> None:
    assert hits(plane, docs, limit=1, annsField="vector") == [0]
    for name in ("x", "id"):
        assert plane.error("entities/search", collectionName=docs, data=[[0, 0]], annsField=name) == (
            1801,
            f"can only accept json format request, error: cannot find a vector field: field not found[field={name}]",
        )


def test_one_of_several_vector_fields_must_be_named(plane: DataPlane) -> None:
    docs = plane.collection(vector("a", "FloatVector", 2), vector("b", "FloatVector", 2))
    plane.put(docs, [{"id": 1, "a": [1, 0], "b": [0, 1]}, {"id": 2, "a": [0, 1], "b": [1, 0]}])
    assert hits(plane, docs, [1, 0], annsField="a", limit=1) == [1]
    assert hits(plane, docs, [1, 0], annsField="b", limit=1) == [2]
    assert plane.error("entities/search", collectionName=docs, data=[[1, 0]]) == (
        1801,
        (
            "can only accept json format request, error: "
            "search without annsField, but already found multiple vector fields: [a, b,,,]"
        ),
    )


# Queries, type by type


@pytest.mark.parametrize(
    ("kind", "dim", "row", "query"),
    [
        ("FloatVector", 4, [1, 2, 3, -4], [1, 2.0, 3, -4]),
        ("Float16Vector", 4, [1, 2, 3, -4], [1, 2, 3, -4]),
        ("Float16Vector", 4, [1, 2, 3, -4], b64([1, 2, 3, -4], np.float16)),
        ("BFloat16Vector", 4, [1, 2, 3, -4], [1, 2, 3, -4]),
        ("BFloat16Vector", 4, [1, 2, 3, -4], b64([1, 2, 3, -4], ml_dtypes.bfloat16)),
        ("Int8Vector", 4, [1, 127, -128, 0], [1, 127, -128, 0]),
        ("Int8Vector", 4, [1, 127, -128, 0], b64([1, 127, -128, 0], np.int8)),
        ("BinaryVector", 16, [0, 255], [0, 255]),
        ("BinaryVector", 16, [0, 255], b64([0, 255], np.uint8)),
    ],
)
def test_a_row_finds_itself(plane: DataPlane, kind: str, dim: int, row: list[Any], query: Any) -> None:
    docs = plane.quick(dim, vectorFieldType=kind, metricType="HAMMING" if kind == "BinaryVector" else "L2")
    plane.put(docs, [{"id": 1, "vector": row}, {"id": 2, "vector": [1] * len(row)}])
    found = plane.call("entities/search", collectionName=docs, data=[query], limit=1)
    assert found == [{"id": "1", "distance": 0.0}]


@pytest.mark.parametrize(
    "query", [{"1": 0.5, "100": 2}, {"indices": [100, 1], "values": [2, 0.5]}, {"1": 0.5, "100": 2, "7": 0}]
)
def test_sparse_queries(plane: DataPlane, query: dict[str, Any]) -> None:
    docs = plane.quick(None, vectorFieldType="SparseFloatVector")
    plane.put(
        docs,
        [{"id": 1, "vector": {"1": 1.0, "5": 3}}, {"id": 2, "vector": {"100": 1.0}}, {"id": 3, "vector": {"4": 1}}],
    )
    found = plane.call("entities/search", collectionName=docs, data=[query])
    assert found == [{"id": "2", "distance": 2.0}, {"id": "1", "distance": 0.5}]


@pytest.mark.parametrize(
    ("kind", "dim", "query", "why"),
    [
        ("FloatVector", 4, [1, 2, 3], "dimension: 4, but length of []float: 3"),
        ("FloatVector", 4, [1, 2, 3, 4, 5], "dimension: 4, but length of []float: 5"),
        ("FloatVector", 4, [], "dimension: 4, but length of []float: 0"),
        ("FloatVector", 4, 0.5, "data is a list of queries, each a list of numbers: [[0.1, 0.2]]"),
        ("FloatVector", 4, [1, 2, 3, "4"], "a query is a list of numbers"),
        ("FloatVector", 4, [1, 2, 3, None], "a query is a list of numbers"),
        ("FloatVector", 4, [1, 2, 3, True], "a query is a list of numbers"),
        ("FloatVector", 4, [[1, 2, 3, 4]], "a query is a list of numbers"),
        ("FloatVector", 4, [1, 2, 3, 1e300], "numbers that fit in 32 bits"),
        ("FloatVector", 4, "some text", "a query is a list of numbers"),
        ("Float16Vector", 4, b64([1, 2, 3], np.float16), "dimension: 4, but length of []float: 3"),
        ("Float16Vector", 4, b64([1, 2, 3, np.inf], np.float16), "finite numbers only"),
        ("Float16Vector", 4, "####", "a Float16Vector query can't be decoded"),
        ("Float16Vector", 4, "AA==", "a Float16Vector query can't be decoded"),
        ("Int8Vector", 4, [1, 2, 3, 128], "whole numbers from -128 to 127"),
        ("Int8Vector", 4, [1, 2, 3, 0.5], "whole numbers from -128 to 127"),
        ("BinaryVector", 16, [1], "dimension: 16, but length of []byte: 1"),
        ("BinaryVector", 16, [1, 256], "whole numbers from 0 to 255"),
        ("SparseFloatVector", None, [1, 2], "a sparse query is an object"),
        ("SparseFloatVector", None, {"a": 1}, "whole numbers from 0 to 4294967294"),
        ("SparseFloatVector", None, {"4294967295": 1}, "whole numbers from 0 to 4294967294"),
        ("SparseFloatVector", None, {"1": "x"}, "must be finite numbers"),
        ("SparseFloatVector", None, {"indices": [1, 1], "values": [1, 2]}, "must be unique"),
        ("SparseFloatVector", None, {"indices": [1], "values": [1, 2]}, "lists of the same length"),
    ],
)
def test_queries_that_are_refused(plane: DataPlane, kind: str, dim: int | None, query: Any, why: str) -> None:
    docs = plane.quick(dim, vectorFieldType=kind)
    code, text = plane.error("entities/search", collectionName=docs, data=[query])
    assert code == 1801
    assert text.startswith("can only accept json format request, error: ")
    assert why in text
    assert f": invalid parameter[expected={kind}][actual=[" in text


@pytest.mark.parametrize("body", [{}, {"data": []}, {"data": None}])
def test_queries_there_must_be(plane: DataPlane, docs: str, body: dict[str, Any]) -> None:
    code, text = plane.error("entities/search", collectionName=docs, **body)
    assert code == 1802
    assert "either 'ids' (for primary key search) or 'data' (for vector search) must be provided" in text


def test_queries_are_a_list(plane: DataPlane, docs: str) -> None:
    assert plane.error("entities/search", collectionName=docs, data={"0": [1, 2]})[0] == 1801
    assert plane.error("entities/search", collectionName=docs, data=[1, 2])[0] == 1801


def test_there_may_be_too_many(plane: DataPlane, docs: str) -> None:
    code, text = plane.error("entities/search", collectionName=docs, data=[[0, 0]] * 16385, limit=1)
    assert (code, "nq [16385] is invalid, it should be in range [1, 16384]" in text) == (1801, True)

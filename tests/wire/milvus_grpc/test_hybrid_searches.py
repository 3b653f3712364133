"""Hybrid search of pymilvus's client, against fused scores computed from the single searches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from pymilvus import (
    AnnSearchRequest,
    Function,
    FunctionType,
    MilvusClient,
    MilvusException,
    RRFRanker,
    WeightedRanker,
)

from tests.support.data_planes import DataPlane
from tests.support.rank_fusion import Ranking, best_first, reciprocal_rank_scores, weighted_scores

DIM = 4
_QUERY = [0.1, 0.2, 0.3, 0.4]
_SPARSE = {0: 1.0, 2: 0.5}
_METRICS = {"near": "L2", "like": "COSINE", "words": "IP"}


def vector(name: str) -> dict[str, Any]:
    return {"fieldName": name, "dataType": "FloatVector", "elementTypeParams": {"dim": DIM}}


def rows(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(7)
    return [
        {
            "id": i,
            "near": rng.normal(size=DIM).round(3).tolist(),
            "like": rng.normal(size=DIM).round(3).tolist(),
            "words": {str(word): round(rng.uniform(0.1, 2), 3) for word in range(i % 4 + 1)},
            "book": "abcde"[i % 5],
        }
        for i in range(count)
    ]


ROWS = rows(60)


@pytest.fixture(scope="module")
def docs(served: tuple[DataPlane, MilvusClient]) -> str:
    """:data:`ROWS` with two dense fields and a sparse one; the last twenty are in the partition ``late``."""
    plane, _ = served
    name = plane.collection(
        vector("near"),
        vector("like"),
        {"fieldName": "words", "dataType": "SparseFloatVector"},
        {"fieldName": "book", "dataType": "VarChar", "elementTypeParams": {"max_length": 9}},
        indexParams=[
            {"fieldName": field, "indexName": field, "metricType": metric} for field, metric in _METRICS.items()
        ],
    )
    plane.call("partitions/create", collectionName=name, partitionName="late")
    plane.put(name, ROWS[:40])
    plane.put(name, ROWS[40:], partition="late")
    return name


def request(field: str, limit: int, expr: str | None = None, **param: Any) -> AnnSearchRequest:
    data: list[Any] = [_SPARSE] if field == "words" else [_QUERY]
    return AnnSearchRequest(data, field, param, limit, expr=expr)


def ranking(field: str, limit: int, among: list[dict[str, Any]] = ROWS) -> Ranking:
    """The ranking of one search, by NumPy."""
    query = np.array(_QUERY)
    scores: dict[int, float] = {}
    for row in among:
        if field == "words":
            shared = [(word, weight) for word, weight in _SPARSE.items() if str(word) in row["words"]]
            if shared:
                scores[row["id"]] = sum(weight * row["words"][str(word)] for word, weight in shared)
        elif field == "near":
            scores[row["id"]] = float(((np.array(row["near"]) - query) ** 2).sum())
        else:
            lengths = np.linalg.norm(row["like"]) * np.linalg.norm(query)
            scores[row["id"]] = float(np.array(row["like"]) @ query / lengths)
    return best_first(scores, descending=field != "near")[:limit]


def found(hits: Any) -> list[tuple[int, float]]:
    return [(hit["id"], hit["distance"]) for hit in hits]


def same(hits: Any, expected: list[tuple[int, float]]) -> None:
    assert [key for key, _ in found(hits)] == [key for key, _ in expected]
    assert [score for _, score in found(hits)] == pytest.approx([score for _, score in expected], abs=1e-5)


def function(**params: Any) -> Function:
    return Function("rerank", FunctionType.RERANK, [], params=params)


@pytest.mark.parametrize("ranker", [RRFRanker(7), function(reranker="rrf", k=7)])
def test_reciprocal_rank_fusion(client: MilvusClient, docs: str, ranker: Any) -> None:
    searches = [request("near", 20), request("like", 10), request("words", 5)]
    (hits,) = client.hybrid_search(docs, searches, ranker, limit=12, output_fields=["book", "near"])
    expected = reciprocal_rank_scores([ranking("near", 20), ranking("like", 10), ranking("words", 5)], 7)
    same(hits, best_first(expected)[:12])
    for hit in hits:
        row = ROWS[hit["id"]]
        assert hit["entity"]["book"] == row["book"]
        assert hit["entity"]["near"] == pytest.approx(row["near"])


@pytest.mark.parametrize(
    ("fields", "normalized"),
    [(("near", "like"), True), (("near", "words"), False), (("like", "words"), False), (("near", "near"), False)],
)
@pytest.mark.parametrize("as_function", [False, True])
def test_weighted_sums(
    client: MilvusClient, docs: str, fields: tuple[str, ...], normalized: bool, as_function: bool
) -> None:
    weights = [0.3, 0.9]
    ranker: Any = WeightedRanker(*weights, norm_score=normalized)
    if as_function:
        ranker = function(reranker="weighted", weights=weights, norm_score=normalized)
    (hits,) = client.hybrid_search(docs, [request(field, 15) for field in fields], ranker, limit=10)
    metrics = [_METRICS[field] for field in fields]
    scores = weighted_scores([ranking(field, 15) for field in fields], metrics, weights, normalized=normalized)
    same(hits, best_first(scores, descending=normalized or set(metrics) != {"L2"})[:10])


def test_each_search_has_its_filter_and_all_have_the_partitions(client: MilvusClient, docs: str) -> None:
    searches = [request("near", 10, expr="book in ['a', 'b']"), request("like", 10, expr="id > 50", nprobe=3)]
    (hits,) = client.hybrid_search(docs, searches, RRFRanker(), limit=20, partition_names=["late"])
    late = ROWS[40:]
    by_book = [row for row in late if row["book"] in "ab"]
    by_id = [row for row in late if row["id"] > 50]
    expected = reciprocal_rank_scores([ranking("near", 10, by_book), ranking("like", 10, by_id)])
    same(hits, best_first(expected))


def test_offset_rounding_and_several_queries(client: MilvusClient, docs: str) -> None:
    searches = [request("near", 20), request("words", 20)]
    scores = best_first(reciprocal_rank_scores([ranking("near", 20), ranking("words", 20)]))
    (hits,) = client.hybrid_search(docs, searches, RRFRanker(), limit=4, offset=3, round_decimal=3)
    same(hits, [(key, round(score, 3)) for key, score in scores[3:7]])
    twice = [
        AnnSearchRequest([_QUERY, ROWS[5]["near"]], "near", {}, 5),
        AnnSearchRequest([_QUERY, ROWS[5]["like"]], "like", {}, 5),
    ]
    first, second = client.hybrid_search(docs, twice, RRFRanker(), limit=3)
    same(first, best_first(reciprocal_rank_scores([ranking("near", 5), ranking("like", 5)]))[:3])
    same(second[:1], [(5, 2 / 61)])
    (nothing,) = client.hybrid_search(docs, [request("near", 5, expr="id > 999")], RRFRanker(), limit=3)
    assert found(nothing) == []


def test_each_search_has_its_range(client: MilvusClient, docs: str) -> None:
    near, like = ranking("near", 60), ranking("like", 60)

    def before(scores: Ranking, place: int) -> float:
        return (scores[place - 1][1] + scores[place][1]) / 2

    searches = [
        request("near", 60, radius=before(near, 20), range_filter=before(near, 4)),
        request("like", 60, radius=before(like, 9)),
    ]
    (hits,) = client.hybrid_search(docs, searches, RRFRanker(), limit=60)
    assert {key for key, _ in found(hits)} == {key for key, _ in near[4:20]} | {key for key, _ in like[:9]}


def test_groups(client: MilvusClient, docs: str) -> None:
    searches = [request("near", 3), request("like", 3)]
    options: dict[str, Any] = {"group_by_field": "book", "group_size": 2, "output_fields": ["book"]}
    (hits,) = client.hybrid_search(docs, searches, RRFRanker(), limit=2, strict_group_size=True, **options)
    books = [hit["entity"]["book"] for hit in hits]
    assert [books[0]] * 2 + [books[2]] * 2 == books
    assert books[0] != books[2]
    best = found(hits)
    assert best[0][1] >= best[2][1], "the group of the best row comes first"
    with pytest.raises(MilvusException, match="input group scorer type: median is not supported"):
        client.hybrid_search(docs, searches, RRFRanker(), limit=2, rank_group_scorer="median", **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ranker": RRFRanker(0)}, "The rank params k should be in range (0, 16384)"),
        ({"ranker": WeightedRanker(0.5)}, "the length of weights param mismatch with ann search requests"),
        ({"ranker": WeightedRanker(0.5, 2)}, "rank param weight should be in range [0, 1]"),
        ({"ranker": function(reranker="decay", function="gauss")}, "Unsupported rerank function: [decay]"),
        ({"limit": 16384, "offset": 1}, "invalid max query result window, (offset+limit) should be in range"),
        ({"output_fields": ["colour"]}, "field colour not exist"),
        ({"partition_names": ["nope"]}, "nope"),
        ({"group_by_field": "near"}, "can't be grouped by"),
        ({"iterator": True}, "iterator of a hybrid search is not supported"),
        ({"reqs": []}, "a hybrid search has 1 to 1024 ann search requests, but got 0"),
        ({"reqs": [request("near", 20000)]}, "topk [20000] is invalid"),
        ({"reqs": [request("near", 5, expr="id >")]}, "cannot parse expression: id >"),
        ({"reqs": [request("near", 5, metric_type="IP")]}, "metric type not match"),
        ({"reqs": [request("near", 5, n_probe=1)]}, "did you mean nprobe?"),
        ({"reqs": [AnnSearchRequest([_QUERY], "nope", {}, 5)]}, "field not found[field=nope]"),
        (
            {"reqs": [request("near", 5), request("like", 5, group_by_field="book")]},
            "group_by_field, group_size and strict_group_size of its search 2 are not those of the hybrid search",
        ),
        (
            {"reqs": [request("near", 5, group_by_field="book", group_size=3)], "group_by_field": "book"},
            "not support search_group_by operation in the hybrid search",
        ),
        ({"reqs": [request("near", 5, round_decimal=2)]}, "round_decimal [2] of search 1 of a hybrid search"),
        (
            {"reqs": [request("near", 5, timezone="Asia/Tokyo"), request("like", 5, timezone="UTC")]},
            "timezone [UTC] of search 2 of a hybrid search is not that of the first",
        ),
        (
            {"reqs": [request("near", 5), AnnSearchRequest([_QUERY, _QUERY], "like", {}, 5)]},
            "sub search request nq should be the same: invalid parameter[expected=1][actual=2]",
        ),
    ],
)
def test_errors(client: MilvusClient, docs: str, options: Mapping[str, Any], text: str) -> None:
    defaults: dict[str, Any] = {
        "collection_name": docs,
        "reqs": [request("near", 5), request("like", 5)],
        "ranker": RRFRanker(),
        "limit": 5,
    }
    with pytest.raises(MilvusException) as error:
        client.hybrid_search(**{**defaults, **options})
    assert error.value.code == 1100
    assert text in error.value.message


def test_a_collection_that_is_released(plane: DataPlane, client: MilvusClient) -> None:
    name = plane.collection(vector("near"))
    plane.call("collections/release", collectionName=name)
    with pytest.raises(MilvusException, match="collection not loaded") as error:
        client.hybrid_search(name, [request("near", 5)], RRFRanker(), limit=5)
    assert error.value.code == 101

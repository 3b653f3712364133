"""Rankers as requests have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from penstock.collections.rankers import (
    Ranker,
    ReciprocalRankFusion,
    RerankFunction,
    WeightedSum,
    check_number_of_weights,
    function_ranker,
    ranker_of,
)
from penstock.errors import InvalidParameter


@pytest.mark.parametrize(
    ("strategy", "params", "expected"),
    [
        ("", {}, ReciprocalRankFusion(60)),
        ("rrf", {"k": 0.5}, ReciprocalRankFusion(0.5)),
        ("RRF", {"k": "100"}, ReciprocalRankFusion(100)),
        ("weighted", {"weights": [0, 1]}, WeightedSum([0, 1])),
        ("weighted", {"weights": "[0.5, 1.0]", "norm_score": "True"}, WeightedSum([0.5, 1], True)),
        ("weighted", {"weights": [0.5], "norm_score": False}, WeightedSum([0.5], False)),
    ],
)
def test_a_strategy_with_parameters(strategy: str, params: Mapping[str, Any], expected: Ranker) -> None:
    assert ranker_of(strategy, params) == expected


@pytest.mark.parametrize(
    ("strategy", "params", "text"),
    [
        ("best", {}, "unsupported rank type best; use one of rrf, weighted"),
        ("rrf", {"k": 0}, "The rank params k should be in range (0, 16384), but got 0"),
        ("rrf", {"k": 16384}, "The rank params k should be in range (0, 16384)"),
        ("rrf", {"k": "many"}, "Param k:'many' is not a number"),
        ("rrf", {"k": float("nan")}, "Param k:nan is not a number"),
        ("rrf", {"weights": [1]}, "weights is not a parameter of the ranker rrf; it has k"),
        ("weighted", {}, "weights not found"),
        ("weighted", {"weights": [0.5, 1.1]}, "rank param weight should be in range [0, 1], but got 1.1"),
        ("weighted", {"weights": [-0.1]}, "rank param weight should be in range [0, 1], but got -0.1"),
        ("weighted", {"weights": ["1"]}, "weight should be []float, but got: "),
        ("weighted", {"weights": [True]}, "weight should be []float, but got: "),
        ("weighted", {"weights": "0.5"}, "weight should be []float, but got: 0.5"),
        ("weighted", {"weights": "[0.5"}, "weight should be []float, but got: [0.5"),
        ("weighted", {"weights": [1], "norm_score": "maybe"}, "norm_score params must be true/false, but got maybe"),
    ],
)
def test_a_strategy_that_is_refused(strategy: str, params: Mapping[str, Any], text: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        ranker_of(strategy, params)
    assert text in str(error.value)


def test_a_rerank_function() -> None:
    function = RerankFunction(type="Rerank", params={"reranker": "rrf", "k": "7"})
    assert function_ranker([function], {}) == ReciprocalRankFusion(7)


@pytest.mark.parametrize(
    ("functions", "params", "text"),
    [
        ([], {}, "Currently only supports one rerank function, but got 0"),
        ([RerankFunction(type="BM25")], {}, "BM25 is not rerank function"),
        (
            [RerankFunction(type="Rerank", params={"reranker": "decay"})],
            {},
            "Unsupported rerank function: [decay] , list of supported [rrf,weighted]",
        ),
        (
            [RerankFunction(type="Rerank", params={"reranker": "rrf"}, input_fields=["year"])],
            {},
            "The rrf function does not support input parameters, but got year",
        ),
        ([RerankFunction(type="Rerank", params={"reranker": "rrf"})], {"boost_mode": "Sum"}, "boost_mode"),
    ],
)
def test_a_function_that_is_refused(functions: list[RerankFunction], params: Mapping[str, Any], text: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        function_ranker(functions, params)
    assert text in str(error.value)


def test_one_weight_for_each_search() -> None:
    check_number_of_weights(WeightedSum([0.5, 1]), 2)
    check_number_of_weights(ReciprocalRankFusion(), 2)
    with pytest.raises(InvalidParameter, match=r"mismatch with ann search requests: .*expected=3\]\[actual=2"):
        check_number_of_weights(WeightedSum([0.5, 1]), 3)

"""Rank fusion against its definition, for any rankings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.collections.rank_fusion import FusedRanking, Ranking, fuse
from penstock.collections.rankers import Ranker, ReciprocalRankFusion, WeightedSum
from penstock.domain.index import Metric
from tests.support.rank_fusion import reciprocal_rank_scores, weighted_scores

_FOUND = st.tuples(
    st.sampled_from(list(Metric)),
    st.lists(st.tuples(st.integers(0, 9), st.floats(-3, 3, width=32)), max_size=12),
)


def ranking(metric: Metric, found: list[tuple[int, float]]) -> Ranking:
    ordered = sorted(found, key=lambda hit: -hit[1] if metric.higher_is_nearer else hit[1])
    return Ranking(
        keys=pa.array([key for key, _ in ordered], pa.int64()),
        scores=np.array([score for _, score in ordered], np.float32),
        metric=metric,
    )


def pairs(fused: FusedRanking, rankings: list[Ranking]) -> list[tuple[int, float]]:
    keys = pa.concat_arrays([each.keys for each in rankings]).to_pylist()
    return [(keys[position], score) for position, score in zip(fused.positions, fused.scores, strict=True)]


def check(ranker: Ranker, rankings: list[Ranking]) -> None:
    plain: Any = [list(zip(each.keys.to_pylist(), each.scores.tolist(), strict=True)) for each in rankings]
    metrics = [each.metric.value for each in rankings]
    if isinstance(ranker, ReciprocalRankFusion):
        expected = reciprocal_rank_scores(plain, ranker.k)
    else:
        expected = weighted_scores(plain, metrics, ranker.weights, normalized=ranker.normalized)
    fused = fuse(ranker, rankings)
    found = pairs(fused, rankings)
    assert dict(found) == pytest.approx(dict(expected), abs=1e-6)
    assert len(found) == len(expected), "each key once"
    sign = -1 if fused.descending else 1
    assert found == sorted(found, key=lambda hit: (sign * hit[1], hit[0]))


@given(st.lists(_FOUND, min_size=1, max_size=4), st.sampled_from([0.5, 60, 16383]))
def test_reciprocal_rank_fusion(found: list[tuple[Metric, list[tuple[int, float]]]], k: float) -> None:
    check(ReciprocalRankFusion(k), [ranking(*each) for each in found])


@given(st.lists(st.tuples(_FOUND, st.floats(0, 1)), min_size=1, max_size=4), st.booleans())
def test_weighted_sum(found: list[tuple[tuple[Metric, list[tuple[int, float]]], float]], normalized: bool) -> None:
    weights = [weight for _, weight in found]
    check(WeightedSum(weights, normalized), [ranking(*each) for each, _ in found])


def test_distances_as_they_are_keep_the_nearest_first() -> None:
    near, far = ranking(Metric.L2, [(1, 0.5), (2, 4.0)]), ranking(Metric.L2, [(1, 1.5), (2, 3.0)])
    raw = fuse(WeightedSum([0.5, 0.5]), [near, far])
    assert (raw.descending, pairs(raw, [near, far])) == (False, [(1, 1.0), (2, 3.5)])
    cosine = ranking(Metric.COSINE, [(2, 0.25)])
    mixed = fuse(WeightedSum([1, 1]), [ranking(Metric.L2, [(1, 1.0)]), cosine])
    assert mixed.descending
    assert mixed.scores.tolist() == [0.5, 0.25]

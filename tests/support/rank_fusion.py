"""Fused rankings computed as they are defined, one row at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Ranking = Sequence[tuple[int, float]]
"""Keys and scores of one search, nearest first."""


def reciprocal_rank_scores(rankings: Sequence[Ranking], k: float = 60) -> Mapping[int, float]:
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(dict.fromkeys(key for key, _ in ranking), 1):
            scores[key] = scores.get(key, 0) + 1 / (k + rank)
    return scores


def weighted_scores(
    rankings: Sequence[Ranking], metrics: Sequence[str], weights: Sequence[float], *, normalized: bool
) -> Mapping[int, float]:
    is_mixed = {metric in ("IP", "COSINE", "BM25") for metric in metrics} == {True, False}
    scores: dict[int, float] = {}
    for ranking, metric, weight in zip(rankings, metrics, weights, strict=True):
        for key in dict.fromkeys(key for key, _ in ranking):
            score = next(score for other, score in ranking if other == key)
            if metric in ("L2", "HAMMING", "JACCARD"):
                score = 1 - 2 * math.atan(score) / math.pi if normalized or is_mixed else score
            elif normalized and metric == "BM25":
                score = 2 * math.atan(score) / math.pi
            elif normalized:
                score = (1 + score) / 2 if metric == "COSINE" else 0.5 + math.atan(score) / math.pi
            scores[key] = scores.get(key, 0) + weight * score
    return scores


def best_first(scores: Mapping[int, float], *, descending: bool = True) -> list[tuple[int, float]]:
    """Keys and scores in order; scores that are as good as equal are in order of their keys."""
    sign = -1 if descending else 1
    return sorted(scores.items(), key=lambda item: (sign * round(item[1], 5), item[0]))

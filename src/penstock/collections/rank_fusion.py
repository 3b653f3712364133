"""Rank fusion: one ranking of rows, by primary key, out of the rankings of several searches.

A row counts once in each search, at its best rank there: rows with the same key are one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from penstock.collections.rankers import Ranker, ReciprocalRankFusion, WeightedSum
from penstock.domain.index import Metric

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The rows that a search found, nearest first: their keys, and their scores by the search's metric."""

    keys: pa.Array[Any]
    scores: npt.NDArray[np.float32]
    metric: Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedRanking:
    """Rows in order of their fused scores, ties by key.

    ``positions`` are those of the rows in the rankings' concatenation. ``descending``: the best score is the highest.
    """

    positions: npt.NDArray[np.intp]
    scores: npt.NDArray[np.float32]
    descending: bool


def fuse(ranker: Ranker, rankings: Sequence[Ranking]) -> FusedRanking:
    """Fuse the rankings of one query by its searches.

    Scores are the sums of what the searches contribute. They are descending, but for a weighted sum of distances that
    are not normalized.
    """
    metrics = [ranking.metric for ranking in rankings]
    similarities = [metric.higher_is_nearer for metric in metrics]
    is_rescaled = isinstance(ranker, ReciprocalRankFusion) or ranker.normalized
    descending = is_rescaled or any(similarities)
    keys = pa.concat_arrays([ranking.keys for ranking in rankings])
    codes: Any = pc.dictionary_encode(keys)
    codes = codes.indices.to_numpy()
    contributions = []
    kept = []
    start = 0
    for number, ranking in enumerate(rankings):
        own = codes[start : start + len(ranking.keys)]
        _, firsts = np.unique(own, return_index=True)
        firsts.sort()
        contributions.append(_contributions(ranker, number, ranking, firsts, mixed=descending and not is_rescaled))
        kept.append(start + firsts)
        start += len(own)
    positions = np.concatenate(kept)
    sums = np.bincount(codes[positions], np.concatenate(contributions))
    codes_of_rows, firsts = np.unique(codes[positions], return_index=True)
    first_positions = positions[firsts]
    scores = sums[codes_of_rows].astype(np.float32)
    ordered = pa.table({"key": take(keys, first_positions), "score": pa.array(scores)})
    sort_keys: Any = [("score", "descending" if descending else "ascending"), ("key", "ascending")]
    order = pc.sort_indices(ordered, sort_keys).to_numpy()
    return FusedRanking(positions=first_positions[order], scores=scores[order], descending=descending)


def take(values: Any, positions: npt.NDArray[np.intp]) -> Any:
    """The elements of an array, a column or a table at these positions."""
    return values.take(pa.array(positions, pa.int64()))


def _contributions(
    ranker: Ranker, number: int, ranking: Ranking, firsts: npt.NDArray[np.intp], *, mixed: bool
) -> Scores:
    """What the search contributes to the scores of its rows; the rows are at ``firsts`` of its ranking."""
    if isinstance(ranker, ReciprocalRankFusion):
        return 1 / (ranker.k + np.arange(1, len(firsts) + 1))
    scale = _scale(ranker, ranking.metric, mixed=mixed)
    return ranker.weights[number] * scale(ranking.scores[firsts].astype(np.float64))


def _scale(ranker: WeightedSum, metric: Metric, *, mixed: bool) -> Callable[[Scores], Scores]:
    """How the scores of a metric are mapped before they are weighted.

    Distances among similarities are always turned, so that the highest is the best.
    """
    if not metric.higher_is_nearer:
        return _closeness if ranker.normalized or mixed else _unchanged
    if not ranker.normalized:
        return _unchanged
    if metric is Metric.BM25:
        return _positive_share
    return _cosine_share if metric is Metric.COSINE else _angle_share


def _unchanged(scores: Scores) -> Scores:
    return scores


def _closeness(distances: Scores) -> Scores:
    """1 for no distance, towards 0 for far ones."""
    return 1 - 2 * np.arctan(distances) / np.pi


def _cosine_share(scores: Scores) -> Scores:
    return (1 + scores) / 2


def _positive_share(scores: Scores) -> Scores:
    """From 0 for no score towards 1."""
    return 2 * np.arctan(scores) / np.pi


def _angle_share(scores: Scores) -> Scores:
    return 0.5 + np.arctan(scores) / np.pi

"""BM25 in plain Python: the reference that full-text search is tested against."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

__all__ = ["bm25"]


def bm25(
    texts: Mapping[int, Sequence[str]], query: Sequence[str], *, k1: float = 1.2, b: float = 0.75
) -> dict[int, float]:
    """The scores of the texts, given as their words by key, that share a word with the query; repeated words add."""
    average = sum(map(len, texts.values())) / len(texts)
    scores: dict[int, float] = {}
    for word in query:
        holders = [key for key, words in texts.items() if word in words]
        rarity = math.log(1 + (len(texts) - len(holders) + 0.5) / (len(holders) + 0.5))
        for key in holders:
            count = texts[key].count(word)
            norm = k1 * (1 - b + b * len(texts[key]) / average)
            scores[key] = scores.get(key, 0) + rarity * count * (k1 + 1) / (count + norm)
    return scores

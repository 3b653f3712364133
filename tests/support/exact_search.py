"""Exact search in NumPy, which the answers of engines are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.domain.index import Metric
from penstock.engines.values import QueryHits

__all__ = ["exact", "ids", "nearest"]

Floats = npt.NDArray[np.float64]


def exact(rows: npt.NDArray[Any], query: npt.NDArray[Any], metric: Metric) -> Floats:
    """The scores of all rows on Milvus's scale."""
    a, b = rows.astype(np.float64), query.astype(np.float64)
    if metric is Metric.L2:
        return np.asarray(((a - b) ** 2).sum(axis=1))
    if metric is Metric.IP:
        return np.asarray(a @ b)
    if metric is Metric.COSINE:
        return np.asarray(a @ b / np.linalg.norm(a, axis=1) / np.linalg.norm(b))
    x, y = np.unpackbits(rows, axis=1).astype(bool), np.unpackbits(query).astype(bool)
    if metric is Metric.HAMMING:
        return np.asarray((x ^ y).sum(axis=1), np.float64)
    return np.asarray(1 - (x & y).sum(axis=1) / (x | y).sum(axis=1), np.float64)


def nearest(scores: Floats, metric: Metric, count: int, allowed: npt.NDArray[np.bool_] | None = None) -> list[int]:
    """Row numbers, nearest first, equal scores by row number."""
    order = np.argsort(-scores if metric.higher_is_nearer else scores, kind="stable")
    return [int(i) for i in order if allowed is None or allowed[i]][:count]


def ids(hits: QueryHits) -> list[int]:
    found: list[int] = hits.rows["id"].to_numpy().tolist()
    return found

"""The true neighbours of queries, among rows that come block by block: what a recall is measured against."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["Nearest"]


class Nearest:
    """The ``count`` nearest rows to each query by L2, among all rows that were added so far."""

    def __init__(self, queries: npt.NDArray[np.float32], count: int = 10) -> None:
        self.queries = queries
        self._count = count
        # Double precision: in single precision rows that are nearly as near change places.
        self._points = queries.astype(np.float64)
        self._ids = np.empty((len(queries), 0), np.int64)
        self._distances = np.empty((len(queries), 0))

    def add(self, rows: npt.NDArray[np.float32], first_id: int) -> None:
        """Add rows whose ids count from ``first_id``."""
        values = rows.astype(np.float64)
        # Without the square of the query, which is the same for all rows.
        distances = np.einsum("ij,ij->i", values, values)[None, :] - 2 * self._points @ values.T
        ids = np.broadcast_to(np.arange(first_id, first_id + len(rows)), distances.shape)
        distances = np.concatenate([self._distances, distances], axis=1)
        ids = np.concatenate([self._ids, ids], axis=1)
        if distances.shape[1] > self._count:
            nearest = np.argpartition(distances, self._count - 1, axis=1)[:, : self._count]
            ids, distances = np.take_along_axis(ids, nearest, 1), np.take_along_axis(distances, nearest, 1)
        self._ids, self._distances = ids, distances

    def recall(self, place: int, ids: Iterable[object]) -> float:
        """The share of the nearest rows of the query at ``place`` that are among ``ids``."""
        return len(set(self._ids[place].tolist()) & set(ids)) / self._ids.shape[1]

"""Rows of any number, made in bounded memory: the first rows of a larger size are those of a smaller one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.files import write_blocks
from benchmarks.peers.vector_sets import Floats, latent_axes, latent_points

__all__ = ["FILE_ROWS", "RowFiles", "Rows"]

FILE_ROWS = 100_000
"""51 MB of 128 dimensions: about a split."""

_SEED, _QUERY_SEED = 24, 25
_CHUNK = 10_000


class Rows:
    """Vectors of few intrinsic dimensions with noise, as :mod:`benchmarks.peers.vector_sets` makes them."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._axes = latent_axes(np.random.default_rng(_SEED), dim)
        self._latest: tuple[int, Floats] | None = None

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, Floats]]:
        """The rows from ``start`` to before ``stop``, ten thousand at most at a time, each with its first number."""
        for number in range(start // _CHUNK, -(-stop // _CHUNK)):
            first = number * _CHUNK
            chunk = self._chunk(number)
            yield max(first, start), chunk[max(start - first, 0) : stop - first]

    def queries(self, count: int) -> Floats:
        """From the same source; none is a row."""
        return latent_points(np.random.default_rng(_QUERY_SEED), self._axes, count)

    def _chunk(self, number: int) -> Floats:
        if self._latest is None or self._latest[0] != number:
            points = latent_points(np.random.default_rng((_SEED, number)), self._axes, _CHUNK)
            self._latest = number, points
        return self._latest[1]


class RowFiles:
    """Parquet files of :data:`FILE_ROWS` rows in a folder. A size is the first of them, its last one shorter."""

    def __init__(self, rows: Rows, folder: Path) -> None:
        self._rows = rows
        self.folder = folder

    def make(self, count: int) -> list[Path]:
        """The files of the first ``count`` rows; those that are missing are written. None is ever half written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for first in range(0, count, FILE_ROWS):
            stop = min(count, first + FILE_ROWS)
            path = self.folder / f"{first:010}-{stop:010}.parquet"
            if not path.exists():
                draft = path.with_suffix(".draft")
                write_blocks(draft, (block for _, block in self._rows.blocks(first, stop)), first)
                draft.rename(path)
            paths.append(path)
        return paths

    def delete(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

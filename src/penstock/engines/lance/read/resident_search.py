"""Exact search of the vectors in memory: products of matrices find candidates, which are then compared one by one.

The product of all vectors with the queries of a pass is quick to compute, but rounded in its own way. A bound of the
rounding error makes the answer exact all the same: each row that could be among the nearest is a candidate, and gets
the distance that candidates of an index get, of these two vectors alone
(:func:`penstock.engines.lance.read.brute_force.paired_distances`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from penstock.domain.deadline import check_deadline
from penstock.domain.index import Metric
from penstock.engines.lance.layout.vector_block import Selection, VectorBlock
from penstock.engines.lance.read.brute_force import BATCH_BYTES, BATCH_ROWS, Distances, Scan, paired_distances
from penstock.machine import processors

METRICS = (Metric.L2, Metric.IP, Metric.COSINE)

Positions = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float32]

_CHUNK_PRODUCTS = 1 << 19
"""Products that are computed at a time: 2 MiB, which fit into a processor's cache."""
_COPIED_VALUES = 1 << 20
"""Values of the vectors that are copied out at a time."""
_MAX_GROUP = 64
_GROUPS_PER_ROW = 4
"""Rows whose least distance is found together, and the least number of such groups for each row of the answer."""
_LONGEST, _SHORTEST = 2.0**50, 2.0**-50
"""Lengths of vectors within which products neither overflow nor vanish."""
_ROUNDING = 2.0**-24
_SHARE_BYTES = 4 << 20
"""The least bytes of vectors that another thread multiplies, in half a millisecond: to begin takes it 0.1 ms."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Rows near the queries: the number of the query, the position in the block, the exact distance; by query."""

    queries: Positions
    positions: Positions
    distances: Distances


def nearest_resident(
    block: VectorBlock, scan: Scan, metric: Metric, queries: Floats, selected: Selection | None
) -> Neighbours | None:
    """For each query the ``scan.k`` nearest rows within ``scan.bounds``, and a few further ones, in no order.

    ``selected`` are the rows to search, all for None. Returns None if some vectors are so long or so
    short that the rounding error has no bound.
    """
    lengths = np.sqrt(np.einsum("ij,ij->i", queries, queries, dtype=np.float64))
    if not _is_bounded(block, metric, lengths):
        return None
    numbers, positions = _candidates(block, scan, _Products(block, metric, queries, lengths), selected)
    size = max(1, min(BATCH_ROWS, BATCH_BYTES // (4 * queries.shape[1])))
    distances = np.empty(len(positions), np.float32)
    for start in range(0, len(positions), size):
        check_deadline()
        part = slice(start, start + size)
        distances[part] = paired_distances(metric, block.vectors[positions[part]], queries[numbers[part]])
    within = scan.within(distances)
    numbers, positions, distances = numbers[within], positions[within], distances[within]
    order = np.argsort(numbers, kind="stable")
    return Neighbours(numbers[order], positions[order], distances[order])


def _is_bounded(block: VectorBlock, metric: Metric, lengths: npt.NDArray[np.float64]) -> bool:
    longest = max(block.longest, float(lengths.max()))
    shortest = min(block.shortest, float(lengths.min())) if metric is Metric.COSINE else 1.0
    return longest <= _LONGEST and shortest >= _SHORTEST


class _Products:
    """Distances of rows to queries, less a constant of each query, by products of matrices.

    ``constants`` are the query's, ``errors`` bound how far the sum of both is from the exact distance.
    """

    def __init__(self, block: VectorBlock, metric: Metric, queries: Floats, lengths: npt.NDArray[np.float64]) -> None:
        self._block = block
        self._metric = metric
        unit = (queries.shape[1] + 8) * _ROUNDING
        match metric:
            case Metric.L2:
                self._factors = -2 * queries
                self.constants = lengths**2
                self.errors = 4 * unit * (block.longest + lengths) ** 2
            case Metric.IP:
                self._factors = -queries
                self.constants = np.ones_like(lengths)
                self.errors = 4 * unit * (1 + block.longest * lengths)
            case _:
                self._factors = (-queries / lengths[:, None]).astype(np.float32)
                self.constants = np.ones_like(lengths)
                self.errors = np.full_like(lengths, 8 * unit)

    @property
    def queries(self) -> int:
        return len(self.constants)

    def of(self, rows: slice | Positions) -> Floats:
        vectors = self._block.vectors[rows]
        if self.queries == 1:
            products = _product(vectors, self._factors[0])[np.newaxis]
        else:
            # In this order, with a row of numbers for each vector, it takes half the time.
            products = np.ascontiguousarray((vectors @ self._factors.T).T)
        lengths = self._block.lengths[rows]
        if self._metric is Metric.L2:
            products += np.square(lengths)
        elif self._metric is Metric.COSINE:
            with np.errstate(divide="ignore", invalid="ignore"):
                products *= 1 / lengths
            if not lengths.all():
                products[:, lengths == 0] = np.inf  # a zero vector has no angle: it is never found
        return products


def _product(vectors: Floats, factor: Floats) -> Floats:
    """The product of a matrix and a vector, by all processors: OpenBLAS uses one, which waits for the memory."""
    shares = min(_processors(), vectors.nbytes // _SHARE_BYTES)
    if shares <= 1:
        return vectors @ factor
    products = np.empty(len(vectors), np.float32)
    edges = [len(vectors) * share // shares for share in range(shares + 1)]
    first, *others = [
        partial(np.matmul, vectors[start:end], factor, out=products[start:end]) for start, end in pairwise(edges)
    ]
    computed = [_threads().submit(product) for product in others]
    first()
    for product in computed:
        product.result()
    return products


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_processors(), thread_name_prefix="products")


@cache
def _processors() -> int:
    return processors()


@dataclass(frozen=True, slots=True)
class _Limits:
    """The bounds of a range search for rounded distances, of each query; infinite where there are none.

    Rows nearer than ``maybe`` or beyond ``below`` are not within; of the near end, those from ``surely`` on are.
    """

    maybe: Floats
    surely: Floats
    below: Floats

    @classmethod
    def of(cls, scan: Scan, products: _Products) -> _Limits:
        lower, below = scan.bounds
        lowest = -np.inf if lower is None else lower - products.constants
        highest = np.inf if below is None else below - products.constants
        return cls(
            maybe=_rounded(lowest - products.errors, -np.inf),
            surely=_rounded(lowest + products.errors, np.inf),
            below=_rounded(highest + products.errors, np.inf),
        )


def _rounded(values: npt.NDArray[np.float64], towards: float) -> Floats:
    """The values with 32 bits, not rounded the other way."""
    rounded: Floats = np.nextafter(values.astype(np.float32), np.float32(towards))
    return rounded


def _candidates(
    block: VectorBlock, scan: Scan, products: _Products, selected: Selection | None
) -> tuple[Positions, Positions]:
    """The numbers of queries, and the positions of the rows that may be among their nearest.

    The least distance of each group of rows is found quickly, and the ``k`` th of these is at least as far as the
    ``k`` th row. Rows that may be as near as that, but for rounding, are candidates.
    """
    limits = _Limits.of(scan, products)
    is_mask = selected is not None and selected.dtype == np.bool_
    mask, copied = (selected, None) if is_mask else (None, selected)
    total = len(block.addresses) if copied is None else len(copied)
    k = max(1, min(scan.k, total))
    group = max(1, min(_MAX_GROUP, total // (_GROUPS_PER_ROW * k)))
    nearest: Floats = np.full((products.queries, k), np.inf, np.float32)
    farthest = np.full(products.queries, np.inf, np.float32)
    numbers, positions, near = [], [], []
    size = _CHUNK_PRODUCTS // products.queries
    if copied is not None:
        size = min(size, _COPIED_VALUES // block.vectors.shape[1])
    size = max(group, size // group * group)
    for start in range(0, total, size):
        check_deadline()
        chunk = slice(start, min(start + size, total))
        distances = products.of(chunk if copied is None else copied[chunk])
        if mask is not None:
            distances[:, ~mask[chunk]] = np.inf
        groups, counted = _grouped(distances, group), None
        if scan.bounds[0] is not None:
            counted = np.where(groups >= limits.surely[:, None, None], groups, np.float32(np.inf)).min(axis=2)
            groups = np.where(groups >= limits.maybe[:, None, None], groups, np.float32(np.inf))
        least = groups.min(axis=2)
        nearest = np.concatenate([nearest, least if counted is None else counted], axis=1)
        nearest = np.partition(nearest, k - 1, axis=1)[:, :k]
        farthest = np.minimum(_rounded(nearest[:, -1] + 2 * products.errors, np.inf), limits.below)
        near_groups = np.nonzero((least <= farthest[:, None]) & (least < np.inf))
        members = groups[near_groups]
        found, places = np.nonzero((members <= farthest[near_groups[0], None]) & (members < np.inf))
        numbers.append(near_groups[0][found])
        positions.append(start + near_groups[1][found] * group + places)
        near.append(members[found, places])
    if not numbers:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    queries, places = np.concatenate(numbers), np.concatenate(positions)
    kept = np.concatenate(near) <= farthest[queries]
    places = places[kept]
    return queries[kept], places if copied is None else copied[places]


def _grouped(distances: Floats, group: int) -> Floats:
    """The distances of each query in groups, the last one filled up."""
    rows = distances.shape[1]
    if rows % group:
        filled = np.full((len(distances), rows + -rows % group), np.inf, np.float32)
        filled[:, :rows] = distances
        distances = filled
    return distances.reshape(len(distances), -1, group)

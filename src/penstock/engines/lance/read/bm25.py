"""Full-text search: BM25 scores of the term vectors that a function stored.

The score of a row for a query, with N rows, df(t) of them holding the term t, and lengths in terms:

    sum over t of  qf(t) * ln(1 + (N - df(t) + 0.5) / (df(t) + 0.5))
                   * tf(t) * (k1 + 1) / (tf(t) + k1 * (1 - b + b * length / average length))

Nothing is approximated or out of date: one scan counts over all visible rows, whatever the filter, and another one
scores those that match it. Of a column of 100 million terms both take about a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lance.dataset import LanceDataset

from penstock.domain.deadline import check_deadline
from penstock.domain.index import Bm25Params
from penstock.engines.lance.read.brute_force import Distances, Measure

_BATCH_BYTES = 8 << 20
_LOW_BITS = 1 << 16


@dataclass(frozen=True)
class TermStatistics:
    """Over all visible rows: their number, their terms in total, and how many hold each of ``terms`` (sorted)."""

    rows: int
    total_terms: float
    terms: npt.NDArray[np.uint32]
    frequencies: npt.NDArray[np.int64]

    def weights(self, query: Mapping[int, float]) -> npt.NDArray[np.float64]:
        """The weight of each of ``terms`` in a query: its frequency there times its inverse document frequency."""
        weights = np.zeros(len(self.terms))
        weights[np.searchsorted(self.terms, np.fromiter(query.keys(), np.uint32, len(query)))] = list(query.values())
        return weights * np.log1p((self.rows - self.frequencies + 0.5) / (self.frequencies + 0.5))


class _Terms:
    """The terms of all queries, and where they are in a batch of term vectors.

    Most terms of a text are in no query: a table of the low 16 bits of their ids excludes these ten times as fast as
    a binary search.
    """

    def __init__(self, queries: Sequence[Mapping[int, float]]) -> None:
        self.terms: npt.NDArray[np.uint32] = np.unique(
            np.fromiter((term for query in queries for term in query), np.uint32)
        )
        self._is_possible = np.zeros(_LOW_BITS, np.bool_)
        self._is_possible[self.terms % _LOW_BITS] = True

    def find(self, ids: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """The positions of ids that are among the terms, and which of the terms they are."""
        if not len(self.terms):
            return np.empty(0, np.intp), np.empty(0, np.intp)
        positions = np.flatnonzero(self._is_possible[ids.astype(np.uint16)])
        candidates = ids[positions]
        places = np.minimum(np.searchsorted(self.terms, candidates), len(self.terms) - 1)
        found = self.terms[places] == candidates
        return positions[found], places[found]


def term_statistics(
    dataset: LanceDataset, column: str, where: str | None, queries: Sequence[Mapping[int, float]]
) -> TermStatistics:
    """Count the terms of the queries in the rows for which ``where`` is true."""
    terms = _Terms(queries)
    rows, total = 0, 0.0
    frequencies = np.zeros(len(terms.terms), np.int64)
    scanner = dataset.scanner(columns=[column], filter=where, batch_size_bytes=_BATCH_BYTES)
    for batch in scanner.to_batches():
        check_deadline()
        vectors: Any = batch[column]
        rows += len(vectors)
        total += float(vectors.field("values").flatten().to_numpy().sum(dtype=np.float64))
        _, places = terms.find(vectors.field("indices").flatten().to_numpy())
        frequencies += np.bincount(places, minlength=len(frequencies))
    return TermStatistics(rows, total, terms.terms, frequencies)


def bm25_distances(queries: Sequence[Mapping[int, float]], statistics: TermStatistics, params: Bm25Params) -> Measure:
    """Minus the scores. Rows that share no term with a query are no candidates."""
    terms = _Terms(queries)
    query_weights = [statistics.weights(query) for query in queries]
    average = statistics.total_terms / max(statistics.rows, 1)

    def measure(vectors: pa.Array[Any]) -> Iterator[tuple[npt.NDArray[np.intp], Distances]]:
        lists = vectors.field("indices")  # type: ignore[attr-defined]
        owners = np.repeat(np.arange(len(vectors)), lists.value_lengths().to_numpy())
        frequencies = vectors.field("values").flatten().to_numpy()  # type: ignore[attr-defined]
        positions, places = terms.find(lists.flatten().to_numpy())
        lengths = np.bincount(owners, frequencies, minlength=len(vectors))
        rows, counts = owners[positions], frequencies[positions].astype(np.float64)
        norms = params.k1 * (1 - params.b + params.b * lengths[rows] / average) if len(rows) else counts
        saturations = counts * (params.k1 + 1) / (counts + norms)
        for weights in query_weights:
            check_deadline()
            shared = np.flatnonzero(weights[places])
            sums = np.bincount(rows[shared], weights[places[shared]] * saturations[shared], minlength=len(vectors))
            candidates = np.unique(rows[shared])
            yield candidates, (-sums[candidates]).astype(np.float32)

    return measure

"""Term vectors: the terms of a text as a sparse vector, term id → frequency.

This is what a BM25 function stores for each row. Ids are 32-bit hashes, as in Milvus: a vocabulary would have to be
shared by all jobs. Two terms with one id count as one; a million different terms have about a hundred such pairs.
"""

from __future__ import annotations

import zlib
from array import array
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from penstock.analyzers.analyzer import Analyzer

_IDS = 2**32 - 1
"""The highest index of a sparse vector is one less."""

_SLICE_BYTES = 1 << 20
"""Bytes of text to analyze at a time: their terms take about eight times as many."""


def term_id(term: str) -> int:
    """The id of a term. Stored: it must never change."""
    return zlib.crc32(term.encode()) % _IDS


def query_vector(text: str, analyzer: Analyzer) -> dict[int, float]:
    """The term vector of a query: how often it holds each term."""
    return {term: float(count) for term, count in Counter(map(term_id, analyzer.terms(text))).items()}


def term_vectors(texts: pa.Array[Any], analyzer: Analyzer) -> pa.Array[Any]:
    """The term vectors of a column of texts, in the canonical type of sparse vectors; a null has no terms."""
    rows = max(1, len(texts) * _SLICE_BYTES // max(texts.nbytes, 1))
    slices = [_term_vectors(texts.slice(start, rows), analyzer) for start in range(0, len(texts) or 1, rows)]
    return slices[0] if len(slices) == 1 else pa.concat_arrays(slices)


class _TokenIds(dict[str, int]):
    """The ids of the terms of tokens; :data:`_IDS` for dropped ones."""

    def __init__(self, analyzer: Analyzer) -> None:
        super().__init__()
        self._analyzer = analyzer

    def __missing__(self, token: str) -> int:
        term = self._analyzer.term(token)
        number = self[token] = _IDS if term is None else term_id(term)
        return number


def _term_vectors(texts: pa.Array[Any], analyzer: Analyzer) -> pa.Array[Any]:
    ids = array("Q")
    token_counts = []
    id_of = _TokenIds(analyzer).__getitem__
    for text in texts.to_pylist():
        tokens = analyzer.split(text) if text else []
        ids.extend(map(id_of, tokens))
        token_counts.append(len(tokens))
    rows = np.repeat(np.arange(len(texts), dtype=np.uint64), token_counts)
    # Sorted by row, then by id.
    keys, counts = np.unique((rows << np.uint64(32)) | np.asarray(ids, np.uint64), return_counts=True)
    term_ids = keys.astype(np.uint32)
    kept = term_ids != _IDS
    lengths = np.bincount((keys[kept] >> np.uint64(32)).astype(np.int64), minlength=len(texts))
    offsets: Any = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    indices = pa.ListArray.from_arrays(offsets, pa.array(term_ids[kept]))
    values = pa.ListArray.from_arrays(offsets, pa.array(counts[kept].astype(np.float32)))
    return pa.StructArray.from_arrays([indices, values], ["indices", "values"])

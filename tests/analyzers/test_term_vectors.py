"""Term vectors: what a BM25 function stores."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.analyzers import analyzer_from_params, term_vectors
from penstock.analyzers.term_vectors import query_vector, term_id
from penstock.domain.arrow_schema import SPARSE
from tests.support.examples import examples

ANALYZER = analyzer_from_params('{"type": "standard", "stop_words": ["the"]}')


def test_ids_are_stored_and_must_not_change() -> None:
    assert (term_id("milvus"), term_id("é"), term_id("")) == (725768567, 235179326, 0)


@given(texts=st.lists(st.none() | st.text(alphabet="ab the,", max_size=20), max_size=20))
@settings(max_examples=examples(20, 50), deadline=None)
def test_each_row_has_the_frequencies_of_its_terms(texts: list[str | None]) -> None:
    column = pa.array(["x", *texts, "y"], pa.string()).slice(1, len(texts))
    vectors = term_vectors.term_vectors(column, ANALYZER)
    vectors.validate(full=True)
    assert vectors.type == SPARSE
    assert not vectors.null_count
    for text, vector in zip(texts, vectors.to_pylist(), strict=True):
        counts = Counter(map(term_id, ANALYZER.terms(text or "")))
        assert vector == {"indices": sorted(counts), "values": [float(counts[term]) for term in sorted(counts)]}


def test_long_columns_are_analyzed_in_slices() -> None:
    texts = [f"word{index} " * 1000 for index in range(400)]
    vectors = term_vectors.term_vectors(pa.array(texts), ANALYZER)
    assert vectors.to_pylist() == [{"indices": [term_id(f"word{i}")], "values": [1000.0]} for i in range(400)]


def test_a_query_counts_its_terms_too() -> None:
    assert query_vector("A the a b", ANALYZER) == {term_id("a"): 2.0, term_id("b"): 1.0}

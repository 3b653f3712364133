"""Conformance: full-text search has the scores of the formula, over all visible rows of the table."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from penstock.analyzers import analyzer_from_params
from penstock.analyzers.term_vectors import query_vector, term_vectors
from penstock.domain.arrow_schema import canonical_schema
from penstock.domain.expiry import Expiry
from penstock.domain.ids import first_id_at
from penstock.domain.index import Bm25Params, IndexSpec, Metric
from penstock.domain.rest_schema import schema_from_rest
from penstock.engines.base import Engine
from penstock.engines.values import QueryHits, SearchRequest, Table
from penstock.errors import InvalidParameter
from penstock.filters import parse
from tests.support.bm25_oracle import bm25
from tests.support.tables import import_rows, new_table

SCHEMA = schema_from_rest(
    {
        "fields": [
            {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
            {
                "fieldName": "text",
                "dataType": "VarChar",
                "elementTypeParams": {"max_length": 999, "enable_analyzer": True, "enable_match": True},
            },
            {"fieldName": "terms", "dataType": "SparseFloatVector"},
        ],
        "functions": [{"name": "f", "type": "BM25", "inputFieldNames": ["text"], "outputFieldNames": ["terms"]}],
    }
).check()
ANALYZER = analyzer_from_params("")
WORDS = [f"w{number}" for number in range(40)]
CHANCE = random.Random(3)
TEXTS = {key: " ".join(CHANCE.choices(WORDS, range(40, 0, -1), k=CHANCE.choice([0, 3, 9, 30]))) for key in range(200)}


def batch(texts: Mapping[int, str], partition: int = 0) -> pa.RecordBatch:
    column = pa.array(texts.values(), pa.string())
    keys, numbers = pa.array(texts, pa.int64()), pa.array([partition] * len(texts), pa.int64())
    arrays: list[pa.Array[Any]] = [keys, column, term_vectors(column, ANALYZER), numbers]
    return pa.RecordBatch.from_arrays(arrays, schema=canonical_schema(SCHEMA))


def search(engine: Engine, table: Table, *queries: str, limit: int = 300, **options: Any) -> list[QueryHits]:
    vectors = [query_vector(query, ANALYZER) for query in queries]
    request = SearchRequest(field_name="terms", queries=vectors, metric=Metric.BM25, limit=limit, **options)
    return engine.search(table, request)


def scores(hits: QueryHits) -> dict[int, float]:
    return dict(zip(keys_of(hits), hits.scores.tolist(), strict=True))


def keys_of(hits: QueryHits) -> list[int]:
    keys: list[Any] = hits.rows["id"].to_pylist()
    return keys


def expected(texts: Mapping[int, str], query: str, among: Sequence[int] | None = None, **params: float) -> Any:
    found = bm25({key: text.split() for key, text in texts.items()}, query.split(), **params)
    return pytest.approx({key: score for key, score in found.items() if among is None or key in among}, rel=1e-5)


@pytest.fixture(scope="module")
def engine(module_engine: Engine) -> Engine:
    if Metric.BM25 not in module_engine.capabilities.metrics:
        pytest.skip(f"{module_engine.name} can't search by BM25")
    return module_engine


@pytest.fixture(scope="module")
def table(engine: Engine) -> Table:
    return filled_table(engine)


def filled_table(engine: Engine) -> Table:
    """Three jobs, two of them in partition 1."""
    table = new_table(engine, SCHEMA)
    for part in range(3):
        rows = {key: text for key, text in TEXTS.items() if key % 3 == part}
        table, _ = import_rows(engine, table, batch(rows, min(part, 1)))
    return table


@pytest.mark.parametrize("query", ["w0", "w39 w38 w0", "w7 w7 w9 unknown", " ".join(WORDS)])
def test_scores(engine: Engine, table: Table, query: str) -> None:
    (hits,) = search(engine, table, query)
    assert scores(hits) == expected(TEXTS, query)
    assert hits.scores.tolist() == sorted(hits.scores.tolist(), reverse=True)
    (page,) = search(engine, table, query, limit=3, offset=2)
    assert page.rows["id"].to_pylist() == hits.rows["id"].to_pylist()[2:5]


def test_each_query_has_its_own_terms(engine: Engine, table: Table) -> None:
    found = search(engine, table, "w1 w2", "unknown", "w30", "")
    assert scores(found[0]) == expected(TEXTS, "w1 w2")
    assert scores(found[2]) == expected(TEXTS, "w30")
    assert [len(hits.scores) for hits in found[1::2]] == [0, 0]


@pytest.mark.parametrize(("k1", "b"), [(0.0, 0.75), (3.0, 0.0), (1.2, 1.0), (0.5, 0.3)])
def test_parameters(engine: Engine, table: Table, k1: float, b: float) -> None:
    (hits,) = search(engine, table, "w1 w20", bm25=Bm25Params(k1=k1, b=b))
    assert scores(hits) == expected(TEXTS, "w1 w20", k1=k1, b=b)


def test_filters_partitions_and_ranges_choose_rows_but_not_statistics(engine: Engine, table: Table) -> None:
    (hits,) = search(engine, table, "w3 w4", filter=parse("id < 100 or id == 150", SCHEMA))
    assert scores(hits) == expected(TEXTS, "w3 w4", [*range(100), 150])
    (hits,) = search(engine, table, "w3 w4", filter=parse("not text_match(text, 'w3 w5')", SCHEMA))
    assert scores(hits) == expected(
        TEXTS, "w3 w4", [key for key, text in TEXTS.items() if not {"w3", "w5"} & {*text.split()}]
    )
    (hits,) = search(engine, table, "w3 w4", partitions=[0], columns=["text"])
    assert scores(hits) == expected(TEXTS, "w3 w4", range(0, 200, 3))
    assert hits.rows["text"].to_pylist() == [TEXTS[key] for key in keys_of(hits)]
    (hits,) = search(engine, table, "w3 w4", radius=1.0, range_filter=2.0)
    assert set(scores(hits)) == {
        key for key, score in expected(TEXTS, "w3 w4").expected.items() if 1.0 < score <= 2.0
    }


def test_statistics_follow_the_rows(engine: Engine) -> None:
    table = filled_table(engine)
    table = replace(table, version=engine.remove_partition(table, 1))
    left = {key: text for key, text in TEXTS.items() if key % 3 == 0}
    assert scores(search(engine, table, "w3 w4")[0]) == expected(left, "w3 w4")
    assert engine.maintainable is not None
    spec = IndexSpec(name="terms", field_name="terms", type="SPARSE_INVERTED_INDEX", metric=Metric.BM25)
    table = replace(table, version=engine.maintainable.index(table, [spec]))
    assert not engine.maintainable.index_is_due(table, spec)
    table, _ = import_rows(engine, table, batch({500: "w3 new"}))
    table = replace(table, version=engine.maintainable.compact(table))
    assert scores(search(engine, table, "w3 new")[0]) == expected({**left, 500: "w3 new"}, "w3 new")


def test_expired_rows_do_not_count(engine: Engine) -> None:
    table = new_table(engine, SCHEMA)
    for job, texts in (
        (first_id_at(5), {1: "old word", 2: "old"}),
        (first_id_at(20), {3: "new word", 4: "word word"}),
    ):
        staged = engine.stage(table, job, iter([batch(texts)]))
        table = replace(table, version=engine.publish(table, job, 1, [staged]).version)
    table = replace(table, expiry=Expiry(cutoff=10))
    (hits,) = search(engine, table, "word old")
    assert scores(hits) == expected({3: "new word", 4: "word word"}, "word old")


def test_an_empty_table_and_other_metrics(engine: Engine, table: Table) -> None:
    empty = new_table(engine, SCHEMA)
    assert [len(hits.scores) for hits in search(engine, empty, "a", "b")] == [0, 0]
    with pytest.raises(InvalidParameter, match="can't be searched by IP"):
        engine.search(table, SearchRequest(field_name="terms", queries=[{1: 1.0}], metric=Metric.IP, limit=1))

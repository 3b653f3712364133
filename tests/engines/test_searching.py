"""Conformance: search agrees with comparing every row in NumPy, filtered or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from penstock.domain.arrow_schema import SPARSE
from penstock.domain.index import Metric
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.engines.base import Engine
from penstock.engines.values import SearchRequest, Table
from penstock.errors import InvalidParameter
from penstock.filters import parse
from tests.support.exact_search import exact, ids, nearest
from tests.support.tables import (
    DIM,
    every_type,
    fixed_lists,
    import_rows,
    new_table,
    plain,
    plain_batch,
    typed_batch,
    vectors,
)

ROWS = 1000


@pytest.fixture(scope="module")
def engine(module_engine: Engine) -> Engine:
    return module_engine


@pytest.fixture(scope="module")
def table(engine: Engine) -> Table:
    """The vectors ``vectors(ROWS)``."""
    return import_rows(engine, new_table(engine), plain_batch(vectors(ROWS)))[0]


@pytest.fixture(scope="module")
def typed_rows() -> pa.RecordBatch:
    return typed_batch(200)


@pytest.fixture(scope="module")
def typed_table(engine: Engine, typed_rows: pa.RecordBatch) -> Table:
    return import_rows(engine, new_table(engine, every_type()), typed_rows)[0]


def needs(engine: Engine, metric: Metric) -> None:
    """Skip the test of an engine that can't search by a metric."""
    if metric not in engine.capabilities.metrics:
        pytest.skip(f"{engine.name} can't search by {metric}")


@pytest.mark.parametrize("metric", [Metric.L2, Metric.IP, Metric.COSINE])
def test_float_vectors(engine: Engine, table: Table, metric: Metric) -> None:
    rows, queries = vectors(ROWS), vectors(3, seed=1)
    found = engine.search(table, SearchRequest(field_name="vector", queries=queries, metric=metric, limit=10))
    assert len(found) == 3
    for query, hits in zip(queries, found, strict=True):
        scores = exact(rows, query, metric)
        assert ids(hits) == nearest(scores, metric, 10)
        assert hits.scores.dtype == np.float32
        np.testing.assert_allclose(hits.scores, scores[ids(hits)], rtol=1e-5, atol=1e-5)
        assert hits.rows.schema.names == ["id"]


def half(values: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    return values.astype(np.float16)


def brain(values: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    return (values.view(np.uint32) & 0xFFFF0000).view(np.float32)


def int8(values: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    return np.clip(values * 40, -128, 127).astype(np.int8)


@pytest.mark.parametrize(
    ("kind", "narrowed"),
    [(DataType.FLOAT16_VECTOR, half), (DataType.BFLOAT16_VECTOR, brain), (DataType.INT8_VECTOR, int8)],
)
def test_short_vectors(
    engine: Engine, kind: DataType, narrowed: Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]
) -> None:
    schema = plain(type=kind)
    rows, query = narrowed(vectors(ROWS)), narrowed(vectors(1, seed=1))
    table, _ = import_rows(engine, new_table(engine, schema), plain_batch(rows, schema=schema))
    for metric in (Metric.L2, Metric.IP, Metric.COSINE):
        request = SearchRequest(
            field_name="vector", queries=query.astype(np.float32), metric=metric, limit=20, columns=["vector"]
        )
        [hits] = engine.search(table, request)
        scores = exact(rows, query[0], metric)
        np.testing.assert_allclose(hits.scores, scores[ids(hits)], rtol=2e-3, atol=2e-3)
        best = nearest(scores, metric, 20)
        assert len(set(best) & set(ids(hits))) >= 19, metric
        assert hits.rows["vector"].combine_chunks().equals(fixed_lists(rows[ids(hits)])), metric


@pytest.mark.parametrize("metric", [Metric.HAMMING, Metric.JACCARD])
@pytest.mark.parametrize("dim", [8, 512])
def test_binary_vectors(engine: Engine, metric: Metric, dim: int) -> None:
    needs(engine, metric)
    schema = plain(dim=dim, type=DataType.BINARY_VECTOR)
    rng = np.random.default_rng(0)
    rows = rng.integers(1, 256, (ROWS, dim // 8)).astype(np.uint8)
    table, _ = import_rows(engine, new_table(engine, schema), plain_batch(rows, schema=schema))
    queries = rows[[5, 17]]
    request = SearchRequest(field_name="vector", queries=queries, metric=metric, limit=900)
    found = engine.search(table, request)
    for query, hits in zip(queries, found, strict=True):
        scores = exact(rows, query, metric)
        np.testing.assert_allclose(hits.scores, np.sort(scores)[:900], atol=1e-6)
        np.testing.assert_allclose(hits.scores, scores[ids(hits)], atol=1e-6)


def test_two_zero_binary_vectors_have_nothing_in_common(engine: Engine) -> None:
    needs(engine, Metric.JACCARD)
    schema = plain(dim=8, type=DataType.BINARY_VECTOR)
    rows = np.array([[0], [1], [3]], np.uint8)
    table, _ = import_rows(engine, new_table(engine, schema), plain_batch(rows, schema=schema))
    request = SearchRequest(field_name="vector", queries=rows[:1], metric=Metric.JACCARD, limit=5)
    [hits] = engine.search(table, request)
    assert hits.scores.tolist() == [1, 1, 1]


def test_sparse_vectors(engine: Engine) -> None:
    schema = plain(None, type=DataType.SPARSE_FLOAT_VECTOR)
    rng = np.random.default_rng(0)
    width = 60
    dense = np.where(rng.random((ROWS, width)) < 0.1, rng.random((ROWS, width)), 0).astype(np.float32)
    cells = [{"indices": np.flatnonzero(row).tolist(), "values": row[row != 0].tolist()} for row in dense]
    column = pa.array(cells, SPARSE)
    table, _ = import_rows(engine, new_table(engine, schema), plain_batch(column, schema=schema))
    queries = [{3: 0.5, 59: 1.5, 4_294_967_295: 9.0}, {}, {10: 1.0}]
    found = engine.search(table, SearchRequest(field_name="vector", queries=queries, metric=Metric.IP, limit=400))
    for query, hits in zip(queries, found, strict=True):
        asked = [i for i in query if i < width]
        scores = dense[:, asked].astype(np.float64) @ np.array([query[i] for i in asked])
        shared = (dense[:, asked] != 0).any(axis=1)
        best = nearest(scores, Metric.IP, 400, shared)
        assert len(ids(hits)) == len(best)
        np.testing.assert_allclose(hits.scores, scores[best], rtol=1e-6)
        assert set(ids(hits)) <= set(np.flatnonzero(shared).tolist())


@pytest.mark.parametrize(
    ("kind", "metric"), [(DataType.FLOAT_VECTOR, Metric.COSINE), (DataType.BINARY_VECTOR, Metric.JACCARD)]
)
def test_rows_without_a_vector_are_never_found(engine: Engine, kind: DataType, metric: Metric) -> None:
    needs(engine, metric)
    schema = plain(type=kind, nullable=True)
    nulls = [i % 3 == 0 for i in range(300)]
    width = DIM // 8 if kind is DataType.BINARY_VECTOR else DIM
    values: npt.NDArray[Any] = np.random.default_rng(0).integers(1, 255, (300, width))
    values = values.astype(np.uint8 if kind is DataType.BINARY_VECTOR else np.float32)
    batch = plain_batch(fixed_lists(values, nulls), schema=schema)
    table, _ = import_rows(engine, new_table(engine, schema), batch)
    request = SearchRequest(field_name="vector", queries=values[:1], metric=metric, limit=300)
    [hits] = engine.search(table, request)
    assert sorted(ids(hits)) == [i for i in range(300) if i % 3]


def test_offset_limit_and_columns(engine: Engine, table: Table) -> None:
    rows, query = vectors(ROWS), vectors(2, seed=1)
    request = SearchRequest(
        field_name="vector",
        queries=query,
        metric=Metric.L2,
        limit=5,
        offset=7,
        columns=["word", META_FIELD, "vector"],
    )
    for one, hits in zip(query, engine.search(table, request), strict=True):
        best = nearest(exact(rows, one, Metric.L2), Metric.L2, 12)[7:]
        assert ids(hits) == best
        assert hits.rows.schema.names == ["id", "word", META_FIELD, "vector"]
        assert hits.rows.drop_columns([META_FIELD]).equals(
            pa.table(plain_batch(rows)).select(["id", "word", "vector"]).take(best)
        )
    [first, _] = engine.search(table, replace(request, offset=995, limit=100))
    assert len(ids(first)) == 5
    [none, _] = engine.search(table, replace(request, offset=2000))
    assert ids(none) == []
    assert none.rows.schema.names == ["id", "word", META_FIELD, "vector"]


def test_a_result_that_exceeds_its_limit_is_refused(engine: Engine, table: Table) -> None:
    request = SearchRequest(
        field_name="vector", queries=vectors(3, seed=1), metric=Metric.L2, limit=100, max_bytes=200 * DIM * 4
    )
    assert [len(ids(hits)) for hits in engine.search(table, request)] == [100] * 3
    assert len(engine.search(table, replace(request, limit=50, columns=["vector"]))) == 3
    with pytest.raises(InvalidParameter, match=r"rows would take about .* Use limit and offset, or fewer output"):
        engine.search(table, replace(request, columns=["vector"]))


def test_equal_scores_come_in_order_of_their_keys(engine: Engine) -> None:
    rows = np.tile(vectors(1), (50, 1))
    table, _ = import_rows(engine, new_table(engine), plain_batch(rows))
    [hits] = engine.search(table, SearchRequest(field_name="vector", queries=rows[:1], metric=Metric.L2, limit=50))
    assert ids(hits) == list(range(50))


@pytest.mark.parametrize("text", ["", "number >= 0", f"number not in {[*range(-1, -1200, -1)]}"])
def test_pages_of_equal_scores_have_each_row_once(engine: Engine, text: str) -> None:
    """Also where keys and rows are in another order. Of the last filter Lance gets nothing."""
    rows = 300
    batch = plain_batch(np.tile(vectors(1), (rows, 1)))
    keys = pa.array(np.random.default_rng(1).permutation(rows))
    batch = batch.set_column(0, batch.schema.field(0), keys)
    table, _ = import_rows(engine, new_table(engine), batch.slice(0, 180))
    table, _ = import_rows(engine, table, batch.slice(180))
    found = parse(text, table.schema)
    request = SearchRequest(field_name="vector", queries=vectors(1), metric=Metric.L2, limit=100, filter=found)
    pages = [engine.search(table, replace(request, offset=offset))[0] for offset in range(0, rows, 100)]
    seen = [key for page in pages for key in ids(page)]
    assert len(seen) == len(set(seen)) == engine.count(table, found)


@pytest.mark.parametrize("metric", [Metric.L2, Metric.IP, Metric.COSINE])
def test_radius_and_range_filter(engine: Engine, table: Table, metric: Metric) -> None:
    rows, query = vectors(ROWS), vectors(1, seed=1)
    scores = exact(rows, query[0], metric)
    low, high = np.quantile(scores, [0.4, 0.6])
    radius, range_filter = (low, high) if metric.higher_is_nearer else (high, low)
    request = SearchRequest(
        field_name="vector",
        queries=query,
        metric=metric,
        limit=ROWS,
        radius=float(radius),
        range_filter=float(range_filter),
    )
    [hits] = engine.search(table, request)
    inside = (scores > low) & (scores <= high) if metric.higher_is_nearer else (scores >= low) & (scores < high)
    assert ids(hits) == nearest(scores, metric, ROWS, inside)
    [beyond] = engine.search(table, replace(request, range_filter=None))
    assert len(ids(beyond)) > len(ids(hits))


@pytest.mark.parametrize("metric", [Metric.L2, Metric.IP, Metric.COSINE, Metric.HAMMING, Metric.JACCARD])
@pytest.mark.parametrize("size", [1, 300])
def test_rows_beyond_a_score(engine: Engine, metric: Metric, size: int) -> None:
    """Rows whose score is equal to the bound as 32 bits are never found, all farther ones are."""
    needs(engine, metric)
    rng = np.random.default_rng(3)
    binary = metric in (Metric.HAMMING, Metric.JACCARD)
    schema = plain(dim=16, type=DataType.BINARY_VECTOR) if binary else plain()
    rows: npt.NDArray[Any] = rng.integers(0, 4, (300, 2 if binary else DIM))
    rows = rows.astype(np.uint8) if binary else (rows * size + rng.choice([0.1, 0.7], (300, 1))).astype(np.float32)
    table, _ = import_rows(engine, new_table(engine, schema), plain_batch(rows, schema=schema))
    request = SearchRequest(field_name="vector", queries=rows[:1], metric=metric, limit=300, exact=True)
    [everything] = engine.search(table, request)
    scores = everything.scores
    assert len(np.unique(scores)) < len(scores), "there are ties"
    for score in np.unique(scores)[::7]:
        [hits] = engine.search(table, replace(request, beyond=float(score)))
        farther = scores < score if metric.higher_is_nearer else scores > score
        assert ids(hits) == np.array(ids(everything))[farther].tolist()
    [inside] = engine.search(table, replace(request, beyond=float(scores[150]), radius=float(scores[150])))
    assert ids(inside) == []


@pytest.mark.parametrize("metric", [Metric.L2, Metric.IP, Metric.COSINE])
def test_infinite_bounds(engine: Engine, table: Table, metric: Metric) -> None:
    nearer, farther = (np.inf, -np.inf) if metric.higher_is_nearer else (-np.inf, np.inf)
    request = SearchRequest(field_name="vector", queries=vectors(1, seed=1), metric=metric, limit=9, exact=True)
    [hits] = engine.search(table, request)
    everything: list[dict[str, Any]] = [{"beyond": nearer}, {"range_filter": nearer}, {"radius": farther}]
    nothing: list[dict[str, Any]] = [{"beyond": farther}, {"range_filter": farther}, {"radius": nearer}]
    for bounds in everything:
        [same] = engine.search(table, replace(request, **bounds))
        assert ids(same) == ids(hits), bounds
    for bounds in nothing:
        [none] = engine.search(table, replace(request, **bounds))
        assert ids(none) == [], bounds


def test_sparse_rows_beyond_a_score(engine: Engine) -> None:
    schema = plain(None, type=DataType.SPARSE_FLOAT_VECTOR)
    column = pa.array([{"indices": [1], "values": [i // 3 + 0.1]} for i in range(30)], SPARSE)
    table, _ = import_rows(engine, new_table(engine, schema), plain_batch(column, schema=schema))
    request = SearchRequest(field_name="vector", queries=[{1: 0.3}], metric=Metric.IP, limit=30)
    [everything] = engine.search(table, request)
    [hits] = engine.search(table, replace(request, beyond=float(everything.scores[6])))
    assert ids(hits) == ids(everything)[9:]


def test_sparse_and_jaccard_radius(engine: Engine) -> None:
    needs(engine, Metric.JACCARD)
    schema = CollectionSchema(
        fields=(
            Field(name="id", type=DataType.INT64, primary=True),
            Field(name="sparse", type=DataType.SPARSE_FLOAT_VECTOR),
            Field(name="bits", type=DataType.BINARY_VECTOR, dim=8),
        )
    )
    batch = pa.record_batch(
        {
            "id": pa.array([1, 2, 3]),
            "sparse": pa.array([{"indices": [7], "values": [value]} for value in (1.0, 2.0, 3.0)], SPARSE),
            "bits": fixed_lists(np.array([[1], [3], [15]], np.uint8)),
            "__part": pa.array([0, 0, 0]),
        }
    )
    table, _ = import_rows(engine, new_table(engine, schema), batch)
    sparse = SearchRequest(
        field_name="sparse", queries=[{7: 1.0}], metric=Metric.IP, limit=9, radius=1, range_filter=2
    )
    [hits] = engine.search(table, sparse)
    assert (ids(hits), hits.scores.tolist()) == ([2], [2])
    bits = np.array([[1]], np.uint8)
    near = SearchRequest(
        field_name="bits", queries=bits, metric=Metric.JACCARD, limit=9, radius=0.75, range_filter=0.5
    )
    [hits] = engine.search(table, near)
    assert (ids(hits), hits.scores.tolist()) == ([2], [0.5])


def test_a_field_that_is_named_like_lances_own_column(engine: Engine) -> None:
    schema = CollectionSchema(
        fields=(
            Field(name="id", type=DataType.INT64, primary=True),
            Field(name="_distance", type=DataType.FLOAT_VECTOR, dim=DIM),
            Field(name="query_index", type=DataType.INT64),
        )
    )
    rows = vectors(100)
    numbers = pa.array(range(100))
    batch = pa.record_batch(
        {"id": numbers, "_distance": fixed_lists(rows), "query_index": numbers, "__part": pa.array([0] * 100)}
    )
    table, _ = import_rows(engine, new_table(engine, schema), batch)
    request = SearchRequest(
        field_name="_distance", queries=rows[:3], metric=Metric.L2, limit=1, columns=["query_index", "_distance"]
    )
    found = engine.search(table, request)
    assert [hits.rows["query_index"].to_pylist() for hits in found] == [[0], [1], [2]]


def test_an_empty_table_has_no_hits(engine: Engine) -> None:
    table = new_table(engine)
    [hits] = engine.search(table, SearchRequest(field_name="vector", queries=vectors(1), metric=Metric.L2, limit=5))
    assert ids(hits) == []
    assert len(hits.scores) == 0


def test_what_does_not_fit_the_field_is_refused(engine: Engine) -> None:
    table = new_table(engine)
    with pytest.raises(InvalidParameter, match="HAMMING"):
        engine.search(table, SearchRequest(field_name="vector", queries=vectors(1), metric=Metric.HAMMING, limit=5))
    with pytest.raises(InvalidParameter, match="3 values"):
        engine.search(table, SearchRequest(field_name="vector", queries=vectors(1, 3), metric=Metric.L2, limit=5))


@pytest.mark.parametrize("bounds", [{}, {"limit": 7, "offset": 5}, {"ranged": True}], ids=["", "paged", "ranged"])
@pytest.mark.parametrize(
    ("field", "metric"),
    [
        (each, metric)
        for each in (
            DataType.FLOAT_VECTOR,
            DataType.FLOAT16_VECTOR,
            DataType.BFLOAT16_VECTOR,
            DataType.INT8_VECTOR,
            DataType.BINARY_VECTOR,
            DataType.SPARSE_FLOAT_VECTOR,
        )
        for metric in (
            (Metric.HAMMING, Metric.JACCARD)
            if each is DataType.BINARY_VECTOR
            else (Metric.IP,)
            if each is DataType.SPARSE_FLOAT_VECTOR
            else (Metric.L2, Metric.IP, Metric.COSINE)
        )
    ],
)
def test_rows_of_a_filter_that_lance_does_not_get(
    engine: Engine,
    typed_table: Table,
    typed_rows: pa.RecordBatch,
    field: DataType,
    metric: Metric,
    bounds: dict[str, Any],
) -> None:
    """The same answer as to a filter that it gets, of every type and metric."""
    needs(engine, metric)
    first: Any = typed_rows[field.value].drop_null()[0].as_py()
    if field is DataType.SPARSE_FLOAT_VECTOR:
        queries: Any = [dict(zip(first["indices"], first["values"], strict=True))] * 2
    elif field is DataType.BINARY_VECTOR:
        queries = np.asarray([list(first)] * 2, np.uint8)
    else:
        queries = np.asarray([first, np.asarray(first, np.float32) * 2 + 1], np.float32)
    request = SearchRequest(field_name=field.value, queries=queries, metric=metric, limit=30)
    light = parse("int64 > 0", typed_table.schema)
    if "ranged" in bounds:
        scores = engine.search(typed_table, replace(request, filter=light))[0].scores
        edges = (scores[:-1] + scores[1:]) / 2
        bounds = {"radius": float(edges[len(edges) // 2]), "range_filter": float(edges[2])}
    wanted = engine.search(typed_table, replace(request, filter=light, **bounds))
    heavy = parse(f"int64 > 0 and int64 not in {[*range(-1, -2000, -1)]}", typed_table.schema)
    found = engine.search(typed_table, replace(request, filter=heavy, **bounds))
    assert len(found) == len(wanted) == 2
    for one, other in zip(found, wanted, strict=True):
        keys, others = one.rows["_rowid"].to_pylist(), other.rows["_rowid"].to_pylist()
        tolerance = 1e-4
        if field is DataType.FLOAT16_VECTOR:  # Lance rounds to half precision in between
            assert len(set(keys) & set(others)) >= len(others) - 2
            tolerance = 5e-3
        else:
            assert keys == others
        of_key = dict(zip(others, other.scores, strict=True))
        for key, score in zip(keys, one.scores, strict=True):
            assert score == pytest.approx(of_key.get(key, score), rel=tolerance, abs=tolerance)

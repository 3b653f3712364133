"""A filter that few rows match: their vectors are read alone, and compared as Lance compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import numpy.typing as npt
import pytest

from penstock.domain.deadline import DeadlineExceeded, deadline
from penstock.domain.index import IndexSpec, Metric
from penstock.domain.schema import DataType
from penstock.engines.lance import LanceEngine
from penstock.engines.lance.index import mapping
from penstock.engines.lance.layout.tables import TableCache, TableRoot
from penstock.engines.lance.read import filter_pushdown, nearest, search
from penstock.engines.values import SearchRequest
from penstock.filters import parse
from tests.support.exact_search import ids
from tests.support.tables import DIM, fixed_lists, import_rows, new_table, plain, plain_batch, vectors

ROWS = 1000


def floats(values: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    return values


def halves(values: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    return values.astype(np.float16)


def brains(values: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    return (values.view(np.uint32) & 0xFFFF0000).view(np.float32)


def integers(values: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    return (values * 20).astype(np.int8)


@pytest.mark.parametrize("metric", [Metric.L2, Metric.IP, Metric.COSINE])
@pytest.mark.parametrize(
    ("type", "stored"),
    [
        (DataType.FLOAT_VECTOR, floats),
        (DataType.FLOAT16_VECTOR, halves),
        (DataType.BFLOAT16_VECTOR, brains),
        (DataType.INT8_VECTOR, integers),
    ],
)
def test_few_matching_rows_are_compared_as_lance_compares(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    type: DataType,
    stored: Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]],
    metric: Metric,
) -> None:
    engine, schema = LanceEngine(str(tmp_path)), plain(type=type, nullable=True)
    column = fixed_lists(stored(vectors(ROWS)), [number % 13 == 5 for number in range(ROWS)])
    table, _ = import_rows(engine, new_table(engine, schema), plain_batch(column, schema=schema))
    request = SearchRequest(
        field_name="vector",
        queries=stored(vectors(3, seed=1)).astype(np.float32),
        metric=metric,
        limit=10,
        filter=parse("number == 3", schema),
    )
    by_lance = engine.search(table, request)
    monkeypatch.setattr(nearest, "SMALL_BYTES", 1)
    monkeypatch.setattr(nearest, "LEAST_BYTES_PER_MATCH", DIM)
    monkeypatch.delattr(nearest, "_candidates")
    for alone, expected in zip(engine.search(table, request), by_lance, strict=True):
        assert ids(alone) == ids(expected)
        np.testing.assert_allclose(alone.scores, expected.scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("few", "queries", "reads"), [(10, 1, True), (100, 1, False), (100, 50, True), (0, 1, True)])
def test_matching_rows_are_read_where_that_is_less_than_probing_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int, queries: int, reads: bool
) -> None:
    monkeypatch.setattr(mapping, "LEAST_VECTOR_BYTES", 1)
    monkeypatch.setattr(nearest, "RESIDENT_BYTES", 1)
    rows, width = 8000, 32
    schema, values = plain(width), vectors(rows, width)
    engine = LanceEngine(str(tmp_path))
    table, _ = import_rows(engine, new_table(engine, schema), plain_batch(values, schema=schema))
    spec = IndexSpec(name="v", field_name="vector", metric=Metric.L2)
    table = replace(table, version=engine.index(table, [spec]))
    matching = Mock(side_effect=nearest._matching_addresses)
    monkeypatch.setattr(nearest, "_matching_addresses", matching)
    request = SearchRequest(
        field_name="vector",
        queries=vectors(queries, width, seed=1),
        metric=Metric.L2,
        limit=5,
        filter=parse(f"id < {few}", schema),
    )
    for query, hits in zip(request.queries, engine.search(table, request), strict=True):
        distances = np.square(values[:few] - query).sum(axis=1)
        assert ids(hits) == np.argsort(distances)[:5].tolist()
    assert matching.called == reads


def test_a_search_within_bounds_reads_the_matching_rows_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes of an index have no exact distances to compare with bounds, so it is not used."""
    monkeypatch.setattr(mapping, "LEAST_VECTOR_BYTES", 1)
    monkeypatch.setattr(nearest, "RESIDENT_BYTES", 1)
    monkeypatch.setattr(nearest, "LEAST_BYTES_PER_MATCH", 1024)
    values = vectors(8000)
    engine = LanceEngine(str(tmp_path))
    table, _ = import_rows(engine, new_table(engine), plain_batch(values))
    table = replace(table, version=engine.index(table, [IndexSpec(name="v", field_name="vector", metric=Metric.L2)]))
    query = vectors(1, seed=1)
    distances = np.sort(np.square(values[:400] - query).sum(axis=1))
    request = SearchRequest(
        field_name="vector",
        queries=query,
        metric=Metric.L2,
        limit=5,
        radius=1e9,
        range_filter=float(distances[2]),
        filter=parse("id < 400", table.schema),
    )
    monkeypatch.delattr(nearest, "_candidates")
    [hits] = engine.search(table, request)
    np.testing.assert_allclose(hits.scores, distances[2:7], rtol=1e-4)


def test_many_queries_are_compared_in_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = LanceEngine(str(tmp_path))
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(ROWS)))
    request = SearchRequest(field_name="vector", queries=vectors(50, seed=1), metric=Metric.L2, limit=10)
    at_once = engine.search(table, request)
    monkeypatch.setattr(nearest, "_PASS_QUERIES", 7)
    for hits, expected in zip(engine.search(table, request), at_once, strict=True):
        assert ids(hits) == ids(expected)
        assert hits.scores.tolist() == expected.scores.tolist()


@pytest.mark.parametrize("filter", [None, "number not in [-1, -2]"])
def test_a_search_of_many_queries_ends_with_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filter: str | None
) -> None:
    """Lance compares all queries of a pass without a stop; NumPy all of a batch, one after the other."""
    rows, queries = 8000, 16_000
    engine = LanceEngine(str(tmp_path))
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(rows)))
    monkeypatch.setattr(filter_pushdown, "_MAX_SQL_VALUES", 1)
    request = SearchRequest(
        field_name="vector",
        queries=vectors(queries, seed=1),
        metric=Metric.L2,
        limit=1,
        filter=None if filter is None else parse(filter, table.schema),
    )
    with deadline(0.1), pytest.raises(DeadlineExceeded):
        engine.search(table, request)


def test_the_vectors_of_other_rows_are_not_read(tmp_path: Path) -> None:
    rows, dim = 8000, 768
    schema = plain(dim)
    engine = LanceEngine(str(tmp_path))
    table, _ = import_rows(engine, new_table(engine, schema), plain_batch(vectors(rows, dim), schema=schema))
    store = TableRoot(str(tmp_path), {}, TableCache(is_remote=False))
    request = SearchRequest(
        field_name="vector",
        queries=vectors(1, dim, seed=1),
        metric=Metric.L2,
        limit=10,
        filter=parse("word == 'word 7'", schema),
    )
    search.search(store, table, request)
    dataset = store.at_least(table, "counting bytes")
    dataset.io_stats_incremental()
    [hits] = search.search(store, table, request)
    assert set(ids(hits)) <= set(range(7, rows, 100))
    assert dataset.io_stats_incremental().read_bytes < rows * dim * 4 / 8

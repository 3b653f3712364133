"""Conformance: an indexed search loses no rows, with filters and partitions, beside rows that no index covers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from penstock.domain.index import IndexSpec, Metric
from penstock.engines.base import MaintainableEngine
from penstock.engines.values import QueryHits, SearchRequest, Table
from penstock.filters import parse
from tests.support.exact_search import exact, ids, nearest
from tests.support.tables import import_rows, new_table, plain, plain_batch

pytestmark = pytest.mark.usefixtures("tenth_of_the_thresholds")


@pytest.fixture(scope="module")
def clustered() -> npt.NDArray[np.float32]:
    """7,000 rows in 30 clusters: an index of 17 partitions."""
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(30, 128)).astype(np.float32) * 3
    return (centres[rng.integers(0, 30, 7_000)] + rng.normal(size=(7_000, 128))).astype(np.float32)


def recall(
    found: list[QueryHits], rows: npt.NDArray[Any], queries: Any, metric: Metric, allowed: npt.NDArray[np.bool_]
) -> float:
    shares = []
    for query, hits in zip(queries, found, strict=True):
        best = nearest(exact(rows, query, metric), metric, 20, allowed)
        assert len(ids(hits)) == len(best), "rows were lost"
        assert allowed[ids(hits)].all(), "rows that don't match came back"
        shares.append(len(set(best) & set(ids(hits))) / len(best) if best else 1.0)
    return float(np.mean(shares))


@pytest.mark.parametrize("metric", [Metric.L2, Metric.COSINE, Metric.IP])
def test_an_index_loses_no_rows(
    engine: MaintainableEngine, clustered: npt.NDArray[np.float32], metric: Metric
) -> None:
    """Partitions of some 6,000, 1,000 and 20 rows; filters from rare to frequent; rows beside the index."""
    indexed, late = clustered[:6_500], clustered[6_500:]
    parts = np.where(np.arange(7_000) % 7 == 0, 1, 0)
    parts[::350] = 2
    table = new_table(engine, plain(128))
    schema = table.schema
    table, _ = import_rows(engine, table, plain_batch(indexed, 0, parts[:6_500].tolist(), schema))
    spec = IndexSpec(name="v", field_name="vector", metric=metric)
    table = replace(table, version=engine.index(table, [spec]))
    assert engine.indexed_rows(table, spec) == 6_500
    table, _ = import_rows(engine, table, plain_batch(late, 6_500, parts[6_500:].tolist(), schema))
    queries = np.concatenate([indexed[[1, 2, 3]], late[[1, 2, 3]]]) + np.float32(0.01)
    numbers = np.arange(7_000)
    real = numbers % 11 != 10
    cases: list[tuple[str, list[int] | None, npt.NDArray[np.bool_]]] = [
        ("", None, numbers >= 0),
        ("", [2], parts == 2),
        ("", [1, 2], parts > 0),
        ("id < 15", None, numbers < 15),
        ("number == 3", None, real & (numbers % 10 == 3)),
        ("number < 5", [0], real & (numbers % 10 < 5) & (parts == 0)),
        ("id < 0", None, numbers < 0),
        ("", [], numbers < 0),
    ]
    for text, partitions, allowed in cases:
        request = SearchRequest(
            field_name="vector",
            queries=queries,
            metric=metric,
            limit=20,
            filter=parse(text, schema),
            partitions=partitions,
        )
        assert recall(engine.search(table, request), clustered, queries, metric, allowed) > 0.95, (text, partitions)
        assert engine.count(table, parse(text, schema), partitions) == allowed.sum()


def test_a_search_by_another_metric_than_the_indexs_is_exact(
    engine: MaintainableEngine, clustered: npt.NDArray[np.float32]
) -> None:
    table: Table = new_table(engine, plain(128))
    table, _ = import_rows(engine, table, plain_batch(clustered, schema=table.schema))
    table = replace(table, version=engine.index(table, [IndexSpec(name="v", field_name="vector", metric=Metric.IP)]))
    query = clustered[:1]
    [hits] = engine.search(table, SearchRequest(field_name="vector", queries=query, metric=Metric.L2, limit=50))
    assert ids(hits) == nearest(exact(clustered, query[0], Metric.L2), Metric.L2, 50)

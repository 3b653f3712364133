"""Search iterators: every row once, in order, whatever the ties and the size of pages."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.collections.entity_requests import VectorSearchRequest
from penstock.collections.search_iterators import SearchCursor
from penstock.collections.search_params import SearchParams
from penstock.domain.collections import Collection
from penstock.domain.index import Metric
from penstock.engines.values import Table
from penstock.errors import InvalidParameter
from tests.collections.conftest import UseCases
from tests.support.catalogs import CLUSTER
from tests.support.exact_search import exact
from tests.support.tables import DIM, import_rows, plain_batch

ROWS = 150
METRICS = [Metric.L2, Metric.IP, Metric.COSINE]


def stored(cases: UseCases, values: npt.NDArray[np.float32]) -> Collection:
    docs = cases.create()
    _, published = import_rows(cases.engine, Table.of(docs), plain_batch(values))
    cases.catalog.collections.raise_version(docs.id, published.version)
    return cases.collections.get(CLUSTER, "default", docs.name)


def request(query: npt.NDArray[np.float32], metric: Metric, size: int) -> VectorSearchRequest:
    return VectorSearchRequest(queries=query, limit=size, params=SearchParams(metric=metric))


def pages(cases: UseCases, docs: Collection, wanted: VectorSearchRequest) -> list[list[tuple[int, float]]]:
    """The pages of an iterator, as keys and scores, up to the first empty one."""
    cursor = SearchCursor()
    found: list[list[tuple[int, float]]] = []
    while True:
        page = cases.search_iterators.next_page(docs, wanted, cursor)
        (hit,) = page.result.hits
        rows: Any = list(zip(hit.rows["id"].to_pylist(), hit.scores.tolist(), strict=True))
        if not rows:
            return found
        found.append(rows)
        # As a client sends it: the id of the first page, the bound of the last.
        cursor = SearchCursor(id=cursor.id or page.cursor.id, last_bound=page.cursor.last_bound)


@pytest.mark.parametrize("metric", METRICS)
def test_each_row_comes_once_in_order(cases: UseCases, metric: Metric) -> None:
    """Few different vectors, so that there are many equal distances, and the largest tie exceeds most pages."""
    rng = np.random.default_rng(5)
    values = rng.integers(1, 4, (ROWS, DIM)).astype(np.float32)
    values[:, 3:] = 1
    values[50:100] = values[0]
    values[100:110] *= np.float32(1000.1)
    docs = stored(cases, values)

    @given(
        size=st.sampled_from([1, 7, 40, 51, ROWS - 1, ROWS, ROWS + 1]),
        row=st.integers(0, ROWS - 1),
        shift=st.floats(-1, 1),
    )
    @settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def check(size: int, row: int, shift: float) -> None:
        query = values[row : row + 1] + np.float32(shift)
        scores = exact(values, query[0], metric)
        found = pages(cases, docs, request(query, metric, size))
        rows = [hit for page in found for hit in page]
        assert sorted(key for key, _ in rows) == list(range(ROWS))
        np.testing.assert_allclose(
            [score for _, score in rows], scores[[key for key, _ in rows]], rtol=1e-4, atol=1e-4
        )
        sign = -1 if metric.higher_is_nearer else 1
        assert rows == sorted(rows, key=lambda hit: (sign * hit[1], hit[0]))
        assert all(len(page) >= size for page in found[:-1])
        for page, following in pairwise(found):
            assert page[-1][1] != following[0][1], "equal scores are on one page"
        for page in found:
            assert len({score for _, score in page[size - 1 :]}) <= 1, "a page is longer for equal scores only"

    check()


def test_a_range_and_a_filter_hold_for_all_pages(cases: UseCases) -> None:
    values = np.zeros((40, DIM), np.float32)
    values[:, 0] = np.arange(40) // 4
    docs = stored(cases, values)
    wanted = request(np.zeros((1, DIM), np.float32), Metric.L2, 3)
    ranged = replace(wanted, params=replace(wanted.params, radius=36, range_filter=4), filter="id % 2 == 0")
    found = pages(cases, docs, ranged)
    assert [key for page in found for key, _ in page] == list(range(8, 24, 2))


def test_rows_that_are_imported_meanwhile_change_no_page(cases: UseCases) -> None:
    values = np.zeros((6, DIM), np.float32)
    values[:, 0] = np.arange(6)
    docs = stored(cases, values)
    wanted = request(np.zeros((1, DIM), np.float32), Metric.L2, 3)
    first = cases.search_iterators.next_page(docs, wanted, SearchCursor())
    near = np.zeros((2, DIM), np.float32)
    near[1, 0] = 4.5
    _, published = import_rows(cases.engine, Table.of(docs), plain_batch(near, first_id=10))
    cases.catalog.collections.raise_version(docs.id, published.version)
    docs = cases.collections.get(CLUSTER, "default", docs.name)
    second = cases.search_iterators.next_page(docs, wanted, first.cursor)
    assert second.result.hits[0].rows["id"].to_pylist() == [3, 4, 11]


def test_what_is_no_page_of_an_iterator(cases: UseCases) -> None:
    docs = stored(cases, np.ones((3, DIM), np.float32))
    wanted = request(np.ones((1, DIM), np.float32), Metric.L2, 2)
    first = cases.search_iterators.next_page(docs, wanted, SearchCursor())
    assert len(first.result.hits[0].scores) == 3
    with pytest.raises(InvalidParameter, match="invalid token format: search_iter_id is x; send"):
        cases.search_iterators.next_page(docs, wanted, SearchCursor(id="x"))
    with pytest.raises(InvalidParameter, match="of an iterator with another vector, field, filter or partitions"):
        cases.search_iterators.next_page(docs, replace(wanted, filter="id > 1"), first.cursor)
    with pytest.raises(InvalidParameter, match="takes one query vector, but got 2"):
        cases.search_iterators.next_page(docs, replace(wanted, queries=np.ones((2, DIM), np.float32)), first.cursor)
    with pytest.raises(InvalidParameter, match="Setting an offset is not permitted"):
        cases.search_iterators.next_page(docs, replace(wanted, offset=1), first.cursor)

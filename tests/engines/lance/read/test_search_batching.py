"""Equal searches that wait at the same time share a pass; each gets its own hits, errors and timeouts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.domain.deadline import DeadlineExceeded, check_deadline, deadline
from penstock.domain.index import Metric
from penstock.engines.lance import LanceEngine
from penstock.engines.lance.layout.tables import TableCache, TableRoot
from penstock.engines.lance.read import nearest, search
from penstock.engines.lance.read.search_batching import MAX_QUERIES, MAX_ROWS, SearchBatching
from penstock.engines.values import QueryHits, SearchRequest, Table
from penstock.errors import InvalidParameter
from penstock.filters import parse
from tests.support.tables import import_rows, new_table, plain_batch, vectors

ROWS = 300
QUERIES = vectors(200, seed=1)
SEARCH = SearchRequest(field_name="vector", queries=QUERIES[:1], metric=Metric.L2, limit=5, columns=["word"])


def _at_once() -> None:
    """A pass begins at once."""


class Passes:
    """Batched searches of a table of :data:`ROWS` rows. ``sizes`` are the queries of each pass, in order.

    A pass begins with ``begin``, which a test may replace.
    """

    def __init__(self, folder: Path) -> None:
        self.table, _ = import_rows(engine := LanceEngine(str(folder)), new_table(engine), plain_batch(vectors(ROWS)))
        self._store = TableRoot(str(folder), {}, TableCache(is_remote=False))
        self.sizes: list[int] = []
        self.begin: Callable[[], None] = _at_once
        self.batching = SearchBatching(self._search, 1)

    def _search(self, table: Table, request: SearchRequest) -> list[QueryHits]:
        self.sizes.append(len(request.queries))
        self.begin()
        check_deadline()
        if np.isinf(np.asarray(request.queries)).any():
            raise InvalidParameter("infinite")
        return search.search(self._store, table, request)

    def search(self, request: SearchRequest) -> list[QueryHits]:
        return self.batching.search(self.table, request)

    def of(self, *numbers: int, **changes: Any) -> SearchRequest:
        return replace(SEARCH, queries=QUERIES[list(numbers)], **changes)

    def assert_hits(self, hits: list[QueryHits], request: SearchRequest) -> None:
        alone = search.search(self._store, self.table, request)
        assert [each.rows.to_pydict() for each in hits] == [each.rows.to_pydict() for each in alone]
        assert [each.scores.tolist() for each in hits] == [each.scores.tolist() for each in alone]

    def waiting(self) -> int:
        return sum(len(queue.waiting) for queue in self.batching._queues)

    @contextmanager
    def busy(self, threads: ThreadPoolExecutor, request: SearchRequest = SEARCH) -> Iterator[None]:
        """A pass is running, so that equal searches of the block wait."""
        begun, go = threading.Event(), threading.Event()

        def begin() -> None:
            self.begin = _at_once
            begun.set()
            go.wait(10)

        self.begin = begin
        first = threads.submit(self.search, request)
        begun.wait(10)
        try:
            yield
        finally:
            go.set()
            first.result(10)

    def submit(self, threads: ThreadPoolExecutor, request: SearchRequest) -> Future[list[QueryHits]]:
        """Start a search, and return once it waits."""
        before = self.waiting()
        future = threads.submit(self.search, request)
        ends = time.monotonic() + 10
        while self.waiting() == before and time.monotonic() < ends:
            time.sleep(0.001)
        return future


@pytest.fixture
def passes(tmp_path: Path) -> Passes:
    return Passes(tmp_path)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(80) as pool:
        yield pool


def test_searches_that_wait_share_a_pass(passes: Passes, threads: ThreadPoolExecutor) -> None:
    requests = [passes.of(1), passes.of(2, 3), passes.of(1), passes.of(4)]
    with passes.busy(threads):
        futures = [passes.submit(threads, request) for request in requests]
    for future, request in zip(futures, requests, strict=True):
        passes.assert_hits(future.result(10), request)
    assert passes.sizes == [1, 5]
    assert not passes.batching._queues


def test_a_search_alone_begins_at_once(passes: Passes) -> None:
    for number in range(3):
        passes.assert_hits(passes.search(passes.of(number)), passes.of(number))
    assert passes.sizes == [1, 1, 1]


@pytest.mark.parametrize(
    "changes",
    [{"limit": 6}, {"metric": Metric.IP}, {"columns": ["number"]}, {"params": {"nprobe": 9}}, {"filter": "id < 50"}],
)
def test_searches_that_differ_wait_for_no_other(
    passes: Passes, threads: ThreadPoolExecutor, changes: dict[str, Any]
) -> None:
    if "filter" in changes:
        changes = {"filter": parse(changes["filter"], passes.table.schema)}
    with passes.busy(threads):
        other = passes.of(2, **changes)
        passes.assert_hits(passes.search(other), other)
        with_equal_filter = [passes.submit(threads, passes.of(number)) for number in (3, 4)]
    assert all(future.result(10) for future in with_equal_filter)
    assert passes.sizes == [1, 1, 2]


def test_searches_whose_filters_python_takes_for_equal_share_no_pass(
    passes: Passes, threads: ThreadPoolExecutor
) -> None:
    number, flag = (parse(text, passes.table.schema) for text in ("tag == 1", "tag == true"))
    with passes.busy(threads, passes.of(0, filter=number)):
        waiting = passes.submit(threads, passes.of(1, filter=number))
        other = threads.submit(passes.search, passes.of(2, filter=flag))
        while not other.done() and passes.waiting() < 2:
            time.sleep(0.001)
    assert [len(hits.scores) for hits in waiting.result(10)] == [5]
    assert [len(hits.scores) for hits in other.result(10)] == [0]


def test_a_search_that_fails_fails_alone(passes: Passes, threads: ThreadPoolExecutor) -> None:
    bad = replace(SEARCH, queries=np.full_like(QUERIES[:1], np.inf))
    requests = [passes.of(1), bad, passes.of(2)]
    with passes.busy(threads):
        futures = [passes.submit(threads, request) for request in requests]
    with pytest.raises(InvalidParameter):
        futures.pop(1).result(10)
    for future, request in zip(futures, (requests[0], requests[2]), strict=True):
        passes.assert_hits(future.result(10), request)
    assert passes.sizes == [1, 3, 1, 1, 1]


def test_a_vector_of_the_wrong_dimension_is_in_no_pass_with_others(
    passes: Passes, threads: ThreadPoolExecutor
) -> None:
    with passes.busy(threads):
        good = [passes.submit(threads, passes.of(number)) for number in (1, 2)]
        with pytest.raises(InvalidParameter, match="has 3 values"):
            passes.search(replace(SEARCH, queries=QUERIES[:1, :3]))
    assert all(future.result(10) for future in good)
    assert passes.sizes == [1, 1, 2]


def test_a_timeout_ends_the_wait_of_its_own_search(passes: Passes, threads: ThreadPoolExecutor) -> None:
    def search_briefly(seconds: float) -> list[QueryHits]:
        with deadline(seconds):
            return passes.search(passes.of(1))

    with passes.busy(threads):
        patient = passes.submit(threads, passes.of(2))
        with pytest.raises(DeadlineExceeded):
            search_briefly(0.02)
    passes.assert_hits(patient.result(10), passes.of(2))
    assert passes.sizes == [1, 1]


def test_a_pass_goes_on_when_its_first_search_is_out_of_time(passes: Passes, threads: ThreadPoolExecutor) -> None:
    """The one that leads a pass has less time than those that rely on it."""

    def search_within(seconds: float) -> list[QueryHits]:
        with deadline(seconds):
            return passes.search(passes.of(1))

    with passes.busy(threads):
        before = passes.waiting()
        leader = threads.submit(search_within, 0.2)
        while passes.waiting() == before:
            time.sleep(0.001)
        patient = passes.submit(threads, passes.of(2))
        passes.begin = lambda: time.sleep(0.3)
    passes.assert_hits(patient.result(10), passes.of(2))
    passes.assert_hits(leader.result(10), passes.of(1))
    assert passes.sizes == [1, 2]


def test_a_pass_is_bounded(passes: Passes, threads: ThreadPoolExecutor) -> None:
    with passes.busy(threads):
        futures = [passes.submit(threads, passes.of(number)) for number in range(MAX_QUERIES + 6)]
    for number, future in enumerate(futures):
        passes.assert_hits(future.result(10), passes.of(number))
    assert passes.sizes == [1, MAX_QUERIES, 6]


def test_rows_of_a_pass_are_bounded(passes: Passes, threads: ThreadPoolExecutor) -> None:
    with passes.busy(threads, passes.of(0, limit=MAX_ROWS // 2)):
        futures = [passes.submit(threads, passes.of(number, limit=MAX_ROWS // 2)) for number in range(5)]
    assert all(len(future.result(10)[0].scores) == ROWS for future in futures)
    assert passes.sizes == [1, 2, 2, 1]


@pytest.mark.parametrize(("queries", "limit"), [(MAX_QUERIES // 2 + 1, 5), (1, MAX_ROWS // 2 + 1)])
def test_a_large_search_waits_for_no_other(
    passes: Passes, threads: ThreadPoolExecutor, queries: int, limit: int
) -> None:
    with passes.busy(threads, passes.of(0, limit=limit)):
        large = passes.of(*range(queries), limit=limit)
        passes.assert_hits(passes.search(large), large)


def test_an_engine_answers_each_of_many_threads(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    engine = LanceEngine(str(tmp_path))
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(ROWS)))
    requests = [replace(SEARCH, queries=QUERIES[[number]]) for number in range(100)]
    alone = [engine.search(table, request)[0] for request in requests]
    together = list(threads.map(lambda request: engine.search(table, request)[0], requests))
    for hits, expected in zip(together, alone, strict=True):
        assert hits.rows.to_pydict() == expected.rows.to_pydict()
        assert hits.scores.tolist() == expected.scores.tolist()


def test_matching_rows_are_those_of_the_version(tmp_path: Path) -> None:
    engine = LanceEngine(str(tmp_path))
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(ROWS)))
    dataset = engine._tables.at_least(table, "counting")
    assert [nearest._matching_rows(dataset, "id >= 10") for _ in range(2)] == [ROWS - 10] * 2
    table, _ = import_rows(engine, table, plain_batch(vectors(7), first_id=ROWS))
    dataset = engine._tables.at_least(table, "counting")
    assert nearest._matching_rows(dataset, "id >= 10") == ROWS - 3

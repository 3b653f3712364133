"""Search batching: equal searches that wait at the same time are answered by one pass over the table.

Most of a search is work that a pass does once, however many query vectors it has: an indexed search of 40,000 x 256
took 2.2 ms of processor time, each of 16 in one pass 1.5 ms; by brute force it was 34 ms and 5.3 ms.

A search that finds a free pass begins at once. While all passes of its kind are busy, searches gather, and the first
of them leads the next pass, for as many as fit. Each gets what it would have got alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from penstock.domain.deadline import DeadlineExceeded, current_deadline, deadline_at
from penstock.engines.values import QueryHits, SearchRequest, Table

MAX_QUERIES = 64
"""Query vectors of a pass. At 64 a vector costs little less than at 16, and all of them wait for the last."""

MAX_ROWS = 4096
"""Rows that a pass finds: the memory for answers is reserved search by search, and a pass holds those of all."""

MAX_PASSES = 4
"""Passes of one kind at a time, on however many processors: one with several vectors uses several of them, and the
interpreter runs one thread at a time."""

Search = Callable[[Table, SearchRequest], list[QueryHits]]


class _PendingSearch:
    """One thread's search, and how it goes on: it gets its hits, or leads a batch, or has to run alone."""

    def __init__(self, request: SearchRequest) -> None:
        self.request = request
        self.ends = current_deadline()
        self.ready = threading.Event()
        self.hits: list[QueryHits] | None = None
        self.batch: Sequence[_PendingSearch] = ()


class _Queue:
    """Searches that differ in their query vectors only: the passes that are running, and those that wait."""

    def __init__(self, key: object) -> None:
        self.key = key
        self.passes = 0
        self.waiting: list[_PendingSearch] = []

    def next_batch(self) -> list[_PendingSearch]:
        """Remove from the waiting searches the first and those behind it that fit into its pass."""
        queries = rows = size = 0
        for pending in self.waiting:
            queries, rows = queries + len(pending.request.queries), rows + _rows(pending.request)
            if size and (queries > MAX_QUERIES or rows > MAX_ROWS):
                break
            size += 1
        batch, self.waiting = self.waiting[:size], self.waiting[size:]
        return batch


class SearchBatching:
    """Batches the searches of many threads. Thread-safe.

    Args:
        search: answers each query vector of a request as if it was alone.
        passes: how many may run at a time for searches of one kind.
    """

    def __init__(self, search: Search, passes: int) -> None:
        self._search = search
        self._passes = passes
        self._lock = threading.Lock()
        self._queues: list[_Queue] = []

    def search(self, table: Table, request: SearchRequest) -> list[QueryHits]:
        """Search, maybe together with others.

        Raises:
            DeadlineExceeded: the context's deadline passed while others were searching.
            Exception: anything that the search raises.
        """
        if 2 * len(request.queries) > MAX_QUERIES or 2 * _rows(request) > MAX_ROWS:
            return self._search(table, request)
        pending, key = _PendingSearch(request), _key(table, request)
        with self._lock:
            queue = self._queue(key)
            if queue.passes < self._passes:
                queue.passes += 1
                pending.batch = [pending]
            else:
                queue.waiting.append(pending)
        if not pending.batch:
            self._wait(queue, pending)
        if pending.hits is not None:
            return pending.hits
        if not pending.batch:  # the pass of all failed
            return self._search(table, request)
        try:
            return self._lead(table, pending.batch)
        finally:
            self._hand_over(queue)

    def _queue(self, key: object) -> _Queue:
        # Keys have parameters and filters, which can't be hashed; there is at most one for each thread that searches.
        for queue in self._queues:
            if queue.key == key:
                return queue
        queue = _Queue(key)
        self._queues.append(queue)
        return queue

    def _wait(self, queue: _Queue, pending: _PendingSearch) -> None:
        seconds = None if pending.ends is None else max(pending.ends - time.monotonic(), 0)
        if pending.ready.wait(seconds):
            return
        with self._lock:
            if pending in queue.waiting:
                queue.waiting.remove(pending)
            if pending.batch:  # others rely on it by now
                return
        raise DeadlineExceeded

    def _lead(self, table: Table, batch: Sequence[_PendingSearch]) -> list[QueryHits]:
        """Search for all of a batch, and return the hits of the first."""
        leader, *others = batch
        hits: list[list[QueryHits]] = []
        try:
            if others:
                hits = self._search_together(table, batch)
        finally:
            for number, pending in enumerate(others, 1):
                pending.hits = hits[number] if hits else None
                pending.ready.set()
        return hits[0] if hits else self._search(table, leader.request)

    def _search_together(self, table: Table, batch: Sequence[_PendingSearch]) -> list[list[QueryHits]]:
        """The hits of each; none if the search fails: alone, those that cause it raise their own errors."""
        deadlines = [pending.ends for pending in batch if pending.ends is not None]
        ends = max(deadlines) if len(deadlines) == len(batch) else None
        request = replace(batch[0].request, queries=_joined([pending.request.queries for pending in batch]))
        try:
            with deadline_at(ends):
                hits = self._search(table, request)
        except Exception:  # noqa: BLE001 - it is raised again by the search that causes it
            return []
        answers = []
        for pending in batch:
            count = len(pending.request.queries)
            answers.append(hits[:count])
            hits = hits[count:]
        return answers

    def _hand_over(self, queue: _Queue) -> None:
        """Pass the ended pass on to the searches that wait, or drop it."""
        with self._lock:
            batch = queue.next_batch()
            if batch:
                batch[0].batch = batch
            else:
                queue.passes -= 1
                if not queue.passes:
                    self._queues.remove(queue)
        if batch:
            batch[0].ready.set()


def _rows(request: SearchRequest) -> int:
    return len(request.queries) * (request.limit + request.offset)


def _key(table: Table, request: SearchRequest) -> tuple[Any, ...]:
    """What searches of one pass have in common: all but the vectors, of which only the form counts."""
    queries = request.queries
    form = (queries.shape[1:], queries.dtype) if isinstance(queries, np.ndarray) else type(queries)
    return table, form, replace(request, queries=())


def _joined(queries: Sequence[Any]) -> Any:
    if isinstance(queries[0], np.ndarray):
        return np.concatenate(queries)
    return [query for each in queries for query in each]

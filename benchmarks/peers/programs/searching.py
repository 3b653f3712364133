"""Searches as steps of a program: so many callers, a filter or none, until the queries or the time run out."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.peers.programs.steps import Order

__all__ = ["CALLERS", "NEAREST", "WARM_UP", "Search", "search_steps"]

NEAREST = 10
CALLERS = (1, 16)
WARM_UP = 20  # searches by each caller

Search = Callable[[npt.NDArray[np.float32], int], Sequence[int]]
"""Find the keys of the ten rows nearest to a query, among those whose ``percent`` is less than a number."""


def search_steps(
    order: Order, opened: Callable[[], AbstractContextManager[Search]]
) -> dict[str, Callable[[], Mapping[str, Any]]]:
    """A step ``search CALLERS PERCENT`` for each combination.

    Its answer has the seconds by the clock, ``millis`` of each search, and the hits of those queries that were sent.

    Args:
        opened: a search for one caller.
    """
    return {
        f"search {callers} {percent}": partial(_search, order, opened, callers, percent)
        for callers in CALLERS
        for percent in order.percents
    }


def _search(
    order: Order, opened: Callable[[], AbstractContextManager[Search]], callers: int, percent: int
) -> Mapping[str, Any]:
    """One caller sends each query once, at most; several ones send them again until the time runs out."""
    assert order.queries is not None
    queries = np.load(order.queries)
    times: list[float] = []
    found: dict[int, list[int]] = {}

    def warm_up(search: Search) -> None:
        for query in queries[:WARM_UP]:
            search(query, percent)

    def call(search: Search, first: int) -> None:
        for count in itertools.count():
            number = (first + count) % len(queries)
            begun = time.perf_counter()
            if begun >= ends or (callers == 1 and count == len(queries)):
                return
            hits = search(queries[number], percent)
            times.append(time.perf_counter() - begun)
            found[number] = [int(key) for key in hits]

    with ExitStack() as stack:
        searches = [stack.enter_context(opened()) for _ in range(callers)]
        pool = stack.enter_context(ThreadPoolExecutor(callers))
        list(pool.map(warm_up, searches))
        began = time.perf_counter()
        ends = began + order.seconds
        list(pool.map(call, searches, (len(queries) * each // callers for each in range(callers))))
        seconds = time.perf_counter() - began
    return {
        "rows": len(times),
        "seconds": seconds,
        "millis": [round(each * 1000, 3) for each in times],
        "found": sorted(found.items()),
    }

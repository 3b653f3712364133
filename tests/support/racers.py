"""Processes that do something at the same moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from typing import Any, TypeVar

from tests.support.forked_server import FORKS

__all__ = ["Racers"]

Result = TypeVar("Result")

_start: Barrier | None = None


def _keep(start: Barrier) -> None:
    global _start
    _start = start


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    assert _start is not None
    return function(_start.wait, *arguments)


class Racers:
    """``size`` processes, started once."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._pool = ProcessPoolExecutor(size, FORKS, _keep, (FORKS.Barrier(size, timeout=120),))

    def __enter__(self) -> Racers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(self, function: Callable[..., Result], calls: Sequence[tuple[Any, ...]]) -> list[Result]:
        """``function(ready, *call)`` in one process per call; ``ready()`` returns when all of them have called it."""
        assert len(calls) == self.size
        running = [self._pool.submit(_call, function, call) for call in calls]
        return [each.result() for each in running]

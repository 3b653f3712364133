"""Do once for each version of a table what concerns all jobs that are at the same step of it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

_Result = TypeVar("_Result")

_MAX_TABLES = 256
_FRESH_SECONDS = 1.0
"""A result counts for this long: what is looked at may change without a new version, as files that are lost."""


class _Work(Generic[_Result]):
    def __init__(self, version: int) -> None:
        self.version = version
        self.result: Future[_Result] = Future()
        self.fresh_until = float("inf")

    def serves(self, version: int) -> bool:
        return self.version == version and time.monotonic() < self.fresh_until

    def do(self, work: Callable[[], _Result]) -> _Result:
        try:
            result = work()
        except BaseException as error:
            self.result.set_exception(error)
            raise
        finally:
            self.fresh_until = time.monotonic() + _FRESH_SECONDS
        self.result.set_result(result)
        return result


class OncePerVersion(Generic[_Result]):
    """Results by table, of the version that was asked for last. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._works: OrderedDict[str, _Work[_Result]] = OrderedDict()

    def run(self, table_id: str, version: int, work: Callable[[], _Result]) -> _Result:
        """The result of ``work`` for a version, by the first thread that asks; others wait for it.

        An error is the first thread's; each of the others does the work itself.
        """
        with self._lock:
            other = self._works.get(table_id)
            if other is None or not other.serves(version):
                mine = self._works[table_id] = _Work(version)
                self._works.move_to_end(table_id)
                while len(self._works) > _MAX_TABLES:
                    self._works.popitem(last=False)
                other = None
        if other is None:
            return mine.do(work)
        return work() if other.result.exception() is not None else other.result.result()

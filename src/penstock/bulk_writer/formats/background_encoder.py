"""Encoding and writing beside the caller, who checks the next rows meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

__all__ = ["BackgroundEncoder"]


class BackgroundEncoder:
    """Runs calls one after another on a thread of its own, with at most ``limit`` bytes waiting or under way.

    Worth it for calls that release the interpreter lock, as Arrow's encoders and writes to files do. A call's failure
    comes out of a later :meth:`run` or of :meth:`wait`; what is run after a failure is of no use.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bulk-writer-file")  # begins with the first call
        self._waiting: deque[tuple[Future[Any], int]] = deque()
        self._bytes = 0

    def run(self, size: int, call: Callable[..., object], *args: Any) -> None:
        """Run ``call(*args)``, which holds ``size`` bytes of memory, as soon as those fit into the limit."""
        while self._waiting and (self._bytes + size > self._limit or self._waiting[0][0].done()):
            self._next()
        self._waiting.append((self._thread.submit(call, *args), size))
        self._bytes += size

    def wait(self) -> None:
        """Until all calls are done."""
        while self._waiting:
            self._next()

    def close(self) -> None:
        """End the thread after the call that runs; those behind it are dropped, and so are failures."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._waiting.clear()

    def _next(self) -> None:
        future, size = self._waiting.popleft()
        self._bytes -= size
        future.result()

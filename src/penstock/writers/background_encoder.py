"""Encode and write in the background, while the caller checks the next rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

__all__ = ["BackgroundEncoder"]


class BackgroundEncoder:
    """Run calls one after another on a background thread, with at most ``limit`` bytes queued or running.

    Useful for calls that release the GIL, as Arrow's encoders and file writes do. A call's failure is raised by a
    later :meth:`run` or :meth:`wait`; results of calls after a failure are invalid.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bulk-writer-file")  # started by the first call
        self._queue: deque[tuple[Future[Any], int]] = deque()
        self._bytes = 0

    def run(self, size: int, call: Callable[..., object], *args: Any) -> None:
        """Queue ``call(*args)``, which holds ``size`` bytes of memory; block until they fit into the limit."""
        while self._queue and (self._bytes + size > self._limit or self._queue[0][0].done()):
            self._finish_oldest()
        self._queue.append((self._thread.submit(call, *args), size))
        self._bytes += size

    def wait(self) -> None:
        """Wait until all calls are done."""
        while self._queue:
            self._finish_oldest()

    def close(self) -> None:
        """End the thread after the running call; queued calls and failures are dropped."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._queue.clear()

    def _finish_oldest(self) -> None:
        future, size = self._queue.popleft()
        self._bytes -= size
        future.result()

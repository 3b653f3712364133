"""Prefetching reader: read a remote file by byte ranges, ahead of the parser and within a memory bound."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

FIRST = 256 << 10
"""Bytes of the first request after a seek: headers and footers need no more."""
LARGEST = 8 << 20
"""Maximum bytes of a request in sequential reading. At an object store's latency of 100 ms and 80 MB/s per
connection, half of the time is spent waiting; :data:`AHEAD` hides that half."""
FOOTER = 64 << 10
"""Bytes at the end fetched in one request: Parquet readers read the last few bytes, then those before."""
LEAST = 64 << 10
"""Minimum bytes of a request, however many read positions there are."""
GROWTH = 4
AHEAD = 2
"""Requests in flight beyond the one being read."""
KEPT = 64 << 20
"""Default buffer in bytes per open file, over all its read positions (in a Parquet file one per column)."""
_REMEMBERED = 1000

Fetch = Callable[[int, int], Any]
"""Returns exactly the bytes (any object with the buffer protocol) from a start up to an end."""


@dataclass(slots=True, eq=False)
class _Window:
    """A byte range that was requested, with the step that sizes the next request."""

    start: int
    end: int
    step: int
    data: Future[Any]


class RangeReader(io.RawIOBase):
    """A seekable raw stream of the bytes ``start`` to ``end`` of a remote file; offset 0 is ``start``.

    Several positions may be read in turns, as the columns of a Parquet file are: each is read ahead separately, in
    requests that grow while it is read sequentially. Not thread-safe.

    Args:
        budget: maximum bytes buffered, requested ones included; at least 1 MiB. The more positions there are, the
            smaller their requests: a range that is evicted unread would be fetched twice.
    """

    def __init__(self, fetch: Fetch, start: int, end: int, budget: int = KEPT) -> None:
        self._fetch = fetch
        self._budget = max(budget, FIRST * GROWTH)
        self._start = start
        self._end = max(start, end)
        self._at = start
        self._windows: list[_Window] = []  # least recently used first
        self._steps: dict[int, int] = {}  # end of a finished window → its step
        self._places: set[int] = set()  # positions where reading began; windows before them do not read ahead beyond
        self._threads = ThreadPoolExecutor(AHEAD + 1, thread_name_prefix="read-ahead")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at - self._start

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: self._start, io.SEEK_CUR: self._at, io.SEEK_END: self._end}[whence]
        self._at = max(self._start, base + offset)
        return self.tell()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        target = memoryview(buffer).cast("B")[: max(0, self._end - self._at)]
        filled = 0
        while filled < len(target):
            window = self._window(self._at, len(target) - filled)
            data = memoryview(window.data.result()).cast("B")
            part = data[self._at - window.start :][: len(target) - filled]
            target[filled : filled + len(part)] = part
            filled += len(part)
            self._at += len(part)
            if self._at == window.end != self._end:
                self._finish(window)
        return filled

    def close(self) -> None:
        if not self.closed:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._windows.clear()
        super().close()

    def _window(self, at: int, need: int) -> _Window:
        window = next((window for window in self._windows if window.start <= at < window.end), None)
        if window is None:
            before = self._steps.pop(at, 0)
            start = at if before else min(at, max(self._start, self._end - FOOTER))
            if not before:
                self._places.add(start)
            # A large read is split over several requests: a single one would use one connection only.
            step = min(self._largest(), max(before * GROWTH, FIRST, need // (AHEAD + 1)))
            window = self._request(start, step, step)
        else:
            self._windows.remove(window)
            self._windows.append(window)
        if window.step > FIRST:
            self._read_ahead(window)
        self._evict(window)
        return window

    def _request(self, start: int, length: int, step: int) -> _Window:
        end = min(self._end, start + length)
        end = min((place for place in self._places if start < place < end), default=end)
        window = _Window(start, end, step, self._threads.submit(self._fetch, start, end))
        self._windows.append(window)
        return window

    def _read_ahead(self, window: _Window) -> None:
        last = window
        for _ in range(AHEAD):
            if last.end >= self._end or last.end in self._places:
                return
            following = next((window for window in self._windows if window.start == last.end), None)
            step = min(self._largest(), last.step * GROWTH)
            last = following or self._request(last.end, step, step)

    def _largest(self) -> int:
        """Maximum bytes of a request: an equal share of the budget per position and request in flight."""
        ends = {window.end for window in self._windows}
        places = sum(window.start not in ends for window in self._windows) or 1
        return max(LEAST, min(LARGEST, self._budget // (places * (AHEAD + 1))))

    def _finish(self, window: _Window) -> None:
        self._windows.remove(window)
        if len(self._steps) + len(self._places) > _REMEMBERED:
            self._steps.clear()
            self._places.clear()
        self._steps[window.end] = window.step

    def _evict(self, current: _Window) -> None:
        buffered = sum(window.end - window.start for window in self._windows)
        for window in list(self._windows):
            if buffered <= self._budget:
                return
            if window is not current:
                window.data.cancel()
                self._windows.remove(window)
                buffered -= window.end - window.start

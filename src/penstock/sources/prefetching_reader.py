"""Reading a remote file by byte ranges, ahead of the reader and within a bound of memory."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

__all__ = ["KEPT", "RangeReader"]

FIRST = 256 << 10
"""Bytes of the first request at a place that nobody read up to: headers and footers need no more."""
LARGEST = 8 << 20
"""Bytes of a request once a place is being read front to back. At the 100 ms that an object store takes to answer and
80 MB/s per connection, half of the time goes into waiting; :data:`AHEAD` hides that half."""
FOOTER = 64 << 10
"""Bytes at the end that are fetched at once: readers of Parquet look at the last few and then at those before."""
LEAST = 64 << 10
"""Bytes of a request at least, however many places there are."""
GROWTH = 4
AHEAD = 2
"""Requests under way beyond the one being read."""
KEPT = 64 << 20
"""Bytes held for one open file, unless told otherwise, over all places that it is being read at (a Parquet file: one
per column)."""
_REMEMBERED = 1000

Fetch = Callable[[int, int], Any]
"""Gives the bytes (anything with the buffer protocol) from a start up to an end, exactly."""


@dataclass(slots=True, eq=False)
class _Window:
    start: int
    end: int
    step: int
    data: Future[Any]


class RangeReader(io.RawIOBase):
    """The bytes ``start`` to ``end`` of a remote file, seekable; offset 0 is ``start``.

    Several places may be read in turns, as the columns of a Parquet file are: each is read ahead on its own, in
    requests that grow while it goes on. Not safe for several threads.

    Args:
        budget: bytes that it may hold, requested ones included; at least 1 MiB. The more places there are, the
            smaller each one's requests: what had to be given up unread would be fetched twice.
    """

    def __init__(self, fetch: Fetch, start: int, end: int, budget: int = KEPT) -> None:
        self._fetch = fetch
        self._budget = max(budget, FIRST * GROWTH)
        self._start = start
        self._end = max(start, end)
        self._at = start
        self._windows: list[_Window] = []  # least recently used first
        self._steps: dict[int, int] = {}  # where a finished window ended → its step
        self._places: set[int] = set()  # where reading began; what lies before does not read ahead beyond it
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
            # Whoever wants much at once reads on; one request for all of it would come over one connection alone.
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
        """Bytes of a request at most: an equal share of the budget for each place and request under way."""
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
        held = sum(window.end - window.start for window in self._windows)
        for window in list(self._windows):
            if held <= self._budget:
                return
            if window is not current:
                window.data.cancel()
                self._windows.remove(window)
                held -= window.end - window.start

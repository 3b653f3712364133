"""Find a task that has stalled: all threads of its process wait for each other.

The process is alive then, and its heartbeats go on. Lance has deadlocked so in the build of a vector index (14.0.2,
1,000,000 x 128, two processors): every thread was parked, and no read or write was under way.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

STALL_SECONDS = 600.0
"""Seconds without processor time after which a task counts as stalled. A request to an object store is given up
sooner."""

_IDLE_SHARE = 1e-4
"""Share of one processor below which a process counts as idle: threads that wake up now and then."""

_HELPERS = ("heartbeat", "memory", "Otel")
"""Beginnings of the names of threads that run whether or not a task does."""


class StallWatch:
    """Watches the process that it is in. ``interval`` is in seconds, between two calls of :meth:`is_stalled`.

    Time is counted by calls and not by a clock: the process may have been suspended itself.
    """

    def __init__(self, seconds: float, interval: float) -> None:
        self._calls = max(1, round(seconds / interval))
        self._least = round(seconds * _IDLE_SHARE * 1e9)
        self._task = 0
        self._threads: dict[str, int] = {}
        self._idle = 0

    def is_stalled(self, task: int) -> bool:
        """Whether the task of this number has used no processor for so long. 0 if there is none."""
        if not task:
            self._task = 0
            return False
        threads = _nanoseconds()
        used = sum(threads.values()) - sum(self._threads.values())
        if task != self._task or threads.keys() != self._threads.keys() or used > self._least:
            self._task, self._threads, self._idle = task, threads, 0
            return False
        self._idle += 1
        return bool(threads) and self._idle >= self._calls


def _nanoseconds() -> dict[str, int]:
    """Processor time of each thread of this process but the helpers; none where the system does not say it."""
    helpers = {str(thread.native_id) for thread in threading.enumerate() if thread.name.startswith(_HELPERS)}
    try:
        return {
            thread: int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[0])
            for thread in os.listdir("/proc/self/task")
            if thread not in helpers
        }
    except OSError:  # a thread has ended meanwhile, which is no stall, or there is no such file
        return {}

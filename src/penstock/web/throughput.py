"""The rows of running jobs over time, as their pages were rendered by this process: the points of a chart.

Nothing is stored: a job whose page was never shown has no points.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence

from penstock.domain.jobs import ImportJob

MAX_JOBS, MAX_POINTS = 200, 600
_LEAST_SECONDS = 0.9


class Throughput:
    """Points of time (seconds since 1970) and rows of the jobs whose pages were shown last. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[int, deque[tuple[float, int]]] = OrderedDict()

    def observe(self, job: ImportJob) -> Sequence[tuple[float, int]]:
        """Add the present rows of a job that reads, and return all of its points, oldest first."""
        now = time.time()
        with self._lock:
            points = self._jobs.setdefault(job.id, deque(maxlen=MAX_POINTS))
            self._jobs.move_to_end(job.id)
            while len(self._jobs) > MAX_JOBS:
                self._jobs.popitem(last=False)
            if not points and job.started_at is not None and not job.state.is_final:
                points.append((job.started_at.timestamp(), 0))
            is_reading = not job.state.is_final and (not points or job.rows >= points[-1][1])
            if is_reading and (not points or now - points[-1][0] >= _LEAST_SECONDS):
                points.append((round(now, 2), job.rows))
            return list(points)

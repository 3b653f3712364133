"""What processes use while something is measured: processor time and memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import psutil

__all__ = ["ProcessorTime", "Usage"]

SAMPLE_SECONDS = 0.1
_SAMPLING_SHARE = 0.02
"""Of a processor, that sampling may take from what is measured. The kernel walks all pages of a process for its
proportional set size: of a server with two workers that import, a sample took 37 ms of processor time on a slow
machine, ten a second took more than a quarter of a processor."""


class ProcessorTime:
    """Seconds of user and system time of processes, without their children, since it was made."""

    def __init__(self, processes: Sequence[psutil.Process]) -> None:
        self._processes = processes
        self._before = self._sum()

    def seconds(self) -> float:
        return self._sum() - self._before

    def _sum(self) -> float:
        times = [process.cpu_times() for process in self._processes]
        return sum(each.user + each.system for each in times)


class Usage:
    """Processor seconds that processes and their children used inside the ``with``, and their peak of memory.

    ``peak`` is in bytes: the largest sum of the proportional set sizes of all of them, sampled up to ten times a
    second, so that pages which they share count once. Of a Penstock server only root may see these; for others it is
    the sum of private memory, and the largest shared part once. ``cpu_seconds`` includes children that have ended and
    were waited for.
    """

    def __init__(self, *pids: int) -> None:
        self._roots = [psutil.Process(pid) for pid in pids]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.cpu_seconds = 0.0
        self.peak = 0

    def __enter__(self) -> Usage:
        self._before = self._cpu()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu_seconds = self._cpu() - self._before
        self._stop.set()
        self._thread.join()

    def _processes(self) -> Iterator[psutil.Process]:
        for root in self._roots:
            yield root
            yield from root.children(recursive=True)

    def _cpu(self) -> float:
        """Of the living ones, with what their ended children had used."""
        total = 0.0
        for process in self._processes():
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system + times.children_user + times.children_system
        return total

    def _sample(self) -> None:
        while True:
            before = time.thread_time()
            total = shared = 0
            for process in self._processes():
                try:
                    total += process.memory_full_info().pss
                except psutil.NoSuchProcess:
                    continue
                except psutil.AccessDenied:
                    plain = process.memory_info()
                    total += plain.rss - plain.shared
                    shared = max(shared, plain.shared)
            self.peak = max(self.peak, total + shared)
            spent = time.thread_time() - before
            if self._stop.wait(max(SAMPLE_SECONDS, spent / _SAMPLING_SHARE)):
                return

"""Bounded thread pools for calls, with fair queueing and coalescing of equal calls.

Handlers and the services under them are synchronous. Their threads are bounded, and shared by independent callers:
calls wait in one queue per fairness key, so a caller with more calls than there are threads delays only its own.

Clients that poll jobs send equal calls again and again. Equal calls that wait are coalesced, one of them is run for
all: the server answers many pollers at the cost of few calls, and coalesces the better the more there are.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from penstock.access.fairness_key import ANONYMOUS_KEY, UNVERIFIED_PASSWORD_KEY

T = TypeVar("T")

_log = structlog.get_logger("penstock.http")

_READING_THREADS = 2
"""More would contend for the GIL: with eight, each call took half as much CPU time again."""


STACK_BYTES = 8 << 20
"""Stack of each thread, independent of ``ulimit -s``. The engine parses filters by recursion: the deepest that
:mod:`penstock.filters` accepts overflow 256 kB and fit in 1 MB."""


def keep(result: T) -> T:
    """Return a result that needs neither sharing nor discarding."""
    return result


def _has_result(future: asyncio.Future[Any]) -> bool:
    """Whether a future that is done has neither failed nor been cancelled."""
    return not future.cancelled() and future.exception() is None


class Threads:
    """The thread pools of handlers: one for those that only read the catalog, one for all others.

    Creating a job waits for the disk's fsync, for seconds when imports write at full speed. A hundred such calls
    must not delay those that only poll a job.
    """

    def __init__(self, calls: int) -> None:
        threading.stack_size(STACK_BYTES)  # for all threads started after this, these among them
        self.calls = Pool(calls, "call")
        self.reading = Pool(min(calls, _READING_THREADS), "read")

    def close(self) -> None:
        """Accept no more calls; those that have begun go on."""
        for pool in (self.reading, self.calls):
            pool.close()


@dataclass(slots=True, eq=False)
class _InFlight:
    """A queued call whose result several callers share, and their number."""

    work: asyncio.Task[Any]
    callers: int = 0


class Pool:
    """A thread pool that serves its queues round-robin, one per fairness key
    (:mod:`penstock.access.fairness_key`). For one event loop.

    One queue gets three quarters of the threads at most, so that some are left for others however long its calls
    take; that of unverified passwords, which cost a tenth of a second each and need no account, gets one quarter.
    """

    def __init__(self, size: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(size, thread_name_prefix=name)
        self._size = size
        self._begun: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._shared: dict[Hashable, _InFlight] = {}

    async def run(self, fairness_key: str, function: Callable[[], T], discard: Callable[[T], object] = keep) -> T:
        """Run the function in a thread and return its result. After a cancellation a begun function goes on.

        ``discard`` is called with a result that no caller gets, as after a timeout.
        """
        await self._wait_for_thread(fairness_key)
        return await self._work(fairness_key, function, discard)

    async def run_coalesced(
        self,
        same: Hashable,
        fairness_key: str,
        function: Callable[[], T],
        share: Callable[[T], T] = keep,
        discard: Callable[[T], object] = keep,
    ) -> T:
        """As :meth:`run`, with single flight: of the calls that wait under one key only the first is run, for all.

        No call gets a result older than itself: none joins a function that has begun. Each caller gets what ``share``
        makes of the result; the result itself is discarded after the last.
        """
        if self._can_start_now(fairness_key):
            return await self.run(fairness_key, function, discard)
        shared = self._shared.get(same)
        if shared is None:
            shared = self._shared[same] = _InFlight(
                asyncio.create_task(self._run_once(same, fairness_key, function, discard))
            )
        shared.callers += 1
        try:
            return share(await asyncio.shield(shared.work))
        finally:
            shared.callers -= 1
            if not shared.callers:
                if self._shared.get(same) is shared:
                    del self._shared[same]
                if not shared.work.cancel() and _has_result(shared.work):
                    discard(shared.work.result())

    async def _run_once(
        self, same: Hashable, fairness_key: str, function: Callable[[], T], discard: Callable[[T], object]
    ) -> T:
        await self._wait_for_thread(fairness_key)
        del self._shared[same]
        return await self._work(fairness_key, function, discard)

    async def _work(self, fairness_key: str, function: Callable[[], T], discard: Callable[[T], object]) -> T:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def ended(work: Future[T]) -> None:
            with suppress(RuntimeError):  # the loop is closed: no caller waits
                loop.call_soon_threadsafe(self._end, fairness_key, work, answer, discard)

        try:
            work = self._executor.submit(contextvars.copy_context().run, function)
        except RuntimeError:
            self._release_thread(fairness_key)
            raise
        work.add_done_callback(ended)
        try:
            return await answer
        except asyncio.CancelledError:
            work.cancel()
            if answer.done() and _has_result(answer):  # it came in the same moment
                discard(answer.result())
            raise

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _max_threads(self, fairness_key: str) -> int:
        quarter = self._size // 4
        if fairness_key == ANONYMOUS_KEY:
            return self._size
        return max(1, quarter) if fairness_key == UNVERIFIED_PASSWORD_KEY else self._size - quarter

    async def _wait_for_thread(self, fairness_key: str) -> None:
        if self._can_start_now(fairness_key):
            self._begun[fairness_key] += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(fairness_key, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the thread was assigned just before
                self._release_thread(fairness_key)
            elif turn in self._waiting.get(fairness_key, ()):
                self._dequeue(fairness_key, turn)
            raise

    def _can_start_now(self, fairness_key: str) -> bool:
        return fairness_key not in self._waiting and self._has_free_thread(fairness_key)

    def _has_free_thread(self, fairness_key: str) -> bool:
        return self._begun.total() < self._size and self._begun[fairness_key] < self._max_threads(fairness_key)

    def _dequeue(self, fairness_key: str, turn: asyncio.Future[None]) -> None:
        waiting = self._waiting[fairness_key]
        waiting.remove(turn)
        if not waiting:
            del self._waiting[fairness_key]

    def _end(
        self, fairness_key: str, work: Future[T], answer: asyncio.Future[T], discard: Callable[[T], object]
    ) -> None:
        self._release_thread(fairness_key)
        if answer.done():
            # The caller has gone: a failure is only logged.
            if work.cancelled():
                return
            if (error := work.exception()) is not None:
                _log.warning("request.failed_after_timeout", error=str(error))
            else:
                discard(work.result())
        elif work.cancelled():
            answer.cancel()
        elif (error := work.exception()) is not None:
            answer.set_exception(error)
        else:
            answer.set_result(work.result())

    def _release_thread(self, fairness_key: str) -> None:
        self._begun[fairness_key] -= 1
        if not self._begun[fairness_key]:
            del self._begun[fairness_key]
        while (following := next(filter(self._has_free_thread, self._waiting), None)) is not None:
            waiting = self._waiting.pop(following)
            turn = waiting.popleft()
            if waiting:
                self._waiting[following] = waiting  # behind all others
            if not turn.cancelled():
                self._begun[following] += 1
                turn.set_result(None)

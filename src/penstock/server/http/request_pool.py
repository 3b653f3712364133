"""The threads that calls run in, and whose turn it is when all of them are taken.

Handlers and the services under them are synchronous. Their threads are bounded, and shared by callers who don't know
each other: who sends more calls than there are threads waits behind his own, not others behind him.

Who watches jobs asks the same again and again, and so do all who watch the same jobs. Where such calls wait, one of
them is run for all: the server answers a crowd at the cost of few calls, and the more there are the better.
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

__all__ = ["Pool", "Threads"]

T = TypeVar("T")

_log = structlog.get_logger("penstock.http")

_READING_THREADS = 2
"""More would fight for the interpreter's lock: with eight, each call took half as much of a processor again."""


STACK_BYTES = 8 << 20
"""Of each thread, whatever ``ulimit -s`` says. The engine parses filters by recursion: the deepest that
:mod:`penstock.filters` lets through overflow 256 kB and fit in 1 MB."""


class Threads:
    """The pools that handlers run in: one for those that only read the catalog, one for all others.

    Creating a job waits until the disk has it, for seconds when imports write at full speed. A hundred such calls
    must not keep those waiting that ask how a job is.
    """

    def __init__(self, calls: int) -> None:
        threading.stack_size(STACK_BYTES)  # of all threads that begin after this, these among them
        self.calls = Pool(calls, "call")
        self.reading = Pool(min(calls, _READING_THREADS), "read")

    def close(self) -> None:
        """Take no more calls; those that have begun go on."""
        for each in (self.reading, self.calls):
            each.close()


@dataclass(slots=True, eq=False)
class _InFlight:
    """A call that waits for a thread, and how many ask for what it gives."""

    work: asyncio.Task[Any]
    callers: int = 0


class Pool:
    """Threads that serve the queues of waiting calls in turn, one per fairness key
    (:mod:`penstock.access.fairness_key`). For one event loop.

    One queue gets three quarters of the threads at most, so that some are left for others however long its calls
    take; that of unproven passwords, which cost a tenth of a second each and anybody can send, gets one quarter.
    """

    def __init__(self, size: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(size, thread_name_prefix=name)
        self._size = size
        self._begun: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._shared: dict[Hashable, _InFlight] = {}

    async def run(self, fairness_key: str, function: Callable[[], T]) -> T:
        """The function's result. If this is cancelled, what has begun goes on in its thread."""
        await self._turn(fairness_key)
        return await self._work(fairness_key, function)

    async def run_coalesced(self, same: Hashable, fairness_key: str, function: Callable[[], T]) -> T:
        """As :meth:`run`; of the functions that wait under one key only the first is run, and gives all their result.

        None gets what was true before it asked: once a function has begun, nobody joins it.
        """
        if self._is_free(fairness_key):
            return await self.run(fairness_key, function)
        shared = self._shared.get(same)
        if shared is None:
            shared = self._shared[same] = _InFlight(asyncio.create_task(self._run_once(same, fairness_key, function)))
        shared.callers += 1
        try:
            result: T = await asyncio.shield(shared.work)
            return result
        finally:
            shared.callers -= 1
            if not shared.callers:
                if self._shared.get(same) is shared:
                    del self._shared[same]
                shared.work.cancel()

    async def _run_once(self, same: Hashable, fairness_key: str, function: Callable[[], T]) -> T:
        await self._turn(fairness_key)
        del self._shared[same]
        return await self._work(fairness_key, function)

    async def _work(self, fairness_key: str, function: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def ended(work: Future[T]) -> None:
            with suppress(RuntimeError):  # the loop is closed, nobody waits
                loop.call_soon_threadsafe(self._end, fairness_key, work, answer)

        try:
            work = self._executor.submit(contextvars.copy_context().run, function)
        except RuntimeError:
            self._leave(fairness_key)
            raise
        work.add_done_callback(ended)
        try:
            return await answer
        except asyncio.CancelledError:
            work.cancel()
            raise

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _most(self, fairness_key: str) -> int:
        quarter = self._size // 4
        if fairness_key == ANONYMOUS_KEY:
            return self._size
        return max(1, quarter) if fairness_key == UNVERIFIED_PASSWORD_KEY else self._size - quarter

    async def _turn(self, fairness_key: str) -> None:
        if self._is_free(fairness_key):
            self._begun[fairness_key] += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(fairness_key, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it had come, just before
                self._leave(fairness_key)
            elif turn in self._waiting.get(fairness_key, ()):
                self._forget(fairness_key, turn)
            raise

    def _is_free(self, fairness_key: str) -> bool:
        return fairness_key not in self._waiting and self._may_begin(fairness_key)

    def _may_begin(self, fairness_key: str) -> bool:
        return self._begun.total() < self._size and self._begun[fairness_key] < self._most(fairness_key)

    def _forget(self, fairness_key: str, turn: asyncio.Future[None]) -> None:
        waiting = self._waiting[fairness_key]
        waiting.remove(turn)
        if not waiting:
            del self._waiting[fairness_key]

    def _end(self, fairness_key: str, work: Future[T], answer: asyncio.Future[T]) -> None:
        self._leave(fairness_key)
        if answer.done():
            # Whoever asked has gone: how it failed is only logged.
            if not work.cancelled() and (error := work.exception()) is not None:
                _log.warning("a call that had timed out failed", error=str(error))
        elif work.cancelled():
            answer.cancel()
        elif (error := work.exception()) is not None:
            answer.set_exception(error)
        else:
            answer.set_result(work.result())

    def _leave(self, fairness_key: str) -> None:
        self._begun[fairness_key] -= 1
        if not self._begun[fairness_key]:
            del self._begun[fairness_key]
        while (following := next(filter(self._may_begin, self._waiting), None)) is not None:
            waiting = self._waiting.pop(following)
            turn = waiting.popleft()
            if waiting:
                self._waiting[following] = waiting  # behind all others
            if not turn.cancelled():
                self._begun[following] += 1
                turn.set_result(None)

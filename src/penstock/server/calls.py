"""Run calls of any wire protocol: queue fairly, run in a thread, time out, coalesce equal reads.

Use cases are synchronous. They run in bounded pools of threads (:mod:`penstock.server.request_pool`); a call that
waits too long for a thread, or works too long, gets :class:`penstock.domain.deadline.DeadlineExceeded`. The work of a
call that has begun goes on in its thread: its changes are atomic, and the thread counts against the pool until it is
done. Scans of rows check the call's deadline and stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from functools import partial
from typing import TypeVar

import structlog

from penstock.access.authentication import Authentication
from penstock.domain.deadline import DeadlineExceeded, deadline
from penstock.errors import PenstockError
from penstock.server.request_pool import Threads, keep

T = TypeVar("T")

_log = structlog.get_logger("penstock.http")


class Calls:
    """The calls of one server process and event loop, whichever protocol they come by.

    ``threads`` is their number; ``timeout`` is the default in seconds.
    """

    def __init__(self, authentication: Authentication, *, threads: int, timeout: float) -> None:
        self.timeout = timeout
        self._authentication = authentication
        self._threads = Threads(threads)

    async def run(
        self,
        authorization: str,
        address: str,
        work: Callable[[], T],
        *,
        route: str,
        timeout: float | None = None,
        read_only: bool = False,
        coalescing_key: Hashable | None = None,
        share: Callable[[T], T] = keep,
        discard: Callable[[T], object] = keep,
    ) -> T:
        """Run ``work`` in a thread and return its result.

        Args:
            authorization: the ``Authorization`` header, or what stands for it; decides the queue.
            address: the client's network address.
            route: the call's name, for the log.
            timeout: in seconds from now, for waiting and working; None is the default.
            read_only: ``work`` reads the catalog only, by indexes.
            coalescing_key: all that the result depends on besides credentials and address. Equal calls that wait
                are answered by one run, which knows no deadline; None runs each.
            share: makes of a coalesced result what each of its callers gets.
            discard: is called with a result that no caller gets, as after a timeout.

        Raises:
            PenstockError: from ``work``.
            DeadlineExceeded: the timeout is over.
            Exception: anything else that ``work`` raises; its traceback is logged.
        """
        fairness_key = self._authentication.fairness_key(authorization)
        pool = self._threads.reading if read_only else self._threads.calls
        seconds = self.timeout if timeout is None else timeout
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                if coalescing_key is not None:
                    same = (authorization, address, coalescing_key)
                    return await pool.run_coalesced(same, fairness_key, work, share, discard)
                # The thread runs in a copy of this context: scans there stop when the caller gets the timeout.
                with deadline(seconds):
                    return await pool.run(fairness_key, work, discard)
        except (PenstockError, DeadlineExceeded):
            raise
        except Exception as error:
            if limit.expired():
                raise DeadlineExceeded from error
            _log.exception("request.failed", route=route)
            raise

    async def authenticate(self, authorization: str, address: str) -> None:
        """Authenticate a caller before its request is read.

        Raises:
            Unauthenticated, TooManyAttempts, DeadlineExceeded.
        """
        identify = partial(self._authentication.identify, authorization, address)
        await self.run(authorization, address, identify, route="authentication")

    def close(self) -> None:
        """Accept no more calls; those that have begun go on."""
        self._threads.close()

"""Poll the server until something is finished."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from penstock.sdk.connection import is_busy
from penstock.sdk.errors import ApiError, ConnectionFailed

__all__ = ["LONGEST_OUTAGE", "LONGEST_PAUSE", "may_pass", "poll_until"]

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
LONGEST_OUTAGE = 60.0
"""Seconds: a restarted server resumes its work; a waiting client should survive the restart."""

_T = TypeVar("_T")


def may_pass(error: ConnectionFailed | ApiError, last_answer: float | None) -> bool:
    """Whether a server that answered before, at the monotonic time ``last_answer``, is perhaps being restarted."""
    # Behind a proxy a server that restarts is one that answers 502 or 503.
    is_transient = isinstance(error, ConnectionFailed) or is_busy(error)
    return is_transient and last_answer is not None and time.monotonic() - last_answer <= LONGEST_OUTAGE


def poll_until(
    get: Callable[[], _T],
    is_last: Callable[[_T], bool],
    unfinished: Callable[[_T, float], Exception] | None = None,
    *,
    timeout: float | None = None,
    pause: float | None = None,
    show: Callable[[_T], object] = lambda state: None,
) -> _T:
    """Call ``get`` until its result ``is_last``, and return that; ``show`` is called with every result.

    Args:
        unfinished: makes the error of the last result and of the timeout that is over; needed with ``timeout``.
        timeout: seconds to wait at most; None for as long as it takes.
        pause: seconds between two calls; None begins with 0.1 s and grows to 2 s.

    Raises:
        ConnectionFailed, ApiError: the first call failed, or the server can't answer for more than a minute.
        Exception: what ``unfinished`` makes.
    """
    assert timeout is None or unfinished is not None, "nothing would end the wait"
    started = time.monotonic()
    last_answer: float | None = None
    seconds = FIRST_PAUSE if pause is None else pause
    states: list[_T] = []
    while True:
        try:
            states[:] = [get()]
        except (ConnectionFailed, ApiError) as error:
            if not may_pass(error, last_answer):
                raise
        else:
            last_answer = time.monotonic()
            show(states[0])
            if is_last(states[0]):
                return states[0]
        left = None if timeout is None else started + timeout - time.monotonic()
        if left is not None and left <= 0 and unfinished is not None:
            raise unfinished(states[0], timeout or 0.0)
        time.sleep(seconds if left is None else min(seconds, left))
        if pause is None:
            seconds = min(seconds * 1.5, LONGEST_PAUSE)

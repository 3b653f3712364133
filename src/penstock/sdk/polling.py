"""Poll the server until something is finished."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from penstock.sdk.connection import is_busy
from penstock.sdk.errors import ApiError, ConnectionFailed

__all__ = ["LONGEST_OUTAGE", "LONGEST_PAUSE", "poll_until"]

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
LONGEST_OUTAGE = 60.0
"""Seconds: a restarted server resumes its work; a waiting client should survive the restart."""

_T = TypeVar("_T")


def poll_until(
    get: Callable[[], _T],
    is_last: Callable[[_T], bool],
    unfinished: Callable[[_T, float], Exception],
    *,
    timeout: float | None,
    pause: float | None = None,
    show: Callable[[_T], object] = lambda state: None,
) -> _T:
    """Call ``get`` until its result ``is_last``, and return that; ``show`` is called with every result.

    Args:
        timeout: seconds to wait at most; None for as long as it takes.
        pause: seconds between two calls; None begins with 0.1 s and grows to 2 s.

    Raises:
        ConnectionFailed, ApiError: the first call failed, or the server can't answer for more than a minute.
        Exception: what ``unfinished`` makes of the last result and the timeout that is over.
    """
    started = last_answer = time.monotonic()
    seconds = FIRST_PAUSE if pause is None else pause
    states: list[_T] = []
    while True:
        try:
            states[:] = [get()]
        except (ConnectionFailed, ApiError) as error:
            # Behind a proxy a server that restarts is one that answers 502 or 503.
            may_pass = isinstance(error, ConnectionFailed) or is_busy(error)
            if not may_pass or not states or time.monotonic() - last_answer > LONGEST_OUTAGE:
                raise
        else:
            last_answer = time.monotonic()
            show(states[0])
            if is_last(states[0]):
                return states[0]
        left = None if timeout is None else started + timeout - time.monotonic()
        if left is not None and left <= 0:
            raise unfinished(states[0], timeout or 0.0)
        time.sleep(seconds if left is None else min(seconds, left))
        if pause is None:
            seconds = min(seconds * 1.5, LONGEST_PAUSE)

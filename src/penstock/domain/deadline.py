"""The deadline of a call: long loops check it, so that abandoned work stops.

The server sets it for the thread of a call; elsewhere there is none and a check costs nothing. An engine's scan is
checked between its batches: dropping the reader ends the scan.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ends: ContextVar[float | None] = ContextVar("deadline", default=None)


class DeadlineExceeded(TimeoutError):
    """The call took longer than its timeout; work that doesn't check the deadline may still go on."""

    def __init__(self) -> None:
        super().__init__("the call timed out: its work was stopped")


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Set the deadline of this context, and of threads that run in copies of it."""
    with deadline_at(time.monotonic() + seconds):
        yield


@contextmanager
def deadline_at(ends: float | None) -> Iterator[None]:
    """Set the deadline as a time of ``time.monotonic``; None is no deadline."""
    token = _ends.set(ends)
    try:
        yield
    finally:
        _ends.reset(token)


def current_deadline() -> float | None:
    """The context's deadline as a time of ``time.monotonic``, if it has one."""
    return _ends.get()


def check_deadline() -> None:
    """Raise DeadlineExceeded once the context's deadline has passed."""
    ends = _ends.get()
    if ends is not None and time.monotonic() > ends:
        raise DeadlineExceeded

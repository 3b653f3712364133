"""Doing something at most so often."""

from __future__ import annotations

import time

__all__ = ["Throttle"]


class Throttle:
    """For one thread: whether ``seconds`` have passed since it last said yes."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due = float("-inf")

    def is_ready(self) -> bool:
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + self._seconds
        return True

"""Throttle actions to at most one per interval."""

from __future__ import annotations

import time


class Throttle:
    """Allows one action per ``seconds``. Not thread-safe."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due = float("-inf")

    def is_ready(self) -> bool:
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + self._seconds
        return True

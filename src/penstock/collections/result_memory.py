"""Room for answers: how many bytes of rows one process holds at a time for those who asked for them.

Rows are read, written out as JSON, several times as large, and kept until they have been sent. Without a bound a few
readers who ask for all that one answer may hold take the memory of everybody's server.
"""

from __future__ import annotations

import threading
from collections import Counter

from penstock.errors import QuotaExceeded

__all__ = ["MAX_ANSWER_BYTES", "MemoryReservation", "ResultMemory"]

MAX_ANSWER_BYTES = 256 << 20
"""Of rows in one answer, as their columns hold them. It is also what one org may hold in all."""
_SMALL = 1 << 20
"""Answers up to here take no room: others bound how many of them there are."""
_WAIT = 10.0
"""Seconds for which an answer waits for others to be sent."""


class MemoryReservation:
    """Bytes that are taken until nobody refers to this any more. It goes along with the rows and what they become."""

    __slots__ = ("_room", "org_id", "size")

    def __init__(self, room: ResultMemory, org_id: str, size: int) -> None:
        self._room = room
        self.org_id = org_id
        self.size = size

    def __del__(self) -> None:
        self._room.release(self)


class ResultMemory:
    """Twice :data:`MAX_ANSWER_BYTES`, of which one org gets half. Safe to share between threads."""

    def __init__(self, wait: float = _WAIT) -> None:
        self._wait = wait
        self._changed = threading.Condition()  # on a lock that one thread may take twice: things end at any moment
        self._taken: Counter[str] = Counter()

    def take(self, org_id: str, size: int) -> MemoryReservation | None:
        """Wait until there is room; None for what needs none. ``size`` is at most :data:`MAX_ANSWER_BYTES`.

        Raises QuotaExceeded: others hold it for too long.
        """
        if size <= _SMALL:
            return None
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(org_id, size), self._wait):
                raise QuotaExceeded(
                    f"the rows of this answer take about {size >> 20} MiB, and other answers that are being sent, of "
                    "your org or in all, take too much to hold that as well. Try again in a moment, or ask for fewer "
                    "rows or outputFields",
                    limit="answer_bytes",
                    value=MAX_ANSWER_BYTES,
                    present=self._taken[org_id],
                    seconds=1,
                )
            self._taken[org_id] += size
        return MemoryReservation(self, org_id, size)

    def release(self, held: MemoryReservation) -> None:
        with self._changed:
            self._taken[held.org_id] -= held.size
            if not self._taken[held.org_id]:
                del self._taken[held.org_id]
            self._changed.notify_all()

    def _has_room(self, org_id: str, size: int) -> bool:
        return self._taken[org_id] + size <= MAX_ANSWER_BYTES and self._taken.total() + size <= 2 * MAX_ANSWER_BYTES

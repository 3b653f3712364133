"""Memory reservations for answers: a bound on the bytes of rows that one process holds at a time.

Rows are read, serialized as JSON, several times as large, and held until they have been sent. Without a bound a few
calls for the largest possible answers exhaust the server's memory.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from penstock.errors import QuotaExceeded

MAX_ANSWER_BYTES = 256 << 20
"""Maximum bytes of rows in one answer, as Arrow columns; also the maximum of one org in total."""
_SMALL = 1 << 20
"""Answers up to this size need no reservation: the number of calls is bounded elsewhere."""
_WAIT = 10.0
"""Seconds that an answer waits for others to be sent."""


class MemoryReservation:
    """Bytes reserved for an answer, until its last holder releases them: by :meth:`release`, or by leaving ``with``.

    It accompanies the rows and the answer made of them. The first holder is the caller of :meth:`ResultMemory.take`.
    Thread-safe.
    """

    __slots__ = ("_holders", "_lock", "_room", "org_id", "size")

    def __init__(self, room: ResultMemory, org_id: str, size: int) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._holders = 1
        self.org_id = org_id
        self.size = size

    def share(self) -> None:
        """Add a holder, which must release it, too: one that sends the same answer to another caller."""
        with self._lock:
            self._holders += 1

    def release(self) -> None:
        with self._lock:
            self._holders -= 1
            is_last = self._holders == 0
        if is_last:
            self._room.release(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@contextmanager
def release_on_error(held: MemoryReservation | None) -> Iterator[None]:
    """Release a reservation if the block fails; otherwise whatever the block makes of the rows holds it."""
    try:
        yield
    except BaseException:
        if held is not None:
            held.release()
        raise


class ResultMemory:
    """The memory for answers: twice :data:`MAX_ANSWER_BYTES`, half of it for one org. Thread-safe."""

    def __init__(self, wait: float = _WAIT) -> None:
        self._wait = wait
        self._changed = threading.Condition()
        self._taken: Counter[str] = Counter()

    def take(self, org_id: str, size: int) -> MemoryReservation | None:
        """Wait for and reserve ``size`` bytes, at most :data:`MAX_ANSWER_BYTES`; None if ``size`` is small.

        Raises QuotaExceeded: other answers hold the memory for too long.
        """
        if size <= _SMALL:
            return None
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(org_id, size), self._wait):
                raise QuotaExceeded(
                    f"the rows of this result take about {size >> 20} MiB, and other results in memory, of your "
                    "org or in total, leave too little room. Try again in a moment, or request fewer rows or "
                    "outputFields",
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

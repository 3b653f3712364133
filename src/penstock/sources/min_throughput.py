"""Enforce a minimum throughput of web servers: one that sends a byte now and then would block a reader for days.

Socket timeouts apply between bytes. Here the whole response counts, but only the time spent waiting for it: the
reader's own work between two reads is not the server's fault.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

GRACE_SECONDS = 90.0
"""Seconds of waiting before the minimum applies: more than the timeout between bytes."""
SLOWEST = 64 << 10
"""Minimum average throughput from then on, in bytes per second."""


class TooSlow(Exception):
    """A server sends fewer bytes per second than :data:`SLOWEST`."""


class PacedResponse(http.client.HTTPResponse):
    """An HTTP response whose reads, those of the headers included, raise :class:`TooSlow`."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_TimedStream(self.fp.detach()))


class _TimedStream(io.RawIOBase):
    """A raw stream that measures the time spent waiting and the bytes received."""

    def __init__(self, inner: io.RawIOBase) -> None:
        self._inner = inner
        self._waited = 0.0
        self._received = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        began = time.monotonic()
        count = self._inner.readinto(buffer)
        self._waited += time.monotonic() - began
        self._received += count or 0
        if self._waited > GRACE_SECONDS and self._received < self._waited * SLOWEST:
            raise TooSlow
        return count

    def close(self) -> None:
        self._inner.close()
        super().close()

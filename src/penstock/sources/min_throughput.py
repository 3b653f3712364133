"""How slowly a web server may answer: one that sends a byte now and then would hold whoever reads for days.

Time limits of sockets count from byte to byte. Here the whole answer counts, as long as somebody waits for it: what
the reader does between two reads is not the server's fault.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

__all__ = ["GRACE_SECONDS", "SLOWEST", "PacedResponse", "TooSlow"]

GRACE_SECONDS = 90.0
"""Seconds of waiting in which an answer may come as it likes: more than the limit from byte to byte."""
SLOWEST = 64 << 10
"""Bytes a second that it must have brought on average from then on."""


class TooSlow(Exception):
    """A server sends fewer bytes than :data:`SLOWEST` says."""


class PacedResponse(http.client.HTTPResponse):
    """Raises :class:`TooSlow` from any of its reads, those of the headers among them."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_Paced(self.fp.detach()))


class _Paced(io.RawIOBase):
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

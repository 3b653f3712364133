"""Passwords of users: hashed with argon2, and verified no oftener than need be."""

from __future__ import annotations

import base64
import hmac
import secrets
import threading
from collections.abc import Callable
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION
from cachetools import TTLCache

from penstock.errors import InvalidParameter

__all__ = ["Passwords", "check_password"]

REMEMBERED_SECONDS = 60
_REMEMBERED = 10_000
_LENGTHS = (6, 256)
_AT_A_TIME = 2
"""Each verification takes 64 MiB and a tenth of a second of the processor."""


def check_password(password: str) -> None:
    """Raises InvalidParameter: too short or too long."""
    least, most = _LENGTHS
    if not least <= len(password) <= most:
        raise InvalidParameter(f"a password has {least} to {most} characters")


class Passwords:
    """Hashes and verifies. A verified password is remembered for a minute, by a hash keyed anew in each process."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._key = secrets.token_bytes(32)
        self._known: TTLCache[bytes, bool] = TTLCache(_REMEMBERED, REMEMBERED_SECONDS)
        self._lock = threading.Lock()
        self._turn = threading.BoundedSemaphore(_AT_A_TIME)

    @cached_property
    def _dummy_hash(self) -> str:
        """The hash of no password, as costly as any to verify; made up, or the first stranger would wait twice."""
        hasher = self._hasher
        cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
        salt, digest = (
            base64.b64encode(secrets.token_bytes(length)).decode().rstrip("=")
            for length in (hasher.salt_len, hasher.hash_len)
        )
        return f"$argon2{hasher.type.name.lower()}$v={ARGON2_VERSION}${cost}${salt}${digest}"

    def hash(self, password: str) -> str:
        """Raises InvalidParameter as :func:`check_password`."""
        check_password(password)
        with self._turn:
            return self._hasher.hash(password)

    def is_cached(self, digest: str, password: str) -> bool:
        """Whether the password was verified a moment ago."""
        with self._lock:
            return self._cache_key(digest, password) in self._known

    def verify(self, digest: str | None, password: str, check: Callable[[], None] = lambda: None) -> bool:
        """Whether ``digest`` is the password's; None, for a user that isn't there, takes as long to say no.

        ``check`` is called when all that came before have been verified; what it raises is raised.
        """
        if digest is not None and self.is_cached(digest, password):
            return True
        with self._turn:
            if digest is not None and self.is_cached(digest, password):
                return True  # of many that came at once with it
            check()
            try:
                right = self._hasher.verify(digest or self._dummy_hash, password) and digest is not None
            except (VerificationError, InvalidHashError):
                right = False
        if right and digest is not None:
            with self._lock:
                self._known[self._cache_key(digest, password)] = True
        return right

    def _cache_key(self, digest: str, password: str) -> bytes:
        return hmac.digest(self._key, f"{digest}\0{password}".encode(), "sha256")

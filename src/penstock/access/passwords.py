"""Hash and verify passwords with Argon2; verified passwords are cached."""

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

REMEMBERED_SECONDS = 60
_MAX_CACHED = 10_000
_LENGTHS = (6, 256)
_MAX_CONCURRENT = 2
"""Each verification takes 64 MiB and 0.1 s of CPU time."""


def check_password(password: str) -> None:
    """Check a password's length. Raises InvalidParameter: too short or too long."""
    shortest, longest = _LENGTHS
    if not shortest <= len(password) <= longest:
        raise InvalidParameter(f"a password has {shortest} to {longest} characters")


class Passwords:
    """Hash and verify passwords. A verified one is cached for a minute, as an HMAC with a key of this process."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._key = secrets.token_bytes(32)
        self._verified: TTLCache[bytes, bool] = TTLCache(_MAX_CACHED, REMEMBERED_SECONDS)
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(_MAX_CONCURRENT)

    @cached_property
    def _dummy_hash(self) -> str:
        """A random hash of no password, as costly to verify as any; computing one would double the first wait."""
        hasher = self._hasher
        cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
        salt, digest = (
            base64.b64encode(secrets.token_bytes(length)).decode().rstrip("=")
            for length in (hasher.salt_len, hasher.hash_len)
        )
        return f"$argon2{hasher.type.name.lower()}$v={ARGON2_VERSION}${cost}${salt}${digest}"

    def hash(self, password: str) -> str:
        """Hash a password. Raises InvalidParameter as :func:`check_password`."""
        check_password(password)
        with self._slots:
            return self._hasher.hash(password)

    def is_cached(self, digest: str, password: str) -> bool:
        """Whether the password was verified within the last minute."""
        with self._lock:
            return self._cache_key(digest, password) in self._verified

    def verify(self, digest: str | None, password: str, check: Callable[[], None] = lambda: None) -> bool:
        """Whether ``digest`` is the password's; None, for an unknown user, takes as long to return False.

        ``check`` is called right before the verification, after those ahead in the queue; its errors propagate.
        """
        if digest is not None and self.is_cached(digest, password):
            return True
        with self._slots:
            if digest is not None and self.is_cached(digest, password):
                return True  # a concurrent call has verified it
            check()
            try:
                is_correct = self._hasher.verify(digest or self._dummy_hash, password) and digest is not None
            except (VerificationError, InvalidHashError):
                is_correct = False
        if is_correct and digest is not None:
            with self._lock:
                self._verified[self._cache_key(digest, password)] = True
        return is_correct

    def _cache_key(self, digest: str, password: str) -> bytes:
        return hmac.digest(self._key, f"{digest}\0{password}".encode(), "sha256")

"""The fairness key of a call: the queue in which it waits for a request thread.

It is needed before the caller is authenticated, and without a query of the catalog. So a caller that was
authenticated lately is queued under its org, and all others under one of two keys: calls with passwords, which take
0.1 s to verify, and all else, which is decided at once.
"""

from __future__ import annotations

import hmac
import secrets
import threading

from cachetools import TTLCache

from penstock.access.credentials import UserCredentials, parse_credentials
from penstock.errors import Unauthenticated

ANONYMOUS_KEY = "anybody"
"""Of all calls while authentication is off."""
UNVERIFIED_PASSWORD_KEY = "password"  # noqa: S105 - the name of a queue  # nosec B105
UNAUTHENTICATED_KEY = "stranger"

_CACHE_SECONDS = 3600
_MAX_CACHED = 10_000


class FairnessKeys:
    """Cache the orgs of ``Authorization`` headers that were accepted within the last hour; stores only keyed hashes.

    It decides the queue of a call, never whether the call is allowed. Thread-safe.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._orgs: TTLCache[bytes, str] = TTLCache(_MAX_CACHED, _CACHE_SECONDS)
        self._lock = threading.Lock()

    def fairness_key(self, header: str) -> str:
        """The queue of a call with this ``Authorization`` header."""
        with self._lock:
            org = self._orgs.get(self._cache_key(header))
        if org is not None:
            return org
        try:
            credentials = parse_credentials(header)
        except Unauthenticated:
            return UNAUTHENTICATED_KEY
        return UNVERIFIED_PASSWORD_KEY if isinstance(credentials, UserCredentials) else UNAUTHENTICATED_KEY

    def note(self, header: str, org_id: str) -> None:
        """Remember the org of an accepted header."""
        key = self._cache_key(header)
        with self._lock:
            if self._orgs.get(key) != org_id:
                self._orgs[key] = org_id

    def _cache_key(self, header: str) -> bytes:
        return hmac.digest(self._key, header.encode(errors="surrogatepass"), "sha256")

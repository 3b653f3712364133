"""The fairness key of a call: the queue in which it waits for a request thread.

It must be known before the caller is authenticated, and without a look into the catalog. So a caller that was let in
lately is queued under its org, and all others under one of two keys: calls with passwords, which take a tenth of a
second to verify, and all else, which is decided at once.
"""

from __future__ import annotations

import hmac
import secrets
import threading

from cachetools import TTLCache

from penstock.access.credentials import UserCredentials, parse_credentials
from penstock.errors import Unauthenticated

__all__ = ["ANONYMOUS_KEY", "UNAUTHENTICATED_KEY", "UNVERIFIED_PASSWORD_KEY", "FairnessKeys"]

ANONYMOUS_KEY = "anybody"
"""Of all calls where nobody is asked who he is."""
UNVERIFIED_PASSWORD_KEY = "password"  # noqa: S105 - a name of a queue
UNAUTHENTICATED_KEY = "stranger"

_KEPT_SECONDS = 3600
_KEPT = 10_000


class FairnessKeys:
    """The orgs of ``Authorization`` headers that were let in within the last hour; keeps keyed hashes of them only.

    It tells whose turn a call takes, never whether it may come in. Safe to share between threads.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._orgs: TTLCache[bytes, str] = TTLCache(_KEPT, _KEPT_SECONDS)
        self._lock = threading.Lock()

    def fairness_key(self, header: str) -> str:
        with self._lock:
            org = self._orgs.get(self._cache_key(header))
        if org is not None:
            return org
        try:
            given = parse_credentials(header)
        except Unauthenticated:
            return UNAUTHENTICATED_KEY
        return UNVERIFIED_PASSWORD_KEY if isinstance(given, UserCredentials) else UNAUTHENTICATED_KEY

    def note(self, header: str, org_id: str) -> None:
        mark = self._cache_key(header)
        with self._lock:
            if self._orgs.get(mark) != org_id:
                self._orgs[mark] = org_id

    def _cache_key(self, header: str) -> bytes:
        return hmac.digest(self._key, header.encode(errors="surrogatepass"), "sha256")

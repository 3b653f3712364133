"""Authentication: identify the caller by the credentials of a call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from cachetools import TTLCache

from penstock.access.credentials import (
    KeyCredentials,
    SessionCredentials,
    UserCredentials,
    digest_of,
    parse_credentials,
)
from penstock.access.fairness_key import ANONYMOUS_KEY, FairnessKeys
from penstock.access.login_limits import LoginLimits
from penstock.access.passwords import Passwords
from penstock.catalog.access.accounts import Account, AccountRepository
from penstock.domain.access import ANONYMOUS, Caller
from penstock.errors import Unauthenticated

FRESH_SECONDS = 0.5
"""Cache time of accounts: a revocation takes effect within a second."""
_CACHED_ACCOUNTS = 10_000


class Authentication(Protocol):
    """Identifies callers."""

    @property
    def is_enabled(self) -> bool:
        """Whether callers must authenticate. May query the catalog."""
        ...

    @property
    def is_enabled_cached(self) -> bool:
        """The last value of ``is_enabled``, without a query."""
        ...

    def fairness_key(self, header: str) -> str:
        """The fairness key of an ``Authorization`` header (:mod:`penstock.access.fairness_key`), without a query."""
        ...

    def identify(self, header: str, address: str) -> Caller:
        """Identify the caller by the ``Authorization`` header and the client's address.

        Raises:
            Unauthenticated: the credentials are absent, malformed or unknown.
            TooManyAttempts: too many failed attempts from that address, or for that user from there.
        """
        ...


class NoAuthentication:
    """Authentication is off: every call is allowed everything."""

    is_enabled = is_enabled_cached = False

    def fairness_key(self, header: str) -> str:
        del header
        return ANONYMOUS_KEY

    def identify(self, header: str, address: str) -> Caller:
        del header
        return replace(ANONYMOUS, address=address)


class Authenticator:
    """Authenticate callers by the API keys and users of a catalog. Thread-safe.

    With ``optional`` authentication is off until the first key or user is created. ``fresh`` is the maximum age, in
    seconds, of cached keys and users. ``limits`` counts the failed attempts; None: one of its own.
    """

    def __init__(
        self,
        accounts: AccountRepository,
        *,
        optional: bool = False,
        fresh: float = FRESH_SECONDS,
        limits: LoginLimits | None = None,
    ) -> None:
        self._accounts = accounts
        self._limits = limits or LoginLimits()
        self._optional = optional
        self._fresh = fresh
        self._next_look = 0.0
        self._passwords = Passwords()
        self._recent: TTLCache[str, Account] = TTLCache(_CACHED_ACCOUNTS, fresh)
        self._lock = threading.Lock()
        self._headers = FairnessKeys()

    @property
    def is_enabled(self) -> bool:
        # Once on it stays on: revoking the last key must not allow everything.
        if self._optional and time.monotonic() >= self._next_look:
            self._optional = not self._accounts.any_made()
            self._next_look = time.monotonic() + self._fresh
        return not self._optional

    @property
    def is_enabled_cached(self) -> bool:
        return not self._optional

    def fairness_key(self, header: str) -> str:
        return self._headers.fairness_key(header) if self.is_enabled_cached else ANONYMOUS_KEY

    def identify(self, header: str, address: str) -> Caller:
        if not self.is_enabled:
            return replace(ANONYMOUS, address=address)
        credentials = parse_credentials(header)
        if isinstance(credentials, KeyCredentials):
            digest = digest_of(credentials.secret)
            account = self._by_digest(
                digest, self._accounts.key, address, "the API key is unknown, expired or revoked"
            )
        elif isinstance(credentials, SessionCredentials):
            digest = digest_of(credentials.token)
            account = self._by_digest(digest, self._accounts.by_session, address, "the session is over; log in again")
        else:
            account = self._by_password(credentials, address)
        self._headers.note(header, account.org_id)
        return replace(account.caller(), address=address)

    def _by_digest(self, digest: str, lookup: Callable[[str], Account | None], address: str, refusal: str) -> Account:
        account = self._cached_account(digest) or lookup(digest)
        if account is None:
            # A key can't be guessed, so a valid one is accepted however many attempts failed from that address.
            self._limits.check(address, "")
            self._limits.note_failure(address, "")
            raise Unauthenticated(refusal, kind="unknown")
        self._cache_account(digest, account)
        return account

    def _by_password(self, credentials: UserCredentials, address: str) -> Account:
        name = f"user:{credentials.name}"
        account = self._cached_account(name)
        if account is None or not self._passwords.is_cached(account.hash, credentials.password):
            account = self._accounts.user(credentials.name)  # the password may have just been changed
        if account is None or not self._passwords.is_cached(account.hash, credentials.password):
            check = partial(self._limits.check, address, name, _audit_details(account))
            check()
            digest = None if account is None else account.hash
            # Checked again right before verifying: of many concurrent attempts, most have failed by then.
            if not self._passwords.verify(digest, credentials.password, check) or account is None:
                self._limits.note_failure(address, name)
                raise Unauthenticated(
                    "the user is unknown or the password is wrong", kind="unknown", **_audit_details(account)
                )
        self._cache_account(name, account)
        return account

    def _cached_account(self, name: str) -> Account | None:
        with self._lock:
            return self._recent.get(name)

    def _cache_account(self, name: str, account: Account) -> None:
        with self._lock:
            if name not in self._recent:  # its age counts from the catalog query
                self._recent[name] = account


def _audit_details(account: Account | None) -> dict[str, str]:
    """Details for the audit log, never for the caller: the user of the failed attempt, if one has that name."""
    return {} if account is None else {"name": account.name, "id": account.id, "org_id": account.org_id}

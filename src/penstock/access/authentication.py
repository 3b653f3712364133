"""Authentication: identify the caller by the credentials of a call."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from cachetools import TTLCache
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from penstock.access.credentials import (
    KeyCredentials,
    SessionCredentials,
    UserCredentials,
    digest_of,
    parse_credentials,
)
from penstock.access.fairness_key import ANONYMOUS_KEY, FairnessKeys
from penstock.access.passwords import Passwords
from penstock.catalog.access.accounts import Account, AccountRepository
from penstock.domain.access import ANONYMOUS, Caller
from penstock.errors import TooManyAttempts, Unauthenticated

FRESH_SECONDS = 0.5
"""Cache time of accounts: a revocation takes effect within a second."""
_CACHED_ACCOUNTS = 10_000
PER_USER_LIMIT, PER_ADDRESS_LIMIT = parse("10 per minute"), parse("100 per minute")
"""Rate limits of failed attempts: per user and address, and per address. Never per user over all addresses: any
caller could then lock out any user. Each process counts for itself."""


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
    seconds, of cached keys and users.
    """

    def __init__(self, accounts: AccountRepository, *, optional: bool = False, fresh: float = FRESH_SECONDS) -> None:
        self._accounts = accounts
        self._optional = optional
        self._fresh = fresh
        self._next_look = 0.0
        self._passwords = Passwords()
        self._recent: TTLCache[str, Account] = TTLCache(_CACHED_ACCOUNTS, fresh)
        self._lock = threading.Lock()
        self._failures = MovingWindowRateLimiter(MemoryStorage())
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
        network = _client_network(address)
        credentials = parse_credentials(header)
        if isinstance(credentials, KeyCredentials):
            digest = digest_of(credentials.secret)
            account = self._by_digest(
                digest, self._accounts.key, network, "the API key is unknown, expired or revoked"
            )
        elif isinstance(credentials, SessionCredentials):
            digest = digest_of(credentials.token)
            account = self._by_digest(digest, self._accounts.by_session, network, "the session is over; log in again")
        else:
            account = self._by_password(credentials, network)
        self._headers.note(header, account.org_id)
        return replace(account.caller(), address=address)

    def _by_digest(self, digest: str, lookup: Callable[[str], Account | None], address: str, refusal: str) -> Account:
        account = self._cached_account(digest) or lookup(digest)
        if account is None:
            # A key can't be guessed, so a valid one is accepted however many attempts failed from that address.
            self._check_attempts(address, "")
            self._note_failure(address, "")
            raise Unauthenticated(refusal, kind="unknown")
        self._cache_account(digest, account)
        return account

    def _by_password(self, credentials: UserCredentials, address: str) -> Account:
        name = f"user:{credentials.name}"
        account = self._cached_account(name)
        if account is None or not self._passwords.is_cached(account.hash, credentials.password):
            account = self._accounts.user(credentials.name)  # the password may have just been changed
        if account is None or not self._passwords.is_cached(account.hash, credentials.password):
            self._check_attempts(address, name, account)
            digest = None if account is None else account.hash
            # Checked again right before verifying: of many concurrent attempts, most have failed by then.
            check = partial(self._check_attempts, address, name, account)
            if not self._passwords.verify(digest, credentials.password, check) or account is None:
                self._note_failure(address, name)
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

    def _check_attempts(self, address: str, name: str, account: Account | None = None) -> None:
        for limit, of in ((PER_ADDRESS_LIMIT, (address,)), (PER_USER_LIMIT, (address, name))):
            if not self._failures.test(limit, *of):
                until = self._failures.get_window_stats(limit, *of).reset_time
                seconds = max(1, round(until - time.time()))
                raise TooManyAttempts(
                    f"too many wrong credentials; try again in {seconds} s with valid ones",
                    seconds=seconds,
                    **_audit_details(account),
                )

    def _note_failure(self, address: str, name: str) -> None:
        self._failures.hit(PER_ADDRESS_LIMIT, address)
        self._failures.hit(PER_USER_LIMIT, address, name)


def _audit_details(account: Account | None) -> dict[str, str]:
    """Details for the audit log, never for the caller: the user of the failed attempt, if one has that name."""
    return {} if account is None else {"name": account.name, "id": account.id, "org_id": account.org_id}


def _client_network(address: str) -> str:
    """The address, or for IPv6 its /64 network: a client with one address of it has all of them."""
    try:
        ipv6 = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if ipv6.ipv4_mapped is not None:
        return str(ipv6.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(ipv6) >> 64 << 64, 64)))

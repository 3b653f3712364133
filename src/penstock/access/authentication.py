"""From credentials to the caller who has them."""

from __future__ import annotations

import ipaddress
import threading
import time
from dataclasses import replace
from functools import partial
from typing import Protocol

from cachetools import TTLCache
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from penstock.access.credentials import KeyCredentials, UserCredentials, digest_of, parse_credentials
from penstock.access.fairness_key import ANONYMOUS_KEY, FairnessKeys
from penstock.access.passwords import Passwords
from penstock.catalog.access.accounts import Account, AccountRepository
from penstock.domain.access import ANONYMOUS, Caller
from penstock.errors import TooManyAttempts, Unauthenticated

__all__ = ["Authentication", "Authenticator", "NoAuthentication"]

FRESH_SECONDS = 0.5
"""Who is revoked is out within a second."""
_REMEMBERED = 10_000
PER_USER_LIMIT, PER_ADDRESS_LIMIT = parse("10 per minute"), parse("100 per minute")
"""Wrong credentials that are borne: for one user from one address, and from one address in all. Never of a user from
everywhere: that would let anybody lock anybody out. Each process counts for itself."""


class Authentication(Protocol):
    @property
    def is_enabled(self) -> bool:
        """Whether callers must say who they are. May ask the catalog."""
        ...

    @property
    def is_enabled_cached(self) -> bool:
        """What ``is_enabled`` said last; asks nobody."""
        ...

    def fairness_key(self, header: str) -> str:
        """Whose turn a call with this ``Authorization`` header takes (:mod:`penstock.access.fairness_key`); asks
        nobody."""
        ...

    def identify(self, header: str, address: str) -> Caller:
        """Who sends this ``Authorization`` header from that address.

        Raises:
            Unauthenticated: nobody that this server knows.
            TooManyAttempts: wrong credentials came from there, or for that user, too often.
        """
        ...


class NoAuthentication:
    """Everybody may do everything."""

    is_enabled = is_enabled_cached = False

    def fairness_key(self, header: str) -> str:
        del header
        return ANONYMOUS_KEY

    def identify(self, header: str, address: str) -> Caller:
        del header
        return replace(ANONYMOUS, address=address)


class Authenticator:
    """Callers by the keys and users of a catalog. Safe to share between threads.

    With ``optional`` everybody may do everything until the first key or user is made. ``fresh`` is how old, in
    seconds, what is known of a key or a user may be.
    """

    def __init__(self, accounts: AccountRepository, *, optional: bool = False, fresh: float = FRESH_SECONDS) -> None:
        self._accounts = accounts
        self._optional = optional
        self._fresh = fresh
        self._next_look = 0.0
        self._passwords = Passwords()
        self._recent: TTLCache[str, Account] = TTLCache(_REMEMBERED, fresh)
        self._lock = threading.Lock()
        self._failures = MovingWindowRateLimiter(MemoryStorage())
        self._headers = FairnessKeys()

    @property
    def is_enabled(self) -> bool:
        # Once on it stays on: to revoke the last key must not open the doors.
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
        household = _client_network(address)
        given = parse_credentials(header)
        if isinstance(given, KeyCredentials):
            account = self._by_key(given, household)
        else:
            account = self._by_password(given, household)
        self._headers.note(header, account.org_id)
        return replace(account.caller(), address=address)

    def _by_key(self, given: KeyCredentials, address: str) -> Account:
        digest = digest_of(given.secret)
        account = self._known(digest) or self._accounts.key(digest)
        if account is None:
            # Nobody guesses a key, so the right one is let in whatever came from there before.
            self._check_attempts(address, "")
            self._note_failure(address, "")
            raise Unauthenticated("the API key is unknown, expired or revoked", kind="unknown")
        self._remember(digest, account)
        return account

    def _by_password(self, given: UserCredentials, address: str) -> Account:
        name = f"user:{given.name}"
        account = self._known(name)
        if account is None or not self._passwords.is_cached(account.hash, given.password):
            account = self._accounts.user(given.name)  # it may have another password since a moment ago
        if account is None or not self._passwords.is_cached(account.hash, given.password):
            self._check_attempts(address, name, account)
            digest = None if account is None else account.hash
            # Looked at again when it is this one's turn: of many that come at once, most have failed by then.
            check = partial(self._check_attempts, address, name, account)
            if not self._passwords.verify(digest, given.password, check) or account is None:
                self._note_failure(address, name)
                raise Unauthenticated(
                    "the user is unknown or the password is wrong", kind="unknown", **_audit_details(account)
                )
        self._remember(name, account)
        return account

    def _known(self, name: str) -> Account | None:
        with self._lock:
            return self._recent.get(name)

    def _remember(self, name: str, account: Account) -> None:
        with self._lock:
            if name not in self._recent:  # its time counts from when the catalog was asked
                self._recent[name] = account

    def _check_attempts(self, address: str, name: str, account: Account | None = None) -> None:
        for limit, of in ((PER_ADDRESS_LIMIT, (address,)), (PER_USER_LIMIT, (address, name))):
            if not self._failures.test(limit, *of):
                until = self._failures.get_window_stats(limit, *of).reset_time
                seconds = max(1, round(until - time.time()))
                raise TooManyAttempts(
                    f"too many wrong credentials; try again in {seconds} s with the right ones",
                    seconds=seconds,
                    **_audit_details(account),
                )

    def _note_failure(self, address: str, name: str) -> None:
        self._failures.hit(PER_ADDRESS_LIMIT, address)
        self._failures.hit(PER_USER_LIMIT, address, name)


def _audit_details(account: Account | None) -> dict[str, str]:
    """For the audit log, never for the caller: which user somebody tried to be, if there is one of that name."""
    return {} if account is None else {"name": account.name, "id": account.id, "org_id": account.org_id}


def _client_network(address: str) -> str:
    """The address, or of version 6 its /64: whoever has one of these addresses has them all."""
    try:
        version_6 = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if version_6.ipv4_mapped is not None:
        return str(version_6.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(version_6) >> 64 << 64, 64)))

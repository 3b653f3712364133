"""Rate limits of failed logins, which all servers of a catalog count together."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from penstock.catalog.access.failed_logins import FailedLogins
from penstock.errors import TooManyAttempts

PER_USER_LIMIT, PER_ADDRESS_LIMIT = parse("10 per minute"), parse("100 per minute")
"""Rate limits of failed attempts: per user and address, and per address. Never per user over all addresses: any
caller could then lock out any user."""


class LoginLimits:
    """Count failed attempts, and refuse further ones. Thread-safe.

    Those at other servers count from :meth:`start` on; without ``failed_logins`` only those of this process do.
    """

    def __init__(self, failed_logins: FailedLogins | None = None) -> None:
        self._failed_logins = failed_logins
        self._failures = MovingWindowRateLimiter(MemoryStorage())
        self._listener = None if failed_logins is None else failed_logins.listener(self._count)

    def start(self) -> None:
        """Begin to count the failed attempts at other servers."""
        if self._listener is not None:
            self._listener.start()

    def stop(self) -> None:
        if self._listener is not None:
            self._listener.stop()

    def check(self, address: str, name: str, details: Mapping[str, str] | None = None) -> None:
        """Check an attempt before its credentials are verified.

        Args:
            name: the user's, as sent; "" for other credentials.
            details: of the error, for the audit log.

        Raises:
            TooManyAttempts: too many failed from the address, or for the user from there.
        """
        network, user_key = client_network(address), self._user_key(name)
        for limit, of in ((PER_ADDRESS_LIMIT, (network,)), (PER_USER_LIMIT, (network, user_key))):
            if not self._failures.test(limit, *of):
                until = self._failures.get_window_stats(limit, *of).reset_time
                seconds = max(1, round(until - time.time()))
                raise TooManyAttempts(
                    f"too many wrong credentials; try again in {seconds} s with valid ones",
                    seconds=seconds,
                    **(details or {}),
                )

    def note_failure(self, address: str, name: str) -> None:
        """Count a failed attempt, here and at the other servers. Raises CatalogUnavailable."""
        network, user_key = client_network(address), self._user_key(name)
        self._count(network, user_key)
        if self._failed_logins is not None:
            self._failed_logins.send(network, user_key)

    def _user_key(self, name: str) -> str:
        return name if self._failed_logins is None else self._failed_logins.user_key(name)

    def _count(self, network: str, user_key: str) -> None:
        self._failures.hit(PER_ADDRESS_LIMIT, network)
        self._failures.hit(PER_USER_LIMIT, network, user_key)


def client_network(address: str) -> str:
    """The address, or for IPv6 its /64 network: a client with one address of it has all of them."""
    try:
        ipv6 = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if ipv6.ipv4_mapped is not None:
        return str(ipv6.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(ipv6) >> 64 << 64, 64)))

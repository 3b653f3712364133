"""Rate limits of failed logins, which all servers of a catalog count together."""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections.abc import Callable, Mapping

from cachetools import TTLCache

from penstock.catalog.access.failed_logins import FailedLogins
from penstock.errors import TooManyAttempts

_WINDOW = 60.0
"""Seconds for which a failed attempt counts."""
_MAX_COUNTED = 50_000
"""Addresses, and users from them, that are counted at a time, in some 20 MB. Beyond them the least recent ones are
forgotten: callers send as many names as they like, and some have very many addresses."""


PER_USER_LIMIT, PER_ADDRESS_LIMIT = 10, 100
"""Failed attempts within a minute, per user and address, and per address. Never per user over all addresses: any
caller could then lock out any user."""


class LoginLimits:
    """Count failed attempts, and refuse further ones. Thread-safe.

    Those at other servers count from :meth:`start` on; without ``failed_logins`` only those of this process do.
    ``clock`` is in seconds.
    """

    def __init__(
        self, failed_logins: FailedLogins | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._failed_logins = failed_logins
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: TTLCache[tuple[str, ...], tuple[float, ...]] = TTLCache(_MAX_COUNTED, _WINDOW, clock)
        """The times of the attempts that count, oldest first, by network, and by network and user."""
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
        for limit, of in _limits(network, user_key):
            with self._lock:
                times = self._failures.get(of, ())
                remaining = times[0] + _WINDOW - self._clock() if len(times) >= limit else 0.0
            if remaining > 0:
                seconds = math.ceil(remaining)
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
        with self._lock:
            now = self._clock()
            for limit, of in _limits(network, user_key):
                times = tuple(at for at in self._failures.get(of, ()) if at > now - _WINDOW)
                if len(times) < limit:  # one more, which came at the same time, makes nobody wait longer
                    self._failures[of] = (*times, now)


def _limits(network: str, user_key: str) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """The limits that an attempt counts towards, each with what is counted."""
    return (PER_ADDRESS_LIMIT, (network,)), (PER_USER_LIMIT, (network, user_key))


def client_network(address: str) -> str:
    """The address, or for IPv6 its /64 network: a client with one address of it has all of them."""
    try:
        ipv6 = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if ipv6.ipv4_mapped is not None:
        return str(ipv6.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(ipv6) >> 64 << 64, 64)))

"""Which addresses web sources may be reached at: public ones, and those of networks that the server's owner names.

A name is looked up once, and the very address that was judged is connected to: an answer of the name service that is
another a moment later (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from typing import Any, ClassVar

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from penstock.sources.min_throughput import PacedResponse

__all__ = ["AddressRefused", "is_allowed_address", "parse_networks", "ssrf_safe_session"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_INSIDE = (
    ipaddress.ip_network("168.63.129.16/32"),  # Azure's own services to its machines
    ipaddress.ip_network("192.0.0.0/24"),  # protocols' own, of Oracle's machines the metadata
    ipaddress.ip_network("64:ff9b:1::/48"),  # NAT64 within a network
)
"""Addresses that lead nowhere outside, and that Python counts as global."""
_CONNECTIONS = 16


class AddressRefused(Exception):
    """A host's name leads only to addresses that may not be reached."""


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks such as ``10.1.0.0/16`` or ``fd00::/8``; an address alone is a network of one.

    Raises:
        ValueError: no network.
    """
    return tuple(ipaddress.ip_network(text.strip()) for text in texts)


def is_allowed_address(address: str, networks: Sequence[Network] = ()) -> bool:
    """Whether an address is one of the internet's own, or in one of ``networks``.

    Loopback, link-local, private, shared, multicast, reserved and documentation addresses are not, however an IPv6
    address wraps them.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    inner = _wrapped(found)
    if any(each in network for each in (found, inner) if each is not None for network in networks):
        return True
    return _is_public(found if inner is None else inner)


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address.is_site_local:
        return False
    if any(address in network for network in _INSIDE):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _wrapped(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to this one end up at, where it stands for one."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64 or int(address) >> 32 == 0:  # the latter are IPv4-compatible ones, and :: and ::1
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


@lru_cache(maxsize=16)
def ssrf_safe_session(networks: str) -> requests.Session:
    """A session for every request of this process that may reach public addresses and ``networks`` (with commas).

    It keeps connections open, and threads may share it for plain requests. Settings of the environment don't count:
    behind a proxy nobody here could judge the address. Cookies are dropped: they would go from one caller to another.

    Raises from its requests, besides what ``requests`` raises:
        AddressRefused
        TooSlow: also from what is read of an answer's body.
    """
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _adapter(parse_networks(filter(None, networks.split(","))))
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _Guarded(HTTPConnection):
    networks: ClassVar[Sequence[Network]] = ()
    response_class = PacedResponse

    def _new_conn(self) -> socket.socket:
        try:
            found = socket.getaddrinfo(self._dns_host.strip("[]"), self.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except UnicodeError as error:
            raise NewConnectionError(self, f"{self.host!r} is no host name") from error
        addresses = [str(each[4][0]) for each in found]
        allowed = [address for address in dict.fromkeys(addresses) if is_allowed_address(address, self.networks)]
        if not allowed:
            raise AddressRefused(self.host)
        for address in allowed[:-1]:
            try:
                return self._connected(address)
            except (ConnectTimeoutError, NewConnectionError):
                continue
        return self._connected(allowed[-1])

    def _connected(self, address: str) -> socket.socket:
        try:
            return create_connection(
                (address, self.port), self.timeout, self.source_address, socket_options=self.socket_options
            )
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"no connection to {self.host} in time") from error
        except OSError as error:
            raise NewConnectionError(self, f"no connection to {self.host}: {error}") from error


class _GuardedTls(_Guarded, HTTPSConnection):
    """TLS is spoken with the name, as ever, over the guarded connection."""


def _adapter(allowed: Sequence[Network]) -> HTTPAdapter:
    class Plain(_Guarded):
        networks = allowed

    class Tls(_GuardedTls):
        networks = allowed

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
            super().init_poolmanager(*arguments, **options)
            self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}

    return Adapter(pool_maxsize=_CONNECTIONS)

"""SSRF protection: web sources connect only to public addresses and to networks that the configuration allows.

A host name is resolved once, and the connection uses the address that was checked: a different DNS answer a moment
later (DNS rebinding) has no effect.
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

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_INSIDE = (
    ipaddress.ip_network("168.63.129.16/32"),  # Azure's platform services for its machines
    ipaddress.ip_network("192.0.0.0/24"),  # IETF protocol assignments; on Oracle's cloud the metadata service
    ipaddress.ip_network("64:ff9b:1::/48"),  # NAT64 within a network
)
"""Internal addresses that Python's ``is_global`` counts as global."""
_CONNECTIONS = 16


class AddressRefused(Exception):
    """A host name resolves only to addresses that are not allowed."""


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Parse networks such as ``10.1.0.0/16`` or ``fd00::/8``; a single address is a network of one.

    Raises:
        ValueError: not a network.
    """
    return tuple(ipaddress.ip_network(text.strip()) for text in texts)


def is_allowed_address(address: str, networks: Sequence[Network] = ()) -> bool:
    """Whether an address is public, or in one of ``networks``.

    Loopback, link-local, private, shared, multicast, reserved and documentation addresses are not public, nor are
    IPv6 addresses that embed them.
    """
    outer = ipaddress.ip_address(address.partition("%")[0])
    inner = _embedded(outer)
    if any(parsed in network for parsed in (outer, inner) if parsed is not None for network in networks):
        return True
    return _is_public(outer if inner is None else inner)


def allowed_addresses(host: str, port: int, networks: Sequence[Network] = ()) -> Sequence[str]:
    """Resolve a host name to the addresses that may be connected to.

    Raises:
        AddressRefused: there are only others.
        socket.gaierror, UnicodeError: it can't be resolved, or is not a host name.
    """
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = dict.fromkeys(str(entry[4][0]) for entry in entries)
    allowed = [address for address in addresses if is_allowed_address(address, networks)]
    if not allowed:
        raise AddressRefused(host)
    return allowed


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address.is_site_local:
        return False
    if any(address in network for network in _INSIDE):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address embeds (NAT64, 6to4, Teredo, mapped), which packets are routed to."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64 or int(address) >> 32 == 0:  # the latter: IPv4-compatible addresses, :: and ::1
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


@lru_cache(maxsize=16)
def ssrf_safe_session(networks: str) -> requests.Session:
    """The process's session for requests to public addresses and ``networks`` (comma-separated).

    It pools connections, and threads may share it for plain requests. Environment settings are ignored: behind a
    proxy the address could not be checked here. Cookies are dropped: they would leak from one caller to another.

    Its requests raise, in addition to the errors of ``requests``:
        AddressRefused
        TooSlow: also from reads of a response body.
    """
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _adapter(parse_networks(filter(None, networks.split(","))))
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _Guarded(HTTPConnection):
    """An HTTP connection that resolves the host itself and connects to allowed addresses only."""

    networks: ClassVar[Sequence[Network]] = ()
    response_class = PacedResponse

    def _new_conn(self) -> socket.socket:
        try:
            allowed = allowed_addresses(self._dns_host.strip("[]"), self.port, self.networks)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except UnicodeError as error:
            raise NewConnectionError(self, f"{self.host!r} is not a host name") from error
        for address in allowed[:-1]:
            try:
                return self._connect_to(address)
            except (ConnectTimeoutError, NewConnectionError):
                continue
        return self._connect_to(allowed[-1])

    def _connect_to(self, address: str) -> socket.socket:
        try:
            return create_connection(
                (address, self.port), self.timeout, self.source_address, socket_options=self.socket_options
            )
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"timeout while connecting to {self.host}") from error
        except OSError as error:
            raise NewConnectionError(self, f"no connection to {self.host}: {error}") from error


class _GuardedTls(_Guarded, HTTPSConnection):
    """A guarded TLS connection; the certificate is verified against the host name as usual."""


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

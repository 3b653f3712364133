"""Startup policy: what a server must have before it listens beyond loopback."""

from __future__ import annotations

import ipaddress
import socket

from penstock.access.authentication import Authentication, Authenticator, NoAuthentication
from penstock.access.login_limits import LoginLimits
from penstock.catalog import Catalog
from penstock.errors import InvalidParameter
from penstock.settings import Settings


def authentication_of(
    settings: Settings, catalog: Catalog, *, had_keys: bool = False, limits: LoginLimits | None = None
) -> Authentication:
    """Choose the authentication. ``had_keys``: it was required before, whatever the catalog contains.

    ``limits`` counts the failed attempts; None: those of this process alone.

    Raises:
        InvalidParameter: the address is not loopback, and authentication is off, there is no key, or keys would
            travel unencrypted. The message has a remedy.
    """
    if is_loopback(settings.host):
        if settings.auth == "off":
            return NoAuthentication()
        return Authenticator(catalog.accounts, optional=settings.auth == "auto" and not had_keys, limits=limits)
    if settings.auth == "off":
        raise InvalidParameter(
            f"--auth off is allowed on loopback only, but {settings.host} is reachable from other hosts. Omit it, "
            "or listen on 127.0.0.1"
        )
    if not catalog.accounts.any_valid():
        raise InvalidParameter(
            f"{settings.host} is reachable from other hosts, and no key exists yet. Create one with "
            "'penstock keys create NAME --role admin' (and the same --data-dir or --catalog-url), or listen "
            "on 127.0.0.1"
        )
    if settings.tls_cert is None and not settings.allow_plaintext:
        raise InvalidParameter(
            f"{settings.host} is reachable from other hosts, and without TLS keys are sent unencrypted. Set "
            "--tls-cert and --tls-key; or --allow-plaintext behind a proxy that terminates TLS"
        )
    return Authenticator(catalog.accounts, limits=limits)


def is_loopback(host: str) -> bool:
    """Whether an address is loopback. A host name is if all of its addresses are."""
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False  # listening on it will fail with an error
    return bool(addresses) and all(
        ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in addresses
    )

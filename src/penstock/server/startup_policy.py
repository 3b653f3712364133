"""Whether a server is fit for the address that it listens on."""

from __future__ import annotations

import ipaddress
import socket

from penstock.access.authentication import Authentication, Authenticator, NoAuthentication
from penstock.catalog import Catalog
from penstock.errors import InvalidParameter
from penstock.settings import Settings

__all__ = ["authentication_of", "is_loopback"]


def authentication_of(settings: Settings, catalog: Catalog, *, had_keys: bool = False) -> Authentication:
    """How callers are told from each other. ``had_keys``: they were asked for keys before, whatever the catalog says.

    Raises:
        InvalidParameter: others can reach the address, and authentication is off, nobody has a key, or keys would
            travel unencrypted. Says what to do.
    """
    if is_loopback(settings.host):
        if settings.auth == "off":
            return NoAuthentication()
        return Authenticator(catalog.accounts, optional=settings.auth == "auto" and not had_keys)
    if settings.auth == "off":
        raise InvalidParameter(
            f"--auth off is for loopback only, and others can reach {settings.host}. Leave it out, or listen on "
            "127.0.0.1"
        )
    if not catalog.accounts.any_valid():
        raise InvalidParameter(
            f"others can reach {settings.host}, and nobody has a key yet. Make one with "
            "'penstock keys create NAME --role admin' (and the same --data-dir or --catalog-url), or listen "
            "on 127.0.0.1"
        )
    if settings.tls_cert is None and not settings.allow_plaintext:
        raise InvalidParameter(
            f"others can reach {settings.host}, and without TLS keys would travel unencrypted. Give --tls-cert and "
            "--tls-key; or --allow-plaintext, if a proxy before this server ends TLS"
        )
    return Authenticator(catalog.accounts)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address. A name counts if all of its addresses do."""
    try:
        found = {each[4][0] for each in socket.getaddrinfo(host, None)}
    except OSError:
        return False  # listening on it will fail, and say so
    return bool(found) and all(ipaddress.ip_address(str(each).partition("%")[0]).is_loopback for each in found)

"""Send one signed message to a webhook's address: to public addresses only, without redirects, in bounded time."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

import orjson
import requests
from urllib3.exceptions import HTTPError

from penstock.domain.webhooks import signed_headers
from penstock.errors import InvalidParameter, shorten
from penstock.sources.min_throughput import TooSlow
from penstock.sources.ssrf_guard import AddressRefused, allowed_addresses, parse_networks, ssrf_safe_session
from penstock.version import package_version

TIMEOUT = (5.0, 10.0)
"""Timeouts in seconds: to connect, and between two reads of the response. Its headers take 90 s at most
(:mod:`penstock.sources.min_throughput`)."""
MAX_URL = 2048
_READ_BYTES = 1024
"""Bytes that are read of a response: an error's text is in the log of deliveries."""
_SHOWN = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an attempt: the HTTP status, if there was a response, and the error unless it was 2xx."""

    status: int | None = None
    error: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether another attempt is of no use: it was delivered, or the receiver is gone for good (410)."""
        return self.error is None or self.status == requests.codes.gone


def check_url(url: str, networks: str) -> None:
    """Check the address of a webhook, and that its host resolves to an address that may be connected to.

    Args:
        networks: private networks that are allowed, comma-separated.

    Raises:
        InvalidParameter: it may not be called.
    """
    parts = _parse(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        allowed_addresses(host, port, parse_networks(filter(None, networks.split(","))))
    except AddressRefused as error:
        raise InvalidParameter(
            f"the host {shorten(host, 200)} of the webhook's url has no public address, and private addresses are "
            "not allowed. Use a public address, or start the server with --allow-private-webhooks and the network "
            "of the host",
            key="url",
        ) from error
    except (OSError, UnicodeError) as error:
        raise InvalidParameter(
            f"the host {shorten(host, 200)} of the webhook's url cannot be resolved. Check its name", key="url"
        ) from error


def _parse(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or len(url) > MAX_URL or any(letter <= " " or letter > "~" for letter in url):
        raise InvalidParameter(
            f"the webhook's url must be an address such as https://example.com/hook, of at most {MAX_URL} ASCII "
            f"characters, not {shorten(url, 100)!r}",
            key="url",
        )
    if parts.username is not None or parts.fragment:
        raise InvalidParameter(
            "the webhook's url must have no user, password or fragment: messages are signed instead",
            key="url",
        )
    return parts


def encode_message(event: str, created_at: str, data: Mapping[str, Any]) -> bytes:
    """The body of a message: its type, time and data, as Standard Webhooks has them."""
    return orjson.dumps({"type": event, "timestamp": created_at, "data": data})


def send_message(url: str, secret: str, message_id: str, body: bytes, networks: str) -> Outcome:
    """Send a signed message. The address is resolved and checked again, and the checked one is connected to."""
    headers = {
        "content-type": "application/json",
        "user-agent": f"penstock/{package_version()}",
        "accept-encoding": "identity",
        **signed_headers(secret, message_id, int(time.time()), body),
    }
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    try:
        with ssrf_safe_session(networks).post(
            url,
            data=body,
            headers=headers,
            allow_redirects=False,
            stream=True,
            timeout=TIMEOUT,
            verify=bundle or True,
        ) as response:
            if response.status_code // 100 == 2:
                return Outcome(status=response.status_code)
            return Outcome(status=response.status_code, error=_error_of(response))
    except AddressRefused:
        return Outcome(error="the host has no public address, and its private one is not allowed")
    except TooSlow:
        return Outcome(error="the receiver is too slow")
    except requests.exceptions.SSLError:
        return Outcome(error="the receiver's certificate is not trusted")
    except requests.Timeout:
        return Outcome(error=f"no response within {TIMEOUT[1]:g} s")
    except (requests.RequestException, HTTPError, OSError):
        return Outcome(error="the receiver cannot be reached, or closed the connection")


def _error_of(response: requests.Response) -> str:
    if response.is_redirect:
        return "the receiver redirects, which is not followed: change the webhook's url"
    text = response.raw.read(_READ_BYTES, decode_content=False).decode("utf-8", "replace")
    return shorten(f"HTTP {response.status_code}: {' '.join(text.split())}", _SHOWN)

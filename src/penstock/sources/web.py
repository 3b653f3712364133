"""Files on web servers, over HTTPS (or HTTP): only below import roots, also after redirects.

A web server has no folders. It must send a file's size. A server that supports HTTP range requests is read like an
object store, any other only sequentially.
"""

from __future__ import annotations

import io
import os
import re
from typing import Any, BinaryIO, cast
from urllib.parse import urljoin, urlsplit

import requests
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from urllib3.exceptions import HTTPError

from penstock.errors import FileMissing, FileUnreadable, PathNotAllowed, PenstockError, SourceUnavailable
from penstock.sources.base import Location
from penstock.sources.credentials import Settings
from penstock.sources.errors import changed, of_status
from penstock.sources.min_throughput import SLOWEST, TooSlow
from penstock.sources.paths import WEB, parse_path
from penstock.sources.ssrf_guard import AddressRefused, ssrf_safe_session

_TIMEOUT = (5.0, 60.0)
"""Timeouts in seconds: to connect, and between two reads of a response."""
_ATTEMPTS = 4
_REDIRECTS = 5
_TOTAL = re.compile(r"bytes \d+-\d+/(\d+)\Z")


def find_web(url: str, name: str, settings: Settings) -> list[Location]:
    """Locate the file at a web address; empty if it does not exist.

    The request is a GET of one byte: its response shows whether ranges are supported, and some servers refuse HEAD.

    ``settings["roots"]`` are the allowed address prefixes, one per line, and ``settings["networks"]`` the non-public
    networks that are allowed.

    Raises:
        FileUnreadable: access denied, the server doesn't send the size, or it is too slow.
        PathNotAllowed: the server's address isn't public, or it redirects outside of the roots.
        SourceUnavailable: the server can't be reached.
    """
    try:
        with _get(url, name, settings, {"Range": "bytes=0-0"}, empty_is_fine=True) as response:
            headers = response.headers
            total = _TOTAL.match(headers.get("Content-Range", ""))
            whole = response.status_code == requests.codes.ok
            # Of a part, Content-Length is the length of the part.
            size = total[1] if total else headers.get("Content-Length", "") if whole else ""
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                size, whole = "0", False
    except FileMissing:
        return []
    if not size.isdecimal():
        raise FileUnreadable(
            f"file {name!r}: the web server does not report its size. Serve it as a plain file, with Content-Length",
            path=name,
            uri=url,
        )
    version = headers.get("ETag") or headers.get("Last-Modified") or ""
    return [Location(uri=url, name=name, size=int(size), version=version, credentials=settings, whole=whole)]


def check_web_unchanged(location: Location) -> None:
    """Check that the file is still the located version.

    Raises:
        FileUnreadable: the file has changed, or can't be read any more.
        FileMissing, PathNotAllowed, SourceUnavailable
    """
    locations = _retrying()(find_web, location.uri, location.name, location.credentials)
    if not locations:
        raise of_status(404, location.uri, location.name)
    if locations[0].size != location.size or locations[0].version != location.version:
        raise changed(location.name, location.uri)


def _check_version(response: requests.Response, location: Location) -> None:
    """Check a response's version. Many servers ignore ``If-Match``, but nearly all send their version."""
    is_tag = location.version.startswith(('"', "W/"))
    version = response.headers.get("ETag" if is_tag else "Last-Modified")
    if version and location.version and version != location.version:
        raise changed(location.name, location.uri)


def fetch_web(location: Location, start: int, end: int) -> Any:
    """Fetch the bytes from ``start`` up to ``end``, with retries.

    Raises:
        FileUnreadable: the file was overwritten since it was located, the server doesn't support range requests, or
            it is too slow.
        FileMissing, PathNotAllowed, SourceUnavailable
    """
    return _retrying()(_fetch, location, start, end)


def _retrying() -> Retrying:
    """Retry transient errors with random exponential backoff."""
    return Retrying(
        retry=retry_if_exception_type(SourceUnavailable),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.1, max=2.0),
        reraise=True,
    )


def _fetch(location: Location, start: int, end: int) -> bytes:
    headers = {"Range": f"bytes={start}-{end - 1}"}
    if location.version.startswith('"'):
        headers["If-Match"] = location.version
    try:
        with _get(location.uri, location.name, location.credentials, headers) as response:
            if response.status_code != requests.codes.partial_content:
                raise FileUnreadable(
                    f"file {location.name!r}: the web server does not support range requests, which this "
                    "format requires. Use another server, or JSON, JSON Lines or CSV, which are read sequentially",
                    path=location.name,
                    uri=location.uri,
                )
            _check_version(response, location)
            total = _TOTAL.match(response.headers.get("Content-Range", ""))
            data = _at_most(response, end - start + 1)
    except TooSlow as error:
        raise _too_slow(location.uri, location.name) from error
    except (requests.RequestException, HTTPError) as error:
        raise _unavailable(location.uri, location.name) from error
    if len(data) != end - start or (total and int(total[1]) != location.size):
        raise changed(location.name, location.uri)
    return data


def _at_most(response: requests.Response, size: int) -> bytes:
    """The body, or its first ``size`` bytes: a server may send more than the requested range."""
    parts, left = [], size
    while left and (part := response.raw.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def open_whole(location: Location, start: int, end: int) -> BinaryIO:
    """Open the bytes from ``start`` up to ``end`` of a file on a server without range requests."""
    response = _get(location.uri, location.name, location.credentials, {})
    length = response.headers.get("Content-Length", "")
    try:
        if length.isdecimal() and int(length) != location.size:
            raise changed(location.name, location.uri)
        _check_version(response, location)
    except FileUnreadable:
        response.close()
        raise
    return cast(BinaryIO, io.BufferedReader(_ResponseBody(response, location, start, end), 1 << 20))


class _ResponseBody(io.RawIOBase):
    """A raw stream of the bytes ``start`` to ``end`` of a response, which it owns."""

    def __init__(self, response: requests.Response, location: Location, start: int, end: int) -> None:
        self._response = response
        self._location = location
        self._skip = start
        self._left = end - start

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while self._skip:
            self._skip -= len(self._read(min(self._skip, 1 << 20)))
        part = self._read(min(len(buffer), self._left)) if self._left else b""
        memoryview(buffer)[: len(part)] = part
        self._left -= len(part)
        return len(part)

    def _read(self, size: int) -> bytes:
        try:
            data: bytes = self._response.raw.read(size)
        except TooSlow as error:
            raise _too_slow(self._location.uri, self._location.name) from error
        except HTTPError as error:
            raise _unavailable(self._location.uri, self._location.name) from error
        if not data:
            raise changed(self._location.name, self._location.uri)
        return data

    def close(self) -> None:
        if not self.closed:
            self._response.close()
        super().close()


def _get(
    url: str, name: str, settings: Settings, headers: dict[str, str], *, empty_is_fine: bool = False
) -> requests.Response:
    """Send a GET and return the response with its body unread; redirects are followed below the roots only.

    ``empty_is_fine`` returns the 416 of an empty file instead of raising.
    """
    target = url
    session = ssrf_safe_session(settings.get("networks", ""))
    # As in curl and other programs; the session ignores the rest of the environment.
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    for _ in range(_REDIRECTS + 1):
        is_same_origin = _origin(target) == _origin(url)
        try:
            response = session.get(
                target,
                headers={"Accept-Encoding": "identity", **headers, **(_bearer(settings) if is_same_origin else {})},
                auth=(settings["user"], settings.get("password", ""))
                if is_same_origin and "user" in settings
                else None,
                allow_redirects=False,
                stream=True,
                timeout=_TIMEOUT,
                verify=bundle or True,
            )
        except AddressRefused as error:
            raise PathNotAllowed(
                f"file {name!r}: the host {urlsplit(target).hostname} has no public address, and private addresses "
                "are not allowed. To read files there, start the server with --allow-private-networks and the "
                "network of the host",
                path=name,
            ) from error
        except requests.exceptions.SSLError as error:
            raise FileUnreadable(
                f"file {name!r}: the certificate of {url} is not trusted. To trust it, set the environment "
                "variable REQUESTS_CA_BUNDLE of the server to the file of its certificate authority",
                path=name,
                uri=url,
            ) from error
        except TooSlow as error:
            raise _too_slow(url, name) from error
        except requests.RequestException as error:
            raise _unavailable(url, name) from error
        if not response.is_redirect:
            break
        target = urljoin(target, response.headers["Location"])
        response.close()
        _check_redirect(target, name, settings)
    else:
        raise FileUnreadable(f"file {name!r}: the web server redirects more than {_REDIRECTS} times", path=name)
    if response.ok or (empty_is_fine and response.status_code == requests.codes.requested_range_not_satisfiable):
        return response
    response.close()
    raise of_status(response.status_code, url, name)


def is_within(url: str, roots: str) -> bool:
    """Whether a web address, without its query, lies below one of the roots (one per line)."""
    try:
        address = parse_path(urlsplit(url)._replace(query="", fragment="").geturl())
    except PenstockError:
        return False
    if address.scheme not in WEB:
        return False
    plain = f"{address.scheme}://{address.bucket}/{address.path}"
    return any(plain == root or plain.startswith(root.rstrip("/") + "/") for root in roots.splitlines())


def _check_redirect(target: str, name: str, settings: Settings) -> None:
    if not is_within(target, settings.get("roots", "")):
        where = urlsplit(target)
        raise PathNotAllowed(
            f"file {name!r}: the web server redirects to {where.scheme}://{where.hostname}{where.path}, which is "
            "outside the import roots. Import from there, or start the server with another --import-root",
            path=name,
        )


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _bearer(settings: Settings) -> dict[str, str]:
    return {"Authorization": f"Bearer {settings['token']}"} if "token" in settings else {}


def _too_slow(url: str, name: str) -> FileUnreadable:
    return FileUnreadable(
        f"file {name!r} ({url}): the web server sends fewer than {SLOWEST >> 10} KiB a second. "
        "Move the file to a faster server",
        path=name,
        uri=url,
    )


def _unavailable(url: str, name: str) -> SourceUnavailable:
    return SourceUnavailable(
        f"file {name!r} ({url}): the web server cannot be reached, or closed the connection", path=name, uri=url
    )

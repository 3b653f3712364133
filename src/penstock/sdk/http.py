"""One HTTP exchange with an import server: the request, and what counts as success in the answer.

Both families of calls share a rule: ``code`` 0 is success (v2), and so is 200 with ``data`` (v1, and v2 of Milvus
2.4.0 to 2.4.2); on v2 a 200 without ``data`` is the error "partition not found".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson
import requests
from requests.auth import AuthBase

from penstock.domain.parse_int import number_of_digits
from penstock.sdk.errors import (
    AccessDenied,
    AnswerTimeout,
    ApiError,
    ConnectionFailed,
    ImportCallError,
    InvalidResponse,
    NotFound,
)
from penstock.version import package_version

__all__ = ["TIMEOUT", "check_api_key", "exchange", "full_url", "header_text", "open_stream"]

TIMEOUT = 20.0

# Codes of Zilliz v1, Zilliz v2 and Milvus; the families don't clash here.
_DENIED = frozenset({1800, 80001, 80002, 40022, 21119, 96012, 96013, 96014, 96015, 96016, 96027})
_NOT_FOUND = frozenset({100, 200, 700, 800, 2101, 40021, 47005, 80020, 90001, 90102, 90144, 96018, 96026})
_SHOWN = 300


def full_url(address: str, path: str) -> str:
    """Join ``path`` to the server's ``address``, by default with https. Raises ValueError for a wrong address."""
    address = address.strip()
    url = address if "://" in address else f"https://{address}"
    if not _is_address(url):
        raise ValueError(f"{_shown_url(url)!r} is not the address of a server, such as http://127.0.0.1:19530")
    return f"{url.rstrip('/')}{path}"


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_complete = bool(parts.hostname) and parts.port != 0  # the port is parsed when it is asked for
    except ValueError:
        return False
    return is_complete and parts.scheme.lower() in ("http", "https") and not (parts.query or parts.fragment)


def check_api_key(api_key: str) -> str:
    """Return an API key without the line break that ends keys in files. Raises ValueError if it can't be sent."""
    key = api_key.strip()
    if any(character < " " for character in key):
        raise ValueError("the API key contains control characters; is it the content of a whole file?")
    return key


def header_text(text: str) -> str:
    """The text as a header that is sent in UTF-8: of other characters requests takes only those of Latin-1."""
    return text.encode().decode("latin-1")


def exchange(
    method: str,
    url: str,
    *,
    api_key: str = "",
    database: str = "",
    secrets: Iterable[str] = (),
    headers: Mapping[str, str] | None = None,
    session: requests.Session | None = None,
    **options: Any,
) -> tuple[requests.Response, dict[str, Any]]:
    """Send a request; return the response and its JSON object, which reports success. Arguments as :func:`send`."""
    hidden = _hidden(check_api_key(api_key), *secrets)
    response = _respond(
        method, url, api_key=api_key, database=database, hidden=hidden, headers=headers, session=session, **options
    )
    return response, _success(response, method, url, hidden)


def send(
    method: str,
    url: str,
    *,
    api_key: str = "",
    database: str = "",
    secrets: Iterable[str] = (),
    headers: Mapping[str, str] | None = None,
    session: requests.Session | None = None,
    **options: Any,
) -> requests.Response:
    """Send a request; return a response whose HTTP status is a success.

    Args:
        database: sent as header ``DB-Name`` unless empty.
        secrets: values (besides the key) that no error may show.
        options: for ``requests.request``: ``json``, ``params``, ``timeout`` (default 20 s), ``verify``, ``cert`` …

    Raises:
        ApiError, ConnectionFailed, InvalidResponse: see :mod:`penstock.sdk.errors`.
        ValueError: the address or an option is malformed.
    """
    hidden = _hidden(check_api_key(api_key), *secrets)
    response = _respond(
        method, url, api_key=api_key, database=database, hidden=hidden, headers=headers, session=session, **options
    )
    if not response.ok or response.is_redirect:
        _success(response, method, url, hidden)
    return response


def fetch(url: str, *, api_key: str = "", database: str = "", **options: Any) -> bytes:
    """POST, and return the content of a file that is answered. Raises as :func:`exchange`."""
    hidden = _hidden(check_api_key(api_key))
    response = _respond(
        "POST",
        url,
        api_key=api_key,
        database=database,
        hidden=hidden,
        headers=None,
        session=options.pop("session", None),
        **options,
    )
    if response.ok and not response.headers.get("Content-Type", "").startswith("application/json"):
        return response.content
    _success(response, "POST", url, hidden)
    raise InvalidResponse(
        "the response is not a file", url=_shown_url(url), method="POST", http_status=response.status_code
    )


def open_stream(
    url: str,
    *,
    api_key: str = "",
    database: str = "",
    headers: Mapping[str, str] | None = None,
    session: requests.Session | None = None,
    **options: Any,
) -> requests.Response:
    """GET server-sent events; return the response, of status 200 or 204 (nothing more), to be read and closed.

    Raises:
        ApiError, ConnectionFailed, InvalidResponse: any other answer.
    """
    hidden = _hidden(check_api_key(api_key))
    options["stream"] = True
    response = _respond(
        "GET",
        url,
        api_key=api_key,
        database=database,
        hidden=hidden,
        headers={"Accept": "text/event-stream", **(headers or {})},
        session=session,
        **options,
    )
    is_stream = response.headers.get("Content-Type", "").startswith("text/event-stream")
    if response.status_code == requests.codes.no_content or (response.ok and is_stream):
        return response
    with response:
        _success(response, "GET", url, hidden)
        raise InvalidResponse("the response is not a stream of events", url=_shown_url(url), method="GET")


def _respond(
    method: str,
    url: str,
    *,
    api_key: str,
    database: str,
    hidden: list[str],
    headers: Mapping[str, str] | None,
    session: requests.Session | None,
    **options: Any,
) -> requests.Response:
    """Send a request. Raises ConnectionFailed; ValueError: the call is malformed."""
    api_key = check_api_key(api_key)
    # Redirected, a POST would silently become a GET, and a body with keys would be sent on to another host.
    options.setdefault("allow_redirects", False)
    options.setdefault("timeout", TIMEOUT)
    # Passed as auth, since requests would otherwise use the credentials of a .netrc file.
    options.setdefault("auth", _Bearer(api_key))
    request_headers = {"Accept": "application/json", "User-Agent": f"penstock/{package_version()}"}
    if database:
        request_headers["DB-Name"] = header_text(database)
    request_headers.update(headers or {})
    request = requests.request if session is None else session.request
    try:
        return request(method, url, headers=request_headers, **options)
    except requests.Timeout as error:
        raise AnswerTimeout(
            f"no response within {_seconds(options['timeout'])}", url=_shown_url(url), method=method
        ) from error
    except requests.RequestException as error:
        if isinstance(error, ValueError | requests.exceptions.InvalidJSONError):  # the call was malformed
            raise ValueError(_hide(str(error), hidden)) from None
        raise ConnectionFailed(_hide(_why(error, url), hidden), url=_shown_url(url), method=method) from error


class _Bearer(AuthBase):
    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._api_key:
            request.headers["Authorization"] = header_text(f"Bearer {self._api_key}")
        return request


def _success(response: requests.Response, method: str, url: str, secret_values: list[str]) -> dict[str, Any]:
    facts: dict[str, Any] = {"url": _shown_url(url), "method": method, "http_status": response.status_code}
    body = _json_object(response)
    code = None if body is None else _number(body.get("code"))
    if body is not None and response.ok and (code == 0 or (code == 200 and "data" in body)):
        return body
    if response.is_redirect:
        target = _shown_url(response.headers["Location"])
        raise ApiError(f"the server redirects to another address: {target}", **facts)
    if body is not None and (code is not None or not response.ok):
        message = str(body.get("message") or response.reason or "no message from the server")
        raise _refusal(response, code)(
            _hide(message, secret_values), code=code, **facts, retry_after=_retry_after(response)
        )
    if not response.ok:
        text = _hide(response.text.strip()[:_SHOWN], secret_values)
        raise _refusal(response, None)(text or response.reason, **facts, retry_after=_retry_after(response))
    raise InvalidResponse(
        f"the response is not a JSON object with a code: {_hide(response.text[:_SHOWN], secret_values)!r}", **facts
    )


def _refusal(response: requests.Response, code: int | None) -> type[ImportCallError]:
    if response.status_code in (401, 403) or code in _DENIED:
        return AccessDenied
    return NotFound if code in _NOT_FOUND else ApiError


def _json_object(response: requests.Response) -> dict[str, Any] | None:
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None


def _number(code: object) -> int | None:
    if isinstance(code, str):
        return number_of_digits(code.strip())
    return int(code) if isinstance(code, int | float) and math.isfinite(code) else None


def _retry_after(response: requests.Response) -> float | None:
    seconds = number_of_digits(response.headers.get("Retry-After", ""))
    return float(seconds) if seconds is not None and seconds >= 0 else None


def _why(error: requests.RequestException, url: str) -> str:
    text = str(_innermost(error))
    if isinstance(error, requests.exceptions.SSLError):
        hint = (
            "does the server have no TLS (http://…), or is its certificate authority unknown? Set it with "
            "verify=FILE or the variable REQUESTS_CA_BUNDLE"
        )
        return f"no secure connection: {text}; {hint}"
    if isinstance(error, requests.ConnectionError):
        where = urlsplit(url)
        return f"no connection to {where.hostname}:{where.port or where.scheme}: {text}"
    return text


def _innermost(error: BaseException) -> BaseException:
    """Return the innermost of urllib3's nested errors, each of which quotes the one below it."""
    while True:
        below = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(below, BaseException):
            return error
        error = below


def _seconds(timeout: object) -> str:
    return f"{timeout:g} s" if isinstance(timeout, int | float) else f"{timeout} s"


def _shown_url(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(malformed address)"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _hidden(api_key: str, *secrets: str) -> list[str]:
    _, _, password = api_key.partition(":")
    values = {value for value in (api_key, password, *secrets) if value and len(value) > 2}
    return sorted(values, key=len, reverse=True)


def _hide(text: str, secret_values: list[str]) -> str:
    for value in secret_values:
        text = text.replace(value, "***")
    return text

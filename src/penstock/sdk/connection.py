"""The client's connection to its server: one session, the same settings for every call, safe retries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import requests
import tenacity
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from penstock.sdk.errors import AnswerTimeout, ApiError, ConnectionFailed, InvalidResponse
from penstock.sdk.http import TIMEOUT, check_api_key, exchange, fetch, full_url, open_stream, send

__all__ = ["Connection", "is_busy"]

_A = TypeVar("_A")
_T = TypeVar("_T")
_ATTEMPTS = 4
_LONGEST_PAUSE = 30.0
_SILENT_SECONDS = 45.0
"""Seconds without a heartbeat after which a stream is taken for dead; servers send one every 15 s."""
_BUSY_STATUS = frozenset({429, 502, 503, 504})
_RATE_LIMITED = 1807

# Requests that were never sent are safe to retry, whatever they do; urllib3 may retry no others.
_UNSENT_ONLY = Retry(total=1, connect=1, read=False, redirect=0, status=0, other=0, backoff_factor=0.2)


class Connection:
    """Calls to one server.

    Args:
        session: a ``requests.Session`` to use (its adapters and proxies are kept, and it isn't closed here).
    """

    def __init__(
        self,
        url: str,
        api_key: str = "",
        *,
        database: str = "default",
        cluster_id: str = "",
        timeout: float = TIMEOUT,
        verify: bool | str = True,
        cert: str | tuple[str, str] | None = None,
        session: requests.Session | None = None,
    ) -> None:
        self.url = full_url(url, "")
        self.database = database
        self.cluster_id = cluster_id
        self._api_key = check_api_key(api_key)
        self._options: dict[str, Any] = {"timeout": timeout, "verify": verify, "cert": cert}
        self._owns_session = session is None
        self._session = session or _new_session()

    @property
    def scope(self) -> dict[str, str]:
        """The ``clusterId`` of a call, where the client has one."""
        return {"clusterId": self.cluster_id} if self.cluster_id else {}

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        repeatable: bool = True,
        headers: Mapping[str, str] | None = None,
        secrets: Iterable[str] = (),
        least_timeout: float = 0.0,
    ) -> dict[str, Any]:
        """POST to ``/v2/vectordb`` + ``path``; return the answer's whole JSON object.

        ``least_timeout`` is for calls that may take longer than the client's timeout.

        A repeatable call is made up to four times when the server can't be reached or is busy.
        """

        def call() -> dict[str, Any]:
            return exchange(
                "POST",
                f"{self.url}/v2/vectordb{path}",
                api_key=self._api_key,
                database=self.database,
                secrets=secrets,
                headers=headers,
                session=self._session,
                json=body,
                **{**self._options, "timeout": max(self._options["timeout"], least_timeout)},
            )[1]

        return _RETRYING(call) if repeatable else call()

    def fetch(self, path: str, body: Mapping[str, Any]) -> bytes:
        """POST, and return the file that is answered."""
        return fetch(
            f"{self.url}/v2/vectordb{path}",
            api_key=self._api_key,
            database=self.database,
            session=self._session,
            json=body,
            **self._options,
        )

    @contextmanager
    def stream(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Iterator[requests.Response]:
        """GET a stream of server-sent events; the response, of status 200 or 204, is closed at the end.

        Raises:
            ApiError, ConnectionFailed, InvalidResponse: there is no stream; see :mod:`penstock.sdk.errors`.
        """
        response = open_stream(
            f"{self.url}/v2/vectordb{path}",
            api_key=self._api_key,
            database=self.database,
            headers=headers,
            session=self._session,
            params=query,
            **{**self._options, "timeout": (self._options["timeout"], _SILENT_SECONDS)},
        )
        with response:
            yield response

    def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        data: bytes = b"",
        repeatable: bool = False,
        least_timeout: float = 0.0,
    ) -> requests.Response:
        """Send bytes to ``/v2/vectordb`` + ``path``; other arguments as :meth:`post`."""

        def call() -> requests.Response:
            return send(
                method,
                f"{self.url}/v2/vectordb{path}",
                api_key=self._api_key,
                database=self.database,
                headers={"Tus-Resumable": "1.0.0", **headers},
                session=self._session,
                data=data,
                params=self.scope,
                **{**self._options, "timeout": max(self._options["timeout"], least_timeout)},
            )

        return _RETRYING(call) if repeatable else call()

    def read(self, path: str, body: Mapping[str, Any], reader: Callable[[Any], _T]) -> _T:
        """POST, and parse the answer's ``data`` with ``reader``.

        Raises:
            InvalidResponse: the reader can't parse it.
        """
        return self.parse_response(path, self.post(path, body), lambda answer: reader(answer["data"]))

    def parse_response(self, path: str, answer: _A, reader: Callable[[_A], _T]) -> _T:
        """Parse an answer with ``reader``; InvalidResponse if that fails."""
        try:
            return reader(answer)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            why = (
                f"the response lacks {error}"
                if isinstance(error, KeyError)
                else f"the response is not valid: {error}"
            )
            raise InvalidResponse(why, url=f"{self.url}/v2/vectordb{path}", method="POST", http_status=200) from error

    def close(self) -> None:
        if self._owns_session:
            self._session.close()


def _new_session() -> requests.Session:
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=_UNSENT_ONLY))
    return session


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, ConnectionFailed):
        return not isinstance(error, AnswerTimeout)  # the server is up and slow; a retry adds load
    return is_busy(error)


def is_busy(error: BaseException) -> bool:
    """Whether the server, or a proxy before it, answers that the same call may succeed later."""
    return isinstance(error, ApiError) and (error.http_status in _BUSY_STATUS or error.code == _RATE_LIMITED)


_BACKOFF = tenacity.wait_exponential_jitter(multiplier=0.2, max=5.0, jitter=0.2)


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    retry_after = error.retry_after if isinstance(error, ApiError) else None
    return _BACKOFF(state) if retry_after is None else min(retry_after, _LONGEST_PAUSE)


_RETRYING = tenacity.Retrying(
    stop=tenacity.stop_after_attempt(_ATTEMPTS),
    wait=_pause,
    retry=tenacity.retry_if_exception(_is_transient),
    reraise=True,
)

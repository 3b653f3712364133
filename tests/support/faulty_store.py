"""A proxy in front of an object store that fails now and then, is slow, or knows less than others.

::

    with faulty_store(s3.endpoint, Faults(refuse=0.1, cut=0.05, delay=0.05), seed=7) as proxy:
        settings = s3.settings | {"endpoint": proxy.url}

Imports send GET and HEAD, uploads PUT and POST besides.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import unquote

import requests

__all__ = ["Faults", "FaultyStore", "faulty_store"]

_PIECE = 64 << 10
_HOP_HEADERS = frozenset({"connection", "expect", "keep-alive", "transfer-encoding", "content-encoding"})


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares of requests, 0 to 1: answered with 503, cut off in the middle of the answer, held for ``pause`` s, or
    passed on with another byte at the end of what they carry. The first ``spared`` requests are passed on.

    ``rate`` bytes per second flow in each answer, unless it is 0. ``ignored`` are headers (in small letters) that the
    store knows nothing of. ``plain_paths`` decodes paths, for a client that encodes more than the store understands.
    ``silent`` is part of paths whose first PUT is done and gets no answer. ``unknown`` is part of the method and path
    of requests that the store does not implement.
    """

    refuse: float = 0.0
    cut: float = 0.0
    delay: float = 0.0
    spoil: float = 0.0
    pause: float = 0.2
    spared: int = 0
    rate: float = 0.0
    ignored: frozenset[str] = frozenset()
    plain_paths: bool = False
    silent: str = ""
    unknown: str = ""


@dataclass
class FaultyStore:
    """A running proxy. ``faults`` may be replaced at any time; ``met`` counts what was done to requests, ``passed``
    holds the method and path of those that reached the store."""

    url: str
    target: str
    faults: Faults
    chance: random.Random
    met: Counter[str] = field(default_factory=Counter)
    passed: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def draw(self) -> str:
        """What happens to the next request."""
        with self.lock:
            luck = 1.0 if self.faults.spared > self.met.total() else self.chance.random()
            for name in ("refuse", "cut", "delay", "spoil"):
                luck -= getattr(self.faults, name)
                if luck < 0:
                    break
            else:
                name = "pass"
            self.met[name] += 1
            return name


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _store(self) -> FaultyStore:
        return cast("_Server", self.server).store

    def do_GET(self) -> None:
        self._pass_on()

    def do_HEAD(self) -> None:
        self._pass_on()

    def do_PUT(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def do_DELETE(self) -> None:
        self._pass_on()

    def log_message(self, format: str, *args: Any) -> None:
        """Tests have logs of their own."""

    def _pass_on(self) -> None:
        fault = "cut" if self._gets_no_answer() else self._store.draw()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self._store.faults.unknown and self._store.faults.unknown in f"{self.command} {self.path}":
            self._answer(501, {}, b"<Error><Code>NotImplemented</Code></Error>")
            return
        if fault == "refuse":
            self._answer(503, {}, b"<Error><Code>SlowDown</Code></Error>")
            return
        if fault == "delay":
            time.sleep(self._store.faults.pause)
        left_out = _HOP_HEADERS | self._store.faults.ignored
        headers = {name: value for name, value in self.headers.items() if name.lower() not in left_out}
        answer = requests.request(
            self.command,
            self._store.target + (unquote(self.path) if self._store.faults.plain_paths else self.path),
            headers=headers,
            data=body[:-1] + bytes([body[-1] ^ 1]) if fault == "spoil" and body else body,
            timeout=30,
            allow_redirects=False,
        )
        self._store.passed.append(f"{self.command} {self.path}")
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_HEADERS}
        self._answer(answer.status_code, kept, answer.content, cut=fault == "cut")

    def _gets_no_answer(self) -> bool:
        part, call = self._store.faults.silent, f"{self.command} {self.path}"
        return bool(part) and self.command == "PUT" and part in self.path and call not in self._store.passed

    def _answer(self, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> None:
        if cut and not body:
            self.close_connection = True
            return
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        told = {name.lower(): value for name, value in headers.items()}
        length = told.get("content-length", "0") if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command == "HEAD":
            return
        self._flow(body[: len(body) // 2] if cut else body)
        if cut:
            self.wfile.flush()
            self.close_connection = True

    def _flow(self, body: bytes) -> None:
        rate = self._store.faults.rate
        if not rate:
            self.wfile.write(body)
            return
        began = time.monotonic()
        for start in range(0, len(body), _PIECE):
            self.wfile.write(body[start : start + _PIECE])
            time.sleep(max(0.0, began + (start + _PIECE) / rate - time.monotonic()))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    store: FaultyStore

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gives up in the middle is what this is for."""


@contextmanager
def faulty_store(target: str, faults: Faults, seed: int) -> Iterator[FaultyStore]:
    """A proxy to the store at ``target``, whose luck is that of ``seed``."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.store = FaultyStore(f"http://127.0.0.1:{server.server_port}", target, faults, random.Random(seed))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

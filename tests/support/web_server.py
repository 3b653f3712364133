"""A web server with files in memory, as a static site or a CDN behaves.

::

    with web_server() as web:
        web.files["/vectors/a.json"] = b"[]"
        roots = ImportRoots([f"{web.url}/vectors/"], LOOPBACK)
"""

from __future__ import annotations

import base64
import hashlib
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

__all__ = ["LOOPBACK", "WebServer", "basic", "web_server"]

LOOPBACK = {scheme: {"networks": "127.0.0.0/8"} for scheme in ("http", "https")}
"""Settings with which import roots reach such a server."""


@dataclass
class WebServer:
    """``files`` by path; ``redirects`` lead from a path to an address; ``authorization`` is asked for, if any.

    ``ranges`` off serves whole files only; ``failures`` are statuses of the next answers; ``asked`` are the requests:
    path, and the headers Range and Authorization. ``cookie`` is set with every answer, ``cookies`` are those that
    came; ``surplus`` bytes are sent behind every part that was asked for. ``drips`` makes the server send a byte now
    and then, of heads that are never whole (``head``) or of bodies (``body``), until it is cleared. ``tag`` is the
    header that tells versions apart, "" for none; a server with another one than ``ETag`` knows no ``If-Match``.
    ``knows_sizes`` off leaves the file's size out of answers with a part of it, as HTTP allows.
    """

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    authorization: str = ""
    ranges: bool = True
    failures: list[int] = field(default_factory=list)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    cookie: str = ""
    cookies: list[str] = field(default_factory=list)
    surplus: int = 0
    drips: str = ""
    tag: str = "ETag"
    knows_sizes: bool = True


def basic(user: str, password: str) -> str:
    """The header of a user and a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        web = cast("_Server", self.server).web
        wanted, given = self.headers.get("Range", ""), self.headers.get("Authorization", "")
        web.asked.append((self.path, wanted, given))
        web.cookies += self.headers.get_all("Cookie", [])
        content = web.files.get(self.path)
        if web.failures:
            self._answer(web.failures.pop(0), {})
        elif web.authorization and given != web.authorization:
            self._answer(401, {})
        elif self.path in web.redirects:
            self._answer(302, {"Location": web.redirects[self.path]})
        elif content is None:
            self._answer(404, {})
        else:
            self._serve(content, wanted if web.ranges else "")

    def _serve(self, content: bytes, wanted: str) -> None:
        header = cast("_Server", self.server).web.tag
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        versions = {header: tag} if header else {}
        if header == "ETag" and self.headers.get("If-Match", tag) != tag:
            self._answer(412, {})
            return
        if not wanted:
            self._answer(200, versions, content)
            return
        start, _, last = wanted.removeprefix("bytes=").partition("-")
        part = content[int(start) : int(last) + 1]
        surplus = bytes(cast("_Server", self.server).web.surplus)
        if not part:
            self._answer(416, {"Content-Range": f"bytes */{len(content)}"})
            return
        size = len(content) if cast("_Server", self.server).web.knows_sizes else "*"
        where = f"bytes {start}-{int(start) + len(part) - 1}/{size}"
        self._answer(206, {**versions, "Content-Range": where}, part + surplus)

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        drips = cast("_Server", self.server).web.drips
        self.send_response(status)
        if drips == "head":
            self.flush_headers()
            self._drip(b"X-Slow: " + b"x" * 60_000)
        for name, value in headers.items():
            self.send_header(name, value)
        if cookie := cast("_Server", self.server).web.cookie:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if drips == "body":
            self._drip(body)
        else:
            self.wfile.write(body)

    def _drip(self, content: bytes) -> None:
        for byte in content:
            if not cast("_Server", self.server).web.drips:
                return
            self.wfile.write(bytes([byte]))
            time.sleep(0.01)

    def log_message(self, format: str, *args: Any) -> None:
        """Tests have logs of their own."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    web: WebServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client may close before it has read everything."""


@contextmanager
def web_server(certificate: tuple[Path, Path] | None = None, address: str = "127.0.0.1") -> Iterator[WebServer]:
    """Run a server; with HTTPS where a certificate and its key are given."""
    server = _Server((address, 0), _Handler)
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    server.web = WebServer(f"{scheme}://{address}:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""A real HTTP server that notes what it is asked and answers what a test has laid down."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

__all__ = ["Answer", "RecordingServer", "Request", "recording_server"]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """``body`` is sent as JSON, or as it is if it is text or bytes. ``close`` cuts the connection instead,
    ``hold`` keeps the caller waiting until the server ends."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] | None = None
    close: bool = False
    hold: bool = False


class RecordingServer:
    """``answers`` maps a path to its answers; each is given once, the last one again and again."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: dict[str, deque[Answer]] = {}
        self.url = ""
        self.ending = threading.Event()

    def answer(self, path: str, *bodies: Any) -> None:
        self.answers[path] = deque(body if isinstance(body, Answer) else Answer(body) for body in bodies)

    @property
    def last(self) -> Request:
        return self.requests[-1]

    def next_answer(self, path: str) -> Answer:
        answers = self.answers.get(path)
        if answers is None:
            return Answer("404 page not found", status=404)
        return answers.popleft() if len(answers) > 1 else answers[0]


@contextmanager
def recording_server() -> Iterator[RecordingServer]:
    recorder = RecordingServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            body = json.loads(raw) if raw else None
            recorder.requests.append(Request(self.command, parts.path, query, dict(self.headers), body))
            answer = recorder.next_answer(parts.path)
            if answer.hold:
                recorder.ending.wait()
            if answer.close or answer.hold:
                self.close_connection = True
                return
            text = answer.body if isinstance(answer.body, str | bytes) else json.dumps(answer.body)
            content = text if isinstance(text, bytes) else text.encode()
            self.send_response(answer.status)
            for name, value in (answer.headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = handle_any  # noqa: N815
        do_POST = handle_any  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    recorder.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield recorder
    finally:
        recorder.ending.set()
        server.shutdown()
        server.server_close()
        thread.join()

"""A web server that receives webhooks."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Message", "Receiver", "receiver"]

LIMIT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A request: its headers in lower case, and its body."""

    headers: Mapping[str, str]
    body: bytes
    arrived_at: float

    @property
    def data(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed

    def is_signed_with(self, secret: str) -> bool:
        """Whether the signature is that of the Standard Webhooks convention, and fresh."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        timestamp = self.headers["webhook-timestamp"]
        content = f"{self.headers['webhook-id']}.{timestamp}.".encode() + self.body
        signature = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
        return (
            f"v1,{signature}" == self.headers["webhook-signature"] and abs(self.arrived_at - int(timestamp)) < LIMIT
        )


@dataclass(slots=True)
class Receiver:
    """``statuses`` are answered one after the other, then 200; ``seconds`` is the time until each answer.

    ``open`` messages are being answered, ``most_open`` were at a time.
    """

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    seconds: float = 0.0
    location: str = ""
    messages: list[Message] = field(default_factory=list)
    open: int = 0
    most_open: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def wait_for(self, number: int) -> list[Message]:
        """The messages, once there are so many."""
        self.wait_until(lambda: len(self.messages) >= number)
        return self.messages

    def wait_until(self, true: Callable[[], bool]) -> None:
        until = time.monotonic() + LIMIT
        while not true():
            assert time.monotonic() < until, f"only {[message.data['type'] for message in self.messages]}"
            time.sleep(0.02)


@contextmanager
def receiver(*statuses: int, seconds: float = 0.0, location: str = "") -> Iterator[Receiver]:
    received = Receiver(statuses=list(statuses), seconds=seconds, location=location)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with received.lock:
                received.messages.append(Message(headers=headers, body=body, arrived_at=time.time()))
                received.open += 1
                received.most_open = max(received.most_open, received.open)
            time.sleep(received.seconds)
            with received.lock:  # before the sender can send another
                received.open -= 1
            self.send_response(received.statuses.pop(0) if received.statuses else 200)
            if received.location:
                self.send_header("location", received.location)
            answer = b"the receiver's answer"
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            with suppress(BrokenPipeError):  # the sender was killed
                self.wfile.write(answer)

        def log_message(self, format: str, *arguments: object) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        received.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()

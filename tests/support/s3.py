"""A real S3 server (moto's) in a process of its own, on a free port."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import obstore
import requests
from obstore.store import S3Store

if TYPE_CHECKING:
    from obstore.store import S3Config

__all__ = ["S3Server", "s3_server"]

_PROGRAM = """
import sys
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()  # ends when the test process does
server.stop()
"""

_SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=server-key/20260101/us-east-1/s3/aws4_request, Signature=0"}
"""The server does not check signatures, but keeps strangers from overwriting objects."""


@dataclass(frozen=True)
class S3Server:
    """A running server. Its address is ``endpoint``; ``settings`` are what Penstock's object store takes."""

    endpoint: str
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def settings(self) -> dict[str, str]:
        return {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key_id": "server-key",
            "secret_access_key": "server-secret",
        }

    @property
    def stores(self) -> dict[str, dict[str, str]]:
        """The same for import roots."""
        return {"s3": self.settings}

    @property
    def environment(self) -> dict[str, str]:
        """The same as ``AWS_*`` variables."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "server-key",
            "AWS_SECRET_ACCESS_KEY": "server-secret",
        }

    def make_bucket(self, name: str | None = None) -> str:
        """A new bucket, with a name nobody else uses unless one is given."""
        name = name or f"bucket-{next(self._numbers)}"
        requests.put(f"{self.endpoint}/{name}", headers=_SIGNED, timeout=30).raise_for_status()
        return name

    def put(self, bucket: str, key: str, content: bytes, *, public: bool = False) -> str:
        """Store an object, which anybody may read if it is public; returns its ``s3://`` address."""
        url = f"{self.endpoint}/{bucket}/{quote(key)}"
        headers = _SIGNED | ({"x-amz-acl": "public-read"} if public else {})
        requests.put(url, data=content, headers=headers, timeout=120).raise_for_status()
        return f"s3://{bucket}/{key}"

    def get(self, bucket: str, key: str) -> bytes:
        """The content of an object."""
        reply = requests.get(f"{self.endpoint}/{bucket}/{quote(key)}", headers=_SIGNED, timeout=30)
        reply.raise_for_status()
        return reply.content

    def keys(self, bucket: str) -> list[str]:
        """All keys in a bucket."""
        store = S3Store(bucket, config=cast("S3Config", self.settings), client_options={"allow_http": True})
        return sorted(str(each["path"]) for each in obstore.list(store).collect())


@contextmanager
def s3_server(open_calls: int | None = None) -> Iterator[S3Server]:
    """Run a server. After ``open_calls`` calls it begins to check keys, and knows none."""
    environment = dict(os.environ)
    if open_calls is not None:
        environment["INITIAL_NO_AUTH_ACTION_COUNT"] = str(open_calls)
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        host, port = process.stdout.readline().split()
        try:
            yield S3Server(f"http://{host}:{port}")
        finally:
            process.communicate()

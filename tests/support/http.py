"""A real HTTP server around given services, in a thread of the test."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from penstock.server.app import create_app
from penstock.server.services import Services
from penstock.settings import Settings, load_settings

__all__ = ["http_server", "make_settings"]


def make_settings(**flags: object) -> Settings:
    """Settings from these flags and the defaults, whatever the environment of the test run says."""
    return load_settings({"data_dir": Path("unused"), **flags}, environment={})


@contextmanager
def http_server(services: Services) -> Iterator[str]:
    """The server's address."""
    config = uvicorn.Config(create_app(services), log_config=None, access_log=False, lifespan="on")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()

"""A real HTTP server around a server's services, in a thread of the test."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import uvicorn

from penstock.server.assembly import build_services
from penstock.server.calls import Calls
from penstock.server.http.app import create_app
from penstock.server.http.protocol import BoundedProtocol
from penstock.server.services import Services
from penstock.settings import Settings, load_settings
from tests.support.catalogs import migrated_file
from tests.support.imports import MemoryClusters, MemoryImports

__all__ = ["http_server", "make_services", "make_settings"]


def make_settings(data_dir: Path, **flags: object) -> Settings:
    """Settings from these flags and the defaults, whatever the environment of the test run says.

    ``catalog`` may hold a password, which a real flag may not.
    """
    catalog = flags.pop("catalog", None)
    environment = {} if catalog is None else {"PENSTOCK_CATALOG_URL": str(catalog)}
    return load_settings({"data_dir": data_dir, **flags}, environment=environment)


@contextmanager
def make_services(
    data_dir: Path, problem: Callable[[], str | None] = lambda: None, **flags: object
) -> Iterator[Services]:
    """The services of a server that runs no jobs: imports and clusters are in memory, the rest is real."""
    data_dir.mkdir(parents=True, exist_ok=True)
    migrated_file(data_dir)
    services = build_services(make_settings(data_dir, **flags))
    try:
        yield replace(services, imports=MemoryImports(), clusters=MemoryClusters(), problem=problem)
    finally:
        services.stop()


@contextmanager
def http_server(services: Services, protocol: type[BoundedProtocol] = BoundedProtocol) -> Iterator[str]:
    """The server's address."""
    settings = services.settings
    calls = Calls(services.authentication, threads=settings.request_threads, timeout=settings.request_timeout)
    config = uvicorn.Config(
        create_app(services, calls), http=protocol, ws="none", log_config=None, access_log=False, server_header=False
    )
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
            calls.close()

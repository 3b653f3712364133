"""Azurite, Microsoft's own imitation of Azure Blob Storage, in a process of its own on a free port.

It is installed once with npm, as ``azurite/package-lock.json`` pins it, and kept under ``.cache/azurite``.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.environments import node_modules

__all__ = ["AzuriteServer", "azurite_server"]

ROOT = Path(__file__).parents[2]
PINS = Path(__file__).parent / "azurite"
HOME = ROOT / ".cache" / "azurite"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The well-known account and key of the emulator."""

_START_SECONDS = 60


@dataclass(frozen=True)
class AzuriteServer:
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    @property
    def connection_string(self) -> str:
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={self.url};"


@contextmanager
def azurite_server() -> Iterator[AzuriteServer]:
    """Run a server with nothing in it; what it holds is in memory."""
    program = node_modules(PINS, HOME) / "azurite" / "dist" / "src" / "blob" / "main.js"
    server = AzuriteServer(_free_port())
    command = ["node", str(program), "--blobHost", "127.0.0.1", "--blobPort", str(server.port)]
    command += ["--inMemoryPersistence", "--skipApiVersionCheck", "--silent"]
    with subprocess.Popen(command, cwd=HOME, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(server.port, process)
            yield server
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("azurite did not start")

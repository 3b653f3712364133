"""Azurite, Microsoft's own imitation of Azure Blob Storage, in a process of its own on a free port.

It is installed once with npm, as ``azurite/package-lock.json`` pins it, and kept under ``.cache/azurite``.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["AzuriteServer", "azurite_server"]

ROOT = Path(__file__).parents[2]
PINS = Path(__file__).parent / "azurite"
HOME = ROOT / ".cache" / "azurite"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The well-known account and key of the emulator."""

_INSTALL_SECONDS = 600
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
    program = _installed()
    server = AzuriteServer(_free_port())
    command = ["node", str(program), "--blobHost", "127.0.0.1", "--blobPort", str(server.port)]
    command += ["--inMemoryPersistence", "--skipApiVersionCheck", "--silent"]
    with subprocess.Popen(command, cwd=HOME, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(server.port, process)
            yield server
        finally:
            process.terminate()


def _installed() -> Path:
    """The server's program; parallel test workers wait for the one that installs."""
    HOME.mkdir(parents=True, exist_ok=True)
    stamp = hashlib.sha256((PINS / "package-lock.json").read_bytes()).hexdigest()
    with (HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (HOME / "stamp").exists() or (HOME / "stamp").read_text() != stamp:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(PINS / name, HOME / name)
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(
                command, cwd=HOME, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
            )
            if done.returncode:
                raise RuntimeError(f"npm ci: {done.stderr}")
            (HOME / "stamp").write_text(stamp)
    return HOME / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


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

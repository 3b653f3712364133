"""A real ``penstock serve`` in a process of its own, as a user runs it.

::

    with running_server(tmp_path) as server:
        (server.import_root / "docs.jsonl").write_text(...)
        with server.client() as client: ...

Its data folder outlives it: run it again in the same folder to see what a restart does.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

import penstock
from tests.support import forked_server
from tests.support.forked_server import ForkedProcess

__all__ = ["PENSTOCK", "RunningServer", "clean_environment", "ended_server", "running_server"]

PENSTOCK = Path(sys.executable).with_name("penstock")

_START_SECONDS = 400
_STOP_SECONDS = 60
_MAINTAINED_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """``log`` is the file of what the server prints; ``import_root`` a folder it may read."""

    url: str
    data_dir: Path
    import_root: Path
    log: Path
    process: subprocess.Popen[bytes] | ForkedProcess

    def client(self, **options: Any) -> penstock.Client:
        """A client of this server; ``options`` as :class:`penstock.Client` takes them."""
        return penstock.Client(self.url, **options)

    def wait_until_maintained(self, timeout: float = _MAINTAINED_SECONDS) -> None:
        """Wait until no table is under maintenance or due: files of one that is dropped meanwhile stay a minute more.

        For a catalog in the data folder; ``timeout`` in seconds.
        """
        until = time.monotonic() + timeout
        open_work = "SELECT count(*) FROM maintenance WHERE due_at IS NOT NULL OR owner IS NOT NULL"
        with closing(sqlite3.connect(f"file:{self.data_dir / 'catalog.db'}?mode=ro", uri=True)) as catalog:
            while catalog.execute(open_work).fetchone()[0]:
                assert time.monotonic() < until, "a table is still under maintenance"
                time.sleep(0.05)

    def kill(self) -> None:
        """End it as a power failure would: nothing is put in order."""
        self.process.kill()
        self.process.wait(_STOP_SECONDS)

    def stop(self) -> int:
        """Ask it to stop (SIGTERM), wait for it, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_STOP_SECONDS)


@contextmanager
def running_server(
    folder: Path,
    *flags: str,
    env: Mapping[str, str] | None = None,
    name: str = "server",
    ready: int = 200,
    workers: int | None = 1,
    forked: bool = False,
    program: Sequence[str] = (str(PENSTOCK),),
) -> Iterator[RunningServer]:
    """A server on a free port, with ``folder/data`` and the import root ``folder/files``; stopped at
    the end.

    Args:
        flags: further flags of ``penstock serve``; they may repeat ``--data-dir`` and so on, the last one counts.
        env: further environment variables. Those of the test run that begin with ``PENSTOCK_`` or ``AWS_`` are
            kept from it.
        name: of its log; for several servers in one folder.
        ready: what ``/healthz`` answers once it listens.
        workers: each imports for a second of processor time at its start. None leaves the number to the server, as
            whatever measures speed must.
        forked: fork it, which saves two seconds of processor time, see :mod:`tests.support.forked_server`. For tests
            of what a server does after its start, and not of how a process of it looks from outside.
        program: what to start in place of the command ``penstock``.

    Raises:
        RuntimeError: it didn't start, or didn't end with exit code 0 (one that the test killed or stopped isn't
            looked at). The message holds what it printed.
    """
    data_dir, import_root, log = folder / "data", folder / "files", folder / f"{name}.log"
    import_root.mkdir(parents=True, exist_ok=True)
    arguments = ["serve", "--port", "0", "--data-dir", str(data_dir), "--import-root", str(import_root)]
    arguments += [] if workers is None else ["--workers", str(workers)]
    environment = clean_environment() | dict(env or {})
    printed = log.stat().st_size if log.exists() else 0
    if forked:
        process: subprocess.Popen[bytes] | ForkedProcess = _forked([*arguments, *flags], environment, log)
    else:
        process = _started([*program, *arguments, *flags], environment, log)
    try:
        url = _address(process, log, printed, ready)
        server = RunningServer(url=url, data_dir=data_dir, import_root=import_root, log=log, process=process)
        yield server
        if process.returncode is None and server.stop() != 0:
            raise RuntimeError(f"the server ended with exit code {process.returncode}\n{log.read_text()}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(_STOP_SECONDS)


def ended_server(*flags: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``penstock serve``, forked, with flags or in a place that it refuses; return once it has ended by itself.

    Args:
        env: further environment variables, as of :func:`running_server`.

    Raises:
        subprocess.TimeoutExpired: it runs, and was killed.
    """
    arguments = ["serve", "--port", "0", *flags]
    with tempfile.TemporaryDirectory() as folder:
        output, errors = (Path(folder) / name for name in ("output", "errors"))
        process = forked_server.start(arguments, clean_environment() | dict(env or {}), output, errors)
        try:
            code = process.wait(_STOP_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
        return subprocess.CompletedProcess(arguments, code, output.read_text(), errors.read_text())


def _started(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )


def _forked(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> ForkedProcess:
    log.touch()
    return forked_server.start(arguments, environment, log)


def clean_environment() -> dict[str, str]:
    """The environment without settings of Penstock and keys of object stores."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK_", "AWS_"))}


def _address(process: subprocess.Popen[bytes] | ForkedProcess, log: Path, printed: int, ready: int) -> str:
    """Where the server says that it listens, once it is ready. The log may begin with what earlier ones printed."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with exit code {process.returncode}\n{log.read_text()}")
        found = re.search(rb"^Penstock listens on (\S+)$", log.read_bytes()[printed:], re.MULTILINE)
        if found is not None and _is_ready(url := found[1].decode(), ready):
            return url
        time.sleep(0.02)
    raise RuntimeError(f"the server isn't ready after {_START_SECONDS} s\n{log.read_text()}")


def _is_ready(url: str, ready: int) -> bool:
    try:
        # A test certificate isn't signed by anybody.
        return requests.get(f"{url}/healthz", timeout=5, verify=not url.startswith("https")).status_code == ready
    except requests.ConnectionError:
        return False

"""Servers to kill: start one, find its address, kill it and its workers."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.chaos import crashing_server
from tests.chaos.crashing_server import CrashPoint
from tests.support.forked_server import FORKS
from tests.support.servers import clean_environment

__all__ = ["Server", "start"]

_START_SECONDS = 120.0
_END_SECONDS = 30.0
_LISTENS = re.compile(rb"^Penstock listens on (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; ``crash_point`` is its crash point, if it has one."""

    process: BaseProcess
    log: Path
    crash_point: CrashPoint | None

    def url(self) -> str | None:
        """Wait for the address it listens on; None if it ended before."""
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            found = _LISTENS.search(self.log.read_bytes()) if self.log.exists() else None
            if found is not None:
                return found[1].decode()
            if not self.lives:
                return None
            time.sleep(0.02)
        raise RuntimeError(f"the server did not start\n{self.log.read_text()}")

    @property
    def lives(self) -> bool:
        return self.process.is_alive()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def has_crashed(self) -> bool:
        """Whether the crash point was reached, by the server or one of its workers."""
        return self.crash_point is not None and Path(self.crash_point.marker).exists()

    def stall(self) -> None:
        """Stop it, as a machine that swaps or migrates does: it keeps its locks and leases meanwhile."""
        assert self.lives, self.log.read_text()
        os.kill(self.pid, signal.SIGSTOP)

    def wake(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self, *, with_workers: bool = False) -> None:
        self.process.kill()
        if with_workers:
            self._kill_workers()
        self.process.join(_END_SECONDS)

    def kill_a_worker(self) -> bool:
        """Whether there was one."""
        return self._kill_workers(at_most=1) > 0

    def _kill_workers(self, at_most: int | None = None) -> int:
        file = Path(f"{self.log}.workers")
        pids = [int(part) for part in file.read_text().split()] if file.exists() else []
        killed = 0
        for pid in reversed(pids):
            if killed == at_most:
                break
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        return killed


def start(
    folder: Path,
    name: str,
    flags: list[str],
    catalog_url: str | None,
    crash_point: CrashPoint | None,
    env: Mapping[str, str] | None = None,
) -> Server:
    """A server on the data and the import root of ``folder``; ``env`` are further environment variables."""
    environment = clean_environment() | dict(env or {})
    if catalog_url is not None:
        environment["PENSTOCK_CATALOG_URL"] = catalog_url
    log = folder / f"{name}.log"
    places = ["--port", "0", "--data-dir", str(folder / "data"), "--import-root", str(folder / "files")]
    process = FORKS.Process(target=crashing_server.serve, args=([*places, *flags], environment, log, crash_point))
    process.start()
    return Server(process, log, crash_point)

"""``penstock serve``, forked from a process that has loaded the program already; so are its workers.

Such a server begins in a tenth of the time, and serves as one that was started: by the same command line, in a
process of its own. What others see of it (its command line and environment) is that of the process that was forked.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import penstock.server.assembly
import penstock.server.serve  # noqa: F401
from penstock.cli.main import cli
from penstock.runners import local

__all__ = ["FORKS", "ForkedProcess", "begin_worker", "serve"]

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])
# A server that a test builds in its own process would have it load what Penstock's workers need, and refuse what they
# don't: then no process of it could load pytest.
vars(FORKS)["set_forkserver_preload"] = lambda modules: None


class ForkedProcess:
    """A forked process, as ``subprocess.Popen`` shows one."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("penstock serve", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    arguments: Sequence[str], environment: Mapping[str, str], log: Path, errors: Path | None = None
) -> ForkedProcess:
    """Standard error goes to the file ``errors``, or to the ``log`` as well."""
    process = FORKS.Process(target=serve, args=(arguments, environment, log, errors))
    process.start()
    return ForkedProcess(process)


def serve(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    errors: Path | None = None,
    prepare: Callable[[], object] = lambda: None,
) -> None:
    """In a process of its own: run the command line as a user would; ``prepare`` changes this process only."""
    os.environ.clear()
    os.environ.update(environment)
    for number, file in ((1, log), (2, errors or log)):
        with file.open("ab") as output:
            os.dup2(output.fileno(), number)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    vars(local)["_begin"] = begin_worker
    _begin_fork_server()
    prepare()
    cli(arguments, prog_name="penstock")


def _begin_fork_server() -> None:
    """Give this process a fork server for its workers that is a fork of it, while it has one thread.

    Python would start another program for it, which loads all modules again: three times the processor time of the
    forked server itself. (A forked process doesn't find the fork server that it comes from.)
    """
    alive_read, alive_write = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("")  # Linux chooses a free abstract address
        listener.listen()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lance's, on standard error; it has no threads yet
            pid = os.fork()
        if not pid:
            os.close(alive_write)
            try:
                forkserver.main(listener.detach(), alive_read, preload=[])
            finally:
                os._exit(0)
        address = listener.getsockname()
    os.close(alive_read)
    state = {"_forkserver_address": address, "_forkserver_alive_fd": alive_write, "_forkserver_pid": pid}
    vars(forkserver._forkserver).update(state)


_begin = local._begin


def begin_worker(board: Any, place: int, setup: Callable[[], None] | None, stall: float) -> None:
    """As ever, but not with less of the processor than others."""
    vars(local)["_NICENESS"] = 0
    _begin(board, place, setup, stall)

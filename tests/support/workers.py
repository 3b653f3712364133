"""The worker processes of a server or a runner."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from penstock.runners import local
from penstock.runners.local import LocalRunner
from tests.runners.tasks import pid_of

__all__ = ["spawned_workers", "worker_processes", "workers_of"]

_LIMIT = 60


def worker_processes(server_pid: int) -> list[psutil.Process]:
    """Those of a server: the children of its fork server."""
    return [worker for child in psutil.Process(server_pid).children() for worker in child.children()]


def workers_of(runner: LocalRunner) -> list[psutil.Process]:
    """Those of a runner of this process that has no task: each idle worker takes one."""
    tasks = [runner.submit(pid_of, None) for _ in range(runner.slots)]
    return [psutil.Process(task.future.result(_LIMIT)) for task in tasks]


@contextmanager
def spawned_workers() -> Iterator[None]:
    """Have the runners made in this block start workers as programs of their own, as small as those of a server.

    The fork server of the tests has loaded the whole server, whose memory would count as theirs. Without ``warm``:
    Linux would end them with its thread.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "_FORKS", multiprocessing.get_context("spawn"))
        patch.setattr(local, "_ensure_fork_server", lambda: None)
        yield

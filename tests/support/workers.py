"""The worker processes of a server or a runner."""

from __future__ import annotations

import psutil

from penstock.runners.local import LocalRunner
from tests.runners.tasks import pid_of

__all__ = ["worker_processes", "workers_of"]

_LIMIT = 60


def worker_processes(server_pid: int) -> list[psutil.Process]:
    """Those of a server: the children of its fork server."""
    return [worker for child in psutil.Process(server_pid).children() for worker in child.children()]


def workers_of(runner: LocalRunner) -> list[psutil.Process]:
    """Those of a runner of this process that has no task: each idle worker takes one."""
    tasks = [runner.submit(pid_of, None) for _ in range(runner.slots)]
    return [psutil.Process(task.future.result(_LIMIT)) for task in tasks]

"""What the tests let runners do; workers import it by name."""

from __future__ import annotations

import mmap
import os
import resource
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.errors import DataError
from penstock.runners.base import TaskContext

__all__ = [
    "Fill",
    "Hoard",
    "Small",
    "Wait",
    "append_line",
    "compute",
    "double",
    "fill",
    "halve",
    "hoard",
    "kill_self",
    "pid_of",
    "refuse",
    "report_until_told",
    "stall",
    "stumble",
    "wait_for_file",
]


def double(number: int, context: TaskContext) -> int:
    context.report(number, 1)
    return 2 * number


@dataclass(frozen=True)
class Small:
    """A number, as the argument of a task that may run in a group."""

    number: int
    group_bytes: int | None = 1000
    memory_limit: int | None = None


def halve(task: Small, context: TaskContext) -> int:
    """Fails for odd numbers, and ends its worker at 13."""
    context.check()
    if task.number == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    if task.number % 2:
        raise DataError(f"{task.number} is odd")
    return task.number // 2


@dataclass(frozen=True)
class Wait:
    """So many seconds, with a limit of memory that a thread watches."""

    seconds: float
    memory_limit: int | None


def stall(wait: Wait, context: TaskContext) -> str:
    """Wait for what another thread would do, which waits itself."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    threading.Event().wait(wait.seconds)
    return "was not killed"


def compute(seconds: float, context: TaskContext) -> str:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    return "was not killed"


def refuse(row: int, context: TaskContext) -> None:
    raise DataError("the vector is too short", file="a.csv", row=row, field="vector")


def stumble(_: Any, context: TaskContext) -> None:
    raise ZeroDivisionError("a bug")


def report_until_told(steps: int, context: TaskContext) -> None:
    for step in range(1, steps):
        context.report(step, step)
        context.check()
        time.sleep(0.01)


def append_line(path: Path, context: TaskContext) -> None:
    with path.open("a") as file:
        file.write("ran\n")


def wait_for_file(path: Path, context: TaskContext) -> int:
    """Neither reports nor checks. Touches ``path`` with ``.began`` when it begins."""
    path.with_suffix(".began").touch()
    while not path.exists():
        time.sleep(0.02)
    return os.getpid()


@dataclass(frozen=True)
class Fill:
    """Takes 24 MiB in small pieces, as batches of rows do, and gives them back."""

    memory_limit: int


def fill(_: Fill | Build, context: TaskContext) -> int:
    """The page faults of it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pieces = [b"x" * 100_000 for _ in range(250)]
    del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@dataclass(frozen=True)
class Hoard:
    """Takes 64 MiB at a time until somebody ends it."""

    memory_limit: int


def hoard(argument: Hoard, context: TaskContext) -> None:
    taken = []
    while True:
        taken.append(b"x" * (64 << 20))
        time.sleep(0.05)


@dataclass(frozen=True)
class Build(Hoard):
    """A task for which slots are reserved."""

    slots: int


def allocate(argument: Hoard, context: TaskContext) -> int:
    """Allocate twice the limit, and fill none of it."""
    size = 2 * argument.memory_limit
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS):
        return size


def kill_self(_: Any, context: TaskContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def pid_of(_: Any, context: TaskContext) -> int:
    return os.getpid()

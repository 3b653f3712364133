"""``penstock serve`` with a crash point: SIGKILL just before or just after the n-th call of one step of a job.

Server and workers are forked, so that there can be many kills: :mod:`tests.support.forked_server`.

No handler of the process runs then. Where the step is a worker's, one worker is killed: the first to create the
marker file; others that reach the step find the file and go on.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from penstock.engines.lance.index import build
from penstock.server import runner_factory
from penstock.server.worker_setup import WorkerSetup
from penstock.settings import Settings
from tests.chaos.steps import EXPORT_STEPS, STEPS, Step
from tests.support import forked_server

__all__ = ["CrashPoint", "place_of", "serve"]


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """Which call of which step kills its process; ``marker`` is the file that is created just before."""

    step: str
    moment: Literal["before", "after"]
    call: int
    marker: str


def serve(
    arguments: Sequence[str], environment: Mapping[str, str], log: Path, crash_point: CrashPoint | None
) -> None:
    """In a process of its own: run the command line as a user would."""

    def prepare() -> None:
        vars(runner_factory)["WorkerSetup"] = _Setups(crash_point, f"{log}.workers")
        index_every_job()
        arm("server", crash_point)

    forked_server.serve(["serve", *arguments], environment, log, prepare=prepare)


@dataclass(frozen=True, slots=True)
class _Setups:
    """Replaces the class whose value sets up each worker."""

    crash_point: CrashPoint | None
    list: str

    def of(self, settings: Settings) -> _Setup:
        return _Setup(WorkerSetup.of(settings), self.crash_point, self.list)


@dataclass(frozen=True, slots=True)
class _Setup:
    """``list`` is the file with the ids of the worker processes."""

    inner: WorkerSetup
    crash_point: CrashPoint | None
    list: str

    def __call__(self) -> None:
        with open(self.list, "a") as file:
            file.write(f"{os.getpid()}\n")
        self.inner()
        index_every_job()
        arm("worker", self.crash_point)


def index_every_job() -> None:
    """Build an index for any number of rows: few rows get none, and there would be nothing to interrupt."""
    build.MAX_UNINDEXED_ROWS = 0


def place_of(step: Step) -> tuple[Any, str]:
    """The module or class that holds the step's function, and the function's name."""
    module, _, path = step.place.partition(":")
    owner: Any = importlib.import_module(module)
    *owners, name = path.split(".")
    for each in owners:
        owner = getattr(owner, each)
    return owner, name


def arm(process: str, crash_point: CrashPoint | None) -> None:
    """Set the crash point in this process, if its step is one of this kind of process."""
    if crash_point is None:
        return
    step = (STEPS | EXPORT_STEPS)[crash_point.step]
    if step.process != process:
        return
    owner, name = place_of(step)
    kept = owner.__dict__[name]
    original: Callable[..., Any] = getattr(owner, name)
    lock = threading.Lock()
    calls = 0

    @functools.wraps(original)
    def crashing(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        with lock:
            counts = step.then is None or step.then in arguments
            calls += counts
            last = counts and calls == crash_point.call
        if last and crash_point.moment == "before":
            crash(crash_point)
        result = original(*arguments, **named)
        if last:
            crash(crash_point)
        return result

    setattr(owner, name, staticmethod(crashing) if isinstance(kept, staticmethod) else crashing)


def crash(crash_point: CrashPoint) -> None:
    try:
        os.close(os.open(crash_point.marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)

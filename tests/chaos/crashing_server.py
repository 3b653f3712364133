"""``penstock serve``, made to die by SIGKILL just before or just after the n-th call of one step of a job.

Server and workers are forked, so that there can be many kills: :mod:`tests.support.forked_server`.

Nothing of the process's own handling runs when it dies. Where the step is a worker's, a worker dies; only one of
them: who is about to die makes the note, and who finds it there goes on.
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

__all__ = ["Death", "place_of", "serve"]


@dataclass(frozen=True, slots=True)
class Death:
    """At which call of which step somebody dies; ``note`` is the file that tells of it."""

    step: str
    moment: Literal["before", "after"]
    call: int
    note: str


def serve(arguments: Sequence[str], environment: Mapping[str, str], log: Path, death: Death | None) -> None:
    """In a process of its own: run the command line as a user would."""

    def prepare() -> None:
        vars(runner_factory)["WorkerSetup"] = _Setups(death, f"{log}.workers")
        index_every_job()
        arm("server", death)

    forked_server.serve(["serve", *arguments], environment, log, prepare)


@dataclass(frozen=True, slots=True)
class _Setups:
    """Stands in for the class of what workers begin with."""

    death: Death | None
    list: str

    def of(self, settings: Settings) -> _Setup:
        return _Setup(WorkerSetup.of(settings), self.death, self.list)


@dataclass(frozen=True, slots=True)
class _Setup:
    """``list`` is the file of the workers' processes."""

    inner: WorkerSetup
    death: Death | None
    list: str

    def __call__(self) -> None:
        with open(self.list, "a") as file:
            file.write(f"{os.getpid()}\n")
        self.inner()
        index_every_job()
        arm("worker", self.death)


def index_every_job() -> None:
    """Few rows are searched as they are, and there would be little to interrupt."""
    build.MAX_UNINDEXED_ROWS = 0


def place_of(step: Step) -> tuple[Any, str]:
    """The module or class that holds the step's function, and the function's name."""
    module, _, path = step.place.partition(":")
    owner: Any = importlib.import_module(module)
    *owners, name = path.split(".")
    for each in owners:
        owner = getattr(owner, each)
    return owner, name


def arm(process: str, death: Death | None) -> None:
    """Arrange the death of this process, if it is one of those that are to die."""
    if death is None:
        return
    step = (STEPS | EXPORT_STEPS)[death.step]
    if step.process != process:
        return
    owner, name = place_of(step)
    kept = owner.__dict__[name]
    original: Callable[..., Any] = getattr(owner, name)
    lock = threading.Lock()
    calls = 0

    @functools.wraps(original)
    def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        with lock:
            counts = step.then is None or step.then in arguments
            calls += counts
            last = counts and calls == death.call
        if last and death.moment == "before":
            die(death)
        result = original(*arguments, **named)
        if last:
            die(death)
        return result

    setattr(owner, name, staticmethod(dying) if isinstance(kept, staticmethod) else dying)


def die(death: Death) -> None:
    try:
        os.close(os.open(death.note, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)

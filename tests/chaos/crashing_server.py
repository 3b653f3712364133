"""``penstock serve``, made to die by SIGKILL just before or just after the n-th call of one step of a job.

    python -m tests.chaos.crashing_server STEP before|after N serve --data-dir …

The steps are the calls by which a job gets from one durable state to the next; nothing of the process's own handling
runs when it dies, and its workers die with it.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["STEPS"]

STEPS = {
    "insert": ("penstock.catalog.jobs.jobs", "JobRepository", "insert"),
    "claim": ("penstock.catalog.jobs.leases", "JobLeases", "claim"),
    "locate": ("penstock.imports.executor", None, "resolve_files"),
    "plan": ("penstock.imports.executor", None, "plan_ranges"),
    "save plan": ("penstock.catalog.jobs.leases", "JobLeases", "save_plan"),
    "attempt": ("penstock.catalog.jobs.leases", "JobLeases", "count_attempt"),
    "save split": ("penstock.catalog.jobs.leases", "JobLeases", "save_split"),
    "progress": ("penstock.catalog.jobs.leases", "JobLeases", "save_progress"),
    "move": ("penstock.catalog.jobs.leases", "JobLeases", "move"),
    "publish": ("penstock.engines.lance.engine", "LanceEngine", "publish"),
    "engine commit": ("lance.dataset", "LanceDataset", "commit"),
    "fsync": ("penstock.engines.lance.layout.tables", "Store", "sync_version"),
    "raise version": ("penstock.catalog.collections.collections", "CollectionRepository", "raise_version"),
    "index": ("penstock.imports.maintenance", "MaintenanceWorker", "build"),
}
"""Name of a step → module, class (or None), function."""


def die_at(step: str, moment: str, number: int) -> None:
    """Arrange the death of this process."""
    module, owner, name = STEPS[step]
    place: Any = importlib.import_module(module)
    if owner is not None:
        place = getattr(place, owner)
    kept = place.__dict__[name]
    original: Callable[..., Any] = getattr(place, name)
    lock = threading.Lock()
    calls = 0

    @functools.wraps(original)
    def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        with lock:
            calls += 1
            last = calls == number
        if last and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **named)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(place, name, staticmethod(dying) if isinstance(kept, staticmethod) else dying)


if __name__ == "__main__":
    step, moment, number, *arguments = sys.argv[1:]
    from penstock.cli.main import cli

    die_at(step, moment, int(number))
    cli(arguments, prog_name="penstock")

"""Which runner a server's settings ask for: its own machine's, or a cluster of many hosts."""

from __future__ import annotations

from dataclasses import replace

from penstock.imports.memory_budget import WorkerMemory, share_out
from penstock.machine import memory_limit
from penstock.runners.local import LocalRunner
from penstock.runners.ray import RayRunner
from penstock.server.worker_setup import WorkerSetup
from penstock.settings import Settings

__all__ = ["runner_of", "worker_memory"]


def worker_memory(settings: Settings) -> WorkerMemory:
    """How many workers run, and what each may take. What the hosts of a Ray cluster have isn't known here."""
    here = memory_limit().size if settings.runner == "local" else None
    return share_out(settings.memory_budget, settings.workers, here)


def runner_of(settings: Settings) -> LocalRunner | RayRunner:
    """The runner, not yet started; see its ``warm``.

    Raises:
        InvalidParameter: Ray is wanted and not installed, or its address won't do.
    """
    setup = WorkerSetup.of(settings)
    if settings.runner == "ray":
        # Ray watches over the memory of its workers, which it couldn't of processes that hide it.
        return RayRunner(settings.ray_address, replace(setup, core_dumps=True))
    return LocalRunner(worker_memory(settings).workers, setup)

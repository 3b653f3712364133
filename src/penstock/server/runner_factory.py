"""Create the runner of a server's settings: local worker processes, or a Ray cluster."""

from __future__ import annotations

from dataclasses import replace

from penstock.imports.memory_budget import WorkerMemory, share_out
from penstock.machine import memory_limit
from penstock.runners.local import LocalRunner, preload_workers
from penstock.runners.ray import RayRunner
from penstock.server.worker_setup import WorkerSetup
from penstock.settings import Settings

_MODULES = ("penstock.server.worker_modules",)


def worker_memory(settings: Settings) -> WorkerMemory:
    """The number of workers and the memory of each. The memory of a Ray cluster's hosts isn't known here."""
    available = memory_limit().size if settings.runner == "local" else None
    return share_out(settings.memory_budget, settings.workers, available)


def runner_of(settings: Settings) -> LocalRunner | RayRunner:
    """Create the runner, not yet started; see its ``warm``.

    Raises:
        InvalidParameter: Ray is configured and not installed, or its address is invalid.
    """
    setup = WorkerSetup.of(settings)
    if settings.runner == "ray":
        # Ray's memory monitor cannot read processes that are not dumpable, so keep its workers dumpable.
        return RayRunner(settings.ray_address, replace(setup, core_dumps=True))
    preload_workers(_MODULES if settings.core_dumps else (*_MODULES, "penstock.server.process.no_dumps"))
    return LocalRunner(worker_memory(settings).workers, setup)

"""Which runner a server's settings ask for: its own machine's, or a cluster of many hosts."""

from __future__ import annotations

from dataclasses import replace

from penstock.jobs.memory import share_out
from penstock.runners.local import LocalRunner
from penstock.runners.ray import RayRunner
from penstock.server.worker import WorkerSetup
from penstock.settings import Settings

__all__ = ["runner_of"]


def runner_of(settings: Settings) -> LocalRunner | RayRunner:
    """The runner, not yet started; see its ``warm``.

    Raises:
        InvalidParameter: Ray is wanted and not installed, or its address won't do.
    """
    setup = WorkerSetup.of(settings)
    if settings.runner == "ray":
        # Ray watches over the memory of its workers, which it couldn't of processes that hide it.
        return RayRunner(settings.ray_address, replace(setup, core_dumps=True))
    return LocalRunner(share_out(settings.memory_budget, settings.workers).workers, setup)

"""A split that kills its worker, as one may that takes more memory than there is. Workers import this by name."""

from __future__ import annotations

import os
import signal

from penstock.imports.tasks import StageResult, StageTask, stage_split
from penstock.runners.base import TaskContext

__all__ = ["stage_or_die"]


def stage_or_die(task: StageTask, context: TaskContext) -> StageResult:
    """As ``stage_split``; a part of a file that is called deadly is the worker's end."""
    if any("deadly" in location.name for locations in task.locations.values() for location in locations):
        os.kill(os.getpid(), signal.SIGKILL)
    return stage_split(task, context)

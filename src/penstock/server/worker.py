"""What a worker process begins with, beside what its tasks need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from penstock.jobs.tasks import import_everything
from penstock.server.logs import configure_logs

__all__ = ["WorkerSetup"]


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """Called once in each worker; picklable. Workers log as the server does, to the same standard error."""

    log_format: Literal["console", "json"]
    log_level: str

    def __call__(self) -> None:
        configure_logs(self.log_format, self.log_level)
        import_everything()

"""Initialize a worker process: logs, tracing, hardening."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from penstock.import_guard import leave_out_unused
from penstock.imports.tasks import init_worker
from penstock.server.observability.logs import configure_logs
from penstock.server.process.hardening import forbid_dumps

if TYPE_CHECKING:  # workers need no settings: don't load them there
    from penstock.settings import Settings

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """Initializer called once in each worker; picklable. Workers log as the server does, to the same stderr."""

    log_format: Literal["console", "json"]
    log_level: str
    core_dumps: bool = False
    traced: bool = False
    otel_endpoint: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> WorkerSetup:
        traced = wants_traces(settings, os.environ)
        return cls(settings.log_format, settings.log_level, settings.core_dumps, traced, settings.otel_endpoint)

    def __call__(self) -> None:
        if not self.core_dumps:
            forbid_dumps()
        configure_logs(self.log_format, self.log_level)
        leave_out_unused()
        if self.traced:
            from penstock.server.observability.tracing import begin_in_worker

            begin_in_worker(self.otel_endpoint)
        init_worker()


def wants_traces(settings: Settings, environment: Mapping[str, str]) -> bool:
    """Whether the settings or the standard variables name a collector, and the latter don't disable tracing."""
    if (
        environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or environment.get("OTEL_TRACES_EXPORTER") == "none"
    ):
        return False
    return settings.otel_endpoint is not None or any(environment.get(name) for name in _ENDPOINTS)

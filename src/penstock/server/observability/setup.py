"""Set up observability of jobs and calls: metrics always, traces where configured."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from starlette.middleware import Middleware

from penstock.extras import require_extra
from penstock.imports.events import Observer, Observers
from penstock.runners.base import Runner
from penstock.server.observability.call_tracing import TraceCall, untraced
from penstock.server.observability.job_metrics import JobMetrics
from penstock.server.worker_setup import wants_traces
from penstock.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Observability:
    """Observer, middleware and hooks. ``traced`` wraps a runner to trace its tasks; ``stop`` flushes spans."""

    observer: Observer
    traced: Callable[[Runner], Runner] = lambda runner: runner
    middleware: tuple[Middleware, ...] = ()
    trace_grpc: TraceCall = untraced
    stop: Callable[[], None] = lambda: None


def start_watching(settings: Settings, registry: CollectorRegistry) -> Observability:
    """Create metrics in ``registry``, and traces where configured.

    Raises:
        MissingExtra: traces are configured, but OpenTelemetry isn't installed.
    """
    metrics = JobMetrics(registry)
    if not wants_traces(settings, os.environ):
        return Observability(observer=metrics)
    require_extra(
        "otel",
        "opentelemetry.sdk",
        "opentelemetry.exporter",
        reason="traces need OpenTelemetry",
        otherwise="unset --otel-endpoint",
    )
    from penstock.server.observability.tracing import (
        TracedCalls,
        TracedGrpcCalls,
        TracedRunner,
        TracingObserver,
        make_provider,
    )

    provider = make_provider(settings.otel_endpoint)
    tracer = provider.get_tracer("penstock")
    return Observability(
        observer=Observers([metrics, TracingObserver(tracer)]),
        traced=TracedRunner,
        middleware=(Middleware(TracedCalls, tracer=tracer),),
        trace_grpc=TracedGrpcCalls(tracer),
        stop=provider.shutdown,
    )

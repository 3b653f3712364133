"""OpenTelemetry traces of HTTP and gRPC calls, jobs with their steps and splits, and worker tasks.

This module is imported only where tracing is on; it needs the extra ``penstock-import[otel]``. Spans are sent
in batches from a background thread, over HTTP: an unavailable collector costs spans, never a call or a job.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.util import Finalize
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract, inject
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.domain.jobs import ImportJob, JobState
from penstock.errors import PenstockError
from penstock.runners.base import Bounded, Reserving, Runner, TaskContext, TaskHandle, slots_of
from penstock.version import package_version

_SCHEDULE_MILLIS = 1000
_LAST_SECONDS = 2.0
"""How long a worker that ends waits for the collector: a server that stops ends its workers one after the other."""
_NAMES = {"job": "import job"}
_W3C = TraceContextTextMapPropagator()


def make_provider(endpoint: str | None) -> TracerProvider:
    """Create the tracer provider. ``endpoint`` is the URL of a collector without ``/v1/traces``; None leaves it,
    as everything else, to the standard ``OTEL_*`` variables. Shut the provider down to flush its spans."""
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None)
    resource = Resource.create({"service.version": package_version()})
    if str(resource.attributes.get("service.name", "unknown_service")).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "penstock"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_SCHEDULE_MILLIS))
    return provider


class TracingObserver:
    """A :class:`penstock.imports.events.Observer` that makes spans, kept in the thread's context."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def context(self) -> str | None:
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        return carrier.get("traceparent")

    def claimed(self, job: ImportJob) -> None:
        return None

    def moved(self, job: ImportJob) -> None:
        span = trace.get_current_span()
        span.add_event("job.state", {"state": job.state.value, "rows": job.rows, "progress": job.progress})
        if job.state is JobState.FAILED:
            span.set_status(Status(StatusCode.ERROR, job.reason))

    def lost(self, job: ImportJob) -> None:
        return None

    def retrying(self, step: str, error: BaseException) -> None:
        code = error.code if isinstance(error, PenstockError) else "internal"
        trace.get_current_span().add_event("retry", {"step": step, "code": code, "message": str(error)})

    def staged(self, rows: int, size: int, rejected: int = 0) -> None:
        trace.get_current_span().set_attributes({"penstock.rows": rows, "penstock.rejected_rows": rejected})

    def published(self, rows: int, size: int) -> None:
        trace.get_current_span().set_attributes({"penstock.rows": rows, "penstock.bytes": size})

    @contextmanager
    def step(self, name: str, facts: Mapping[str, str | int], within: str | None = None) -> Iterator[None]:
        attributes = {f"penstock.{key}": value for key, value in facts.items()}
        parent = _W3C.extract({"traceparent": within}) if within else None
        with self._tracer.start_as_current_span(_NAMES.get(name, name), context=parent, attributes=attributes):
            yield


class TracedRunner:
    """A runner that propagates the submitter's trace context to its tasks."""

    def __init__(self, inner: Runner) -> None:
        self._inner = inner

    @property
    def slots(self) -> int:
        return self._inner.slots

    @property
    def slots_per_task(self) -> int:
        return self._inner.slots_per_task

    def submit(self, function: Callable[[Any, TaskContext], Any], argument: Any) -> TaskHandle[Any]:
        carrier: dict[str, str] = {}
        inject(carrier)
        return self._inner.submit(_run_traced, _traced(carrier, function, argument))

    def close(self) -> None:
        self._inner.close()


# In the worker

_worker_provider: TracerProvider | None = None


def begin_in_worker(endpoint: str | None) -> None:
    """Create the tracer provider of a worker, which sends its own spans, the last of them when it ends."""
    global _worker_provider
    _worker_provider = make_provider(endpoint)
    # Not by `atexit`, without which the processes of a fork server end before Python 3.13.
    Finalize(None, send_last_spans, (_worker_provider,), exitpriority=0)


def send_last_spans(provider: TracerProvider) -> bool:
    """Send the spans that wait; return whether the collector took them in time. The SDK has no limit of its own."""
    sending = threading.Thread(target=provider.force_flush, daemon=True)
    sending.start()
    sending.join(_LAST_SECONDS)
    return not sending.is_alive()


@dataclass(frozen=True)
class _TracedTask:
    """A task, and the trace that it is part of."""

    carrier: Mapping[str, str]
    function: Callable[[Any, TaskContext], Any]
    argument: Any


@dataclass(frozen=True)
class _BoundedTask(_TracedTask):
    """A task with a memory limit, which the runner sees."""

    @property
    def memory_limit(self) -> int | None:
        limit: int | None = self.argument.memory_limit
        return limit


@dataclass(frozen=True)
class _ReservingTask(_BoundedTask):
    """A task that reserves slots."""

    @property
    def slots(self) -> int:
        return slots_of(self.argument)


def _traced(carrier: Mapping[str, str], function: Callable[[Any, TaskContext], Any], argument: Any) -> _TracedTask:
    if isinstance(argument, Reserving):
        return _ReservingTask(carrier, function, argument)
    return (_BoundedTask if isinstance(argument, Bounded) else _TracedTask)(carrier, function, argument)


def _run_traced(task: _TracedTask, context: TaskContext) -> Any:
    provider = _worker_provider or trace.get_tracer_provider()
    name = task.function.__name__
    with provider.get_tracer("penstock").start_as_current_span(name, context=extract(task.carrier)):
        return task.function(task.argument, context)


class TracedCalls:
    """ASGI middleware: a span per HTTP call, a child of the caller's where it sends one. Runs inside of
    ``RequestLogMiddleware``."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        parent = extract(dict(Headers(scope=scope)))
        state: dict[str, Any] = scope["state"]
        method = scope["method"]
        with self._tracer.start_as_current_span(method, context=parent, kind=SpanKind.SERVER) as span:

            async def send_traced(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            try:
                await self._app(scope, receive, send_traced)
            finally:
                route = str(state.get("route", ""))
                span.update_name(f"{method} {route}".rstrip())
                span.set_attributes(
                    {"http.request.method": method, "http.route": route, "penstock.request_id": state["request_id"]}
                )
                if state.get("code"):
                    span.set_attribute("penstock.code", int(state["code"]))


class TracedGrpcCalls:
    """A :data:`penstock.server.observability.call_tracing.TraceCall`: a span per gRPC call, a child of the caller's
    where it sends one."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def __call__(
        self, method: str, metadata: Mapping[str, str], request_id: str
    ) -> Iterator[Callable[[str, int | None], None]]:
        attributes = {"rpc.system": "grpc", "rpc.method": method, "penstock.request_id": request_id}
        with self._tracer.start_as_current_span(
            method, context=extract(metadata), kind=SpanKind.SERVER, attributes=attributes
        ) as span:

            def ended(status: str, code: int | None) -> None:
                span.set_attribute("rpc.response.status_code", status)
                if code:
                    span.set_attribute("penstock.code", code)

            yield ended

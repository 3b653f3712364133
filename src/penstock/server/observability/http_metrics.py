"""Prometheus metrics of HTTP calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

# Creating and listing answer in milliseconds; searches and slow disks need the upper end.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)


class HttpMetrics:
    """Requests by route and outcome. Unknown paths share one label, which bounds the cardinality."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # ``_created`` series: one more per label value, without information beyond the process's start time.
        disable_created_metrics()  # type: ignore[no-untyped-call,unused-ignore]
        self._requests = Counter(
            "penstock_http_requests",
            "HTTP requests by route, HTTP status and the dialect's code.",
            ["method", "route", "status", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            "penstock_http_request_duration_seconds",
            "Time from a request's first byte to its response.",
            ["method", "route"],
            buckets=SECONDS,
            registry=registry,
        )
        self._open = Gauge("penstock_http_requests_in_flight", "HTTP requests in progress.", registry=registry)
        ProcessCollector(registry=registry)

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        with self._open.track_inprogress():
            yield

    def observe(self, *, method: str, route: str, status: int, code: int | None, seconds: float) -> None:
        self._requests.labels(method, route, str(status), "" if code is None else str(code)).inc()
        self._seconds.labels(method, route).observe(seconds)

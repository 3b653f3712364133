"""Prometheus metrics of gRPC calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from penstock.server.observability.http_metrics import SECONDS


class GrpcMetrics:
    """Calls by method and outcome; those of HTTP have metrics of their own. ``connections`` counts open ones.

    Only methods of the service are counted, which bounds the cardinality: gRPC itself refuses others.
    """

    def __init__(self, registry: CollectorRegistry, connections: Callable[[], int]) -> None:
        self._requests = Counter(
            "penstock_grpc_requests",
            "gRPC calls by method, gRPC status and Milvus's code.",
            ["method", "status", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            "penstock_grpc_request_duration_seconds",
            "Time from a gRPC call's first byte to its answer.",
            ["method"],
            buckets=SECONDS,
            registry=registry,
        )
        self._open = Gauge(
            "penstock_grpc_requests_in_flight", "gRPC calls that have not been answered yet.", registry=registry
        )
        Gauge("penstock_grpc_connections", "Open gRPC connections.", registry=registry).set_function(connections)

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        with self._open.track_inprogress():
            yield

    def observe(self, *, method: str, status: str, code: int | None, seconds: float) -> None:
        self._requests.labels(method, status, "" if code is None else str(code)).inc()
        self._seconds.labels(method).observe(seconds)

"""Prometheus metrics of event streams and webhooks."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

_RESULTS = ("delivered", "retried", "failed")


class WebhookMetrics:
    """A :class:`penstock.webhooks.sender.DeliveryObserver`; ``streams`` counts the open event streams."""

    def __init__(self, registry: CollectorRegistry, streams: Callable[[], int]) -> None:
        self._attempts = Counter(
            "penstock_webhook_attempts",
            "Attempts to deliver messages to webhooks: delivered, retried later, or failed for good.",
            ["result"],
            registry=registry,
        )
        for result in _RESULTS:
            self._attempts.labels(result)
        gauge = Gauge("penstock_event_streams", "Open event streams.", registry=registry)
        gauge.set_function(streams)

    def attempted(self, result: str) -> None:
        self._attempts.labels(result).inc()

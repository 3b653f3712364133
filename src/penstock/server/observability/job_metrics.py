"""Prometheus metrics of import jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.catalog import Catalog
from penstock.domain.jobs import ImportJob, JobState
from penstock.errors import PenstockError

# A small job takes a tenth of a second, a nightly load hours.
SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 28800.0)
QUEUED = (0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 28800.0)
_STEPS = ("planning", "staging", "split", "commit", "index")


class JobMetrics:
    """An :class:`penstock.imports.events.Observer` that updates Prometheus metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._steps = Histogram(
            "penstock_import_step_duration_seconds",
            "Duration of completed steps of import jobs.",
            ["step"],
            buckets=SECONDS,
            registry=registry,
        )
        self._queued = Histogram(
            "penstock_import_wait_seconds",
            "Time from a job's creation to its start.",
            buckets=QUEUED,
            registry=registry,
        )
        self._rows = Counter(
            "penstock_import_rows",
            "Rows: staged are read, validated and written; rejected are bad and left out; published are visible.",
            ["step"],
            registry=registry,
        )
        self._bytes = Counter(
            "penstock_import_bytes",
            "Bytes of import files, by the state of their rows.",
            ["step"],
            registry=registry,
        )
        self._retries = Counter(
            "penstock_import_retries",
            "Attempts that failed with a transient error and were repeated, by step and error code.",
            ["step", "code"],
            registry=registry,
        )
        self._lost = Counter(
            "penstock_import_interrupted",
            "Jobs that were stopped externally or taken over by another process while running in this one.",
            registry=registry,
        )
        for step in _STEPS:
            self._steps.labels(step)
        self._rows.labels("rejected")
        for step in ("staged", "published"):
            self._rows.labels(step)
            self._bytes.labels(step)

    def context(self) -> str | None:
        return None

    def claimed(self, job: ImportJob) -> None:
        # Later claims continue a job: after a retry, a restart, a commit call.
        if job.epoch == 1:
            self._queued.observe(max(0.0, (datetime.now(UTC) - job.created_at).total_seconds()))

    def moved(self, job: ImportJob) -> None:
        """Nothing: states are counted from the catalog, including those that other processes set."""

    def lost(self, job: ImportJob) -> None:
        self._lost.inc()

    def retrying(self, step: str, error: BaseException) -> None:
        self._retries.labels(step, error.code if isinstance(error, PenstockError) else "internal").inc()

    def staged(self, rows: int, size: int, rejected: int = 0) -> None:
        self._rows.labels("staged").inc(rows)
        self._rows.labels("rejected").inc(rejected)
        self._bytes.labels("staged").inc(size)

    def published(self, rows: int, size: int) -> None:
        self._rows.labels("published").inc(rows)
        self._bytes.labels("published").inc(size)

    @contextmanager
    def step(self, name: str, facts: Mapping[str, str | int], within: str | None = None) -> Iterator[None]:
        if name not in _STEPS:
            yield
            return
        started = time.perf_counter()
        yield
        self._steps.labels(name).observe(time.perf_counter() - started)


class CatalogMetrics(Collector):
    """``penstock_import_jobs{state=…}``: number of jobs per state in the catalog, read at each scrape."""

    def __init__(self, catalog: Catalog, cluster_id: str) -> None:
        self._catalog = catalog
        self._cluster_id = cluster_id

    def describe(self) -> Iterator[Metric]:
        """Give the registry the name without a query of the catalog."""
        yield _jobs()

    def collect(self) -> Iterator[Metric]:
        family = _jobs()
        counts = self._catalog.jobs.count_by_state(self._cluster_id)
        for state in JobState:
            family.add_metric([state.value], counts.get(state, 0))
        yield family


def _jobs() -> GaugeMetricFamily:
    return GaugeMetricFamily("penstock_import_jobs", "Import jobs by state.", labels=["state"])


class ProcessMetrics(Collector):
    """Running jobs and worker restarts of this process, read at each scrape."""

    def __init__(self, running: Callable[[], int], restarts: Callable[[], int]) -> None:
        self._running = running
        self._restarts = restarts

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "penstock_import_running_jobs", "Import jobs running in this process.", value=self._running()
        )
        yield CounterMetricFamily(
            "penstock_worker_restarts",
            "Restarts of the worker processes after one of them had died.",
            value=self._restarts(),
        )

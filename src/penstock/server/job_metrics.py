"""What the server counts about import jobs: read from the catalog's counters when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.catalog import Catalog
from penstock.domain.jobs import JobState

__all__ = ["JobMetrics"]


class JobMetrics(Collector):
    """``penstock_import_jobs{state=…}``: how many jobs the catalog knows in each state."""

    def __init__(self, catalog: Catalog, cluster_id: str) -> None:
        self._catalog = catalog
        self._cluster_id = cluster_id

    def describe(self) -> Iterator[Metric]:
        """Lets the registry learn the name without asking the catalog."""
        yield _family()

    def collect(self) -> Iterator[Metric]:
        family = _family()
        counts = self._catalog.jobs.count_by_state(self._cluster_id)
        for state in JobState:
            family.add_metric([state.value], counts.get(state, 0))
        yield family


def _family() -> GaugeMetricFamily:
    return GaugeMetricFamily("penstock_import_jobs", "Import jobs by state.", labels=["state"])

"""The dialects' interface to clusters."""

from __future__ import annotations

from typing import Protocol

from penstock.domain.collections import Cluster

__all__ = ["Clusters"]


class Clusters(Protocol):
    def get(self, cluster_id: str) -> Cluster:
        """Raises ClusterNotFound."""
        ...

"""Run tasks on many hosts: a Ray cluster, which Penstock joins as one of its drivers.

:class:`RayRunner` runs in the server. It communicates with a separate process (``driver``), the only one here that
imports Ray: Ray ends a driver that loses its cluster, and takes over its signals. The server then loses only that
process and the tasks in flight. In the cluster, ``worker`` runs the tasks.
"""

from __future__ import annotations

from penstock.runners.ray.runner import RayRunner

__all__ = ["RayRunner"]

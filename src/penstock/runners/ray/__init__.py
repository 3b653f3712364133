"""The runner of many hosts: a Ray cluster, which Penstock joins as one of its drivers.

:class:`RayRunner` lives in the server. It talks to a process of its own (``driver``), the only one here that knows
Ray: Ray ends a driver that loses its cluster, and takes over its signals. What a server loses then is that process
and the tasks in flight, never itself. In the cluster, ``worker`` runs the tasks.
"""

from __future__ import annotations

from penstock.runners.ray.runner import RayRunner

__all__ = ["RayRunner"]

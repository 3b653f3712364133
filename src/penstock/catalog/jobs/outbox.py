"""The outbox of webhooks: deliveries are stored in the transaction of the transition that they report.

Whether a cluster has webhooks is cached for a second, so that a transition without webhooks costs nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, insert, or_, select

from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase, now_millis
from penstock.domain.ids import new_id
from penstock.domain.jobs import ImportJob

_FRESH_SECONDS = 1.0
"""Until a webhook that another process has created takes effect here."""


class WebhookOutbox:
    """Store deliveries for the webhooks that a transition concerns. Thread-safe."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._clusters: frozenset[str] = frozenset()
        self._fresh_until = float("-inf")
        self.on_added: Callable[[], None] = lambda: None
        """Called after the commit of a transition with deliveries."""

    def forget_cached(self) -> None:
        """Read again which clusters have webhooks, after one was created."""
        with self._lock:
            self._fresh_until = float("-inf")

    def add(self, connection: Connection, job: ImportJob, columns: Mapping[str, Any]) -> None:
        """Store a delivery per webhook that wants to know of the state of ``job``; ``columns`` are kept with it."""
        if job.cluster_id not in self._clusters_with_webhooks(connection):
            return
        webhook, event = tables.webhook.c, job.state.value.lower()
        rows = connection.execute(
            select(webhook.id, webhook.events).where(
                webhook.cluster_id == job.cluster_id,
                or_(webhook.database.is_(None), webhook.database == job.database),
                or_(webhook.collection.is_(None), webhook.collection == job.collection),
            )
        ).all()
        now = now_millis()
        deliveries = [
            {
                "id": new_id(),
                "webhook_id": row.id,
                "job_id": job.id,
                "event": event,
                "job": dict(columns),
                "created_at": now,
                "due_at": now,
            }
            for row in rows
            if event in row.events
        ]
        if deliveries:
            connection.execute(insert(tables.webhook_delivery), deliveries)
            self._database.after_commit(connection, self.on_added)

    def _clusters_with_webhooks(self, connection: Connection) -> frozenset[str]:
        with self._lock:
            if time.monotonic() >= self._fresh_until:
                found = connection.execute(select(tables.webhook.c.cluster_id).distinct()).scalars()
                self._clusters = frozenset(found)
                self._fresh_until = time.monotonic() + _FRESH_SECONDS
            return self._clusters

"""Create, list, delete and test webhooks, and list their deliveries: for admins of what a webhook covers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from penstock.catalog import Catalog
from penstock.domain.access import Caller, Role
from penstock.domain.collections import Cluster
from penstock.domain.webhooks import DEFAULT_EVENTS, EVENTS, Delivery, Webhook, key_of, new_secret
from penstock.errors import InvalidParameter, WebhookNotFound
from penstock.webhooks.messages import Outcome, check_url, encode_message, send_message

MAX_WEBHOOKS = 20
"""Webhooks of a cluster."""
MAX_DELIVERIES = 1000
"""Deliveries that one call lists, and that are kept of a webhook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateWebhook:
    """A webhook to create. ``secret`` None: the server makes one. Empty ``events``: :data:`DEFAULT_EVENTS`."""

    url: str
    events: Sequence[str] = ()
    database: str | None = None
    collection: str | None = None
    secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """The outcome of a test message, and how long it took in seconds."""

    outcome: Outcome
    seconds: float


class WebhookService:
    """The calls of webhooks. ``networks`` are the private networks that may be called, comma-separated."""

    def __init__(self, catalog: Catalog, networks: str) -> None:
        self._catalog = catalog
        self._networks = networks

    def create(self, cluster: Cluster, request: CreateWebhook, caller: Caller) -> tuple[Webhook, str]:
        """Create a webhook; returns it with its secret, which is never shown again.

        Raises:
            PermissionDenied: the caller is not an admin of the database, or of the cluster if none is named.
            InvalidParameter: an unknown event, a malformed secret, or an address that may not be called.
            DatabaseNotFound, CollectionNotFound, LimitExceeded.
        """
        caller.require(Role.ADMIN, cluster, request.database)
        unknown = [event for event in request.events if event not in EVENTS]
        if unknown:
            raise InvalidParameter(
                f"no webhook event has the name {unknown[0][:100]}; events are {', '.join(EVENTS)}", key="events"
            )
        if request.secret is not None:
            _check_secret(request.secret)
        if request.collection is not None and request.database is None:
            raise InvalidParameter(
                "collectionName needs a dbName: names of collections are of a database", key="dbName"
            )
        if request.database is not None:
            database = self._catalog.databases.get(cluster.id, request.database)
            if request.collection is not None:
                self._catalog.collections.get(database, request.collection)
        check_url(request.url, self._networks)
        webhook = Webhook(
            id=f"wh_{secrets.token_hex(8)}",
            cluster_id=cluster.id,
            url=request.url,
            events=tuple(event for event in EVENTS if event in (request.events or DEFAULT_EVENTS)),
            database=request.database,
            collection=request.collection,
            created_at=datetime.now(UTC),
        )
        secret = request.secret or new_secret()
        self._catalog.webhooks.create(webhook, secret, MAX_WEBHOOKS)
        return webhook, secret

    def list(self, cluster: Cluster, caller: Caller) -> Sequence[Webhook]:
        """The webhooks whose scope the caller administers. Raises PermissionDenied: it administers nothing there."""
        if not caller.databases(Role.ADMIN, cluster) and not caller.may(Role.ADMIN, cluster):
            caller.require(Role.ADMIN, cluster)
        return [
            webhook
            for webhook in self._catalog.webhooks.list(cluster.id)
            if caller.may(Role.ADMIN, cluster, webhook.database)
        ]

    def delete(self, cluster: Cluster, webhook_id: str, caller: Caller) -> None:
        """Delete a webhook and its deliveries. Raises WebhookNotFound."""
        self._catalog.webhooks.delete(self._get(cluster, webhook_id, caller).id)

    def deliveries(self, cluster: Cluster, webhook_id: str, limit: int, caller: Caller) -> Sequence[Delivery]:
        """The newest deliveries, newest first. Raises WebhookNotFound, InvalidParameter."""
        if not 1 <= limit <= MAX_DELIVERIES:
            raise InvalidParameter(f"limit must be 1 to {MAX_DELIVERIES}, not {limit}", key="limit")
        webhook = self._get(cluster, webhook_id, caller)
        return self._catalog.webhooks.deliveries(webhook.id, limit)

    def test(self, cluster: Cluster, webhook_id: str, caller: Caller) -> TestResult:
        """Send a message of the type ``test`` now, once. Raises WebhookNotFound."""
        webhook = self._get(cluster, webhook_id, caller)
        body = encode_message("test", datetime.now(UTC).isoformat(), {"webhookId": webhook.id})
        secret = self._catalog.webhooks.secret(webhook.id)
        began = time.monotonic()
        outcome = send_message(webhook.url, secret, f"msg_test_{secrets.token_hex(8)}", body, self._networks)
        return TestResult(outcome=outcome, seconds=time.monotonic() - began)

    def _get(self, cluster: Cluster, webhook_id: str, caller: Caller) -> Webhook:
        """Raises WebhookNotFound, also for a webhook that the caller doesn't administer."""
        webhook = self._catalog.webhooks.get(cluster.id, webhook_id)
        if not caller.may(Role.ADMIN, cluster, webhook.database):
            raise WebhookNotFound(
                f"webhook {webhook_id} does not exist. The list of webhooks has the ids",
                webhook_id=webhook_id,
                hidden=True,
            )
        return webhook


def _check_secret(secret: str) -> None:
    try:
        key_of(secret)
    except ValueError as error:
        raise InvalidParameter(
            "the webhook's secret must be whsec_ and 24 to 64 bytes in Base64. Leave it out to have one made",
            key="secret",
        ) from error

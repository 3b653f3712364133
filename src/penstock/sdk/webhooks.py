"""``client.webhooks``: addresses that are sent the state changes of import jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from penstock.sdk.connection import Connection

__all__ = ["Delivery", "NewWebhook", "TestResult", "Webhook", "Webhooks"]

_PATH = "/jobs/import/webhooks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A webhook. ``database`` None: it gets the events of the whole cluster; ``collection`` None: of the database."""

    id: str
    url: str
    events: tuple[str, ...]
    database: str | None = None
    collection: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWebhook:
    """The id of a new webhook, and the secret that signs its messages, which is not shown again."""

    id: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An event sent to a webhook: ``state`` is ``pending``, ``delivered`` or ``failed``.

    ``status`` (HTTP) and ``error`` are of the last attempt; ``next_attempt_at`` is None once it has ended.
    """

    id: str
    job_id: str
    event: str
    state: str
    attempts: int
    status: int | None = None
    error: str | None = None
    created_at: datetime | None = None
    next_attempt_at: datetime | None = None
    completed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """The outcome of a test message: the receiver's HTTP status, and the error unless it was 2xx."""

    __test__ = False  # for pytest

    status: int | None
    error: str | None
    milliseconds: int

    @property
    def has_succeeded(self) -> bool:
        return self.error is None


class Webhooks:
    """Webhooks of one server; only Penstock has them. Calls require the role admin."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self,
        url: str,
        *,
        events: Sequence[str] = (),
        database: str | None = None,
        collection: str | None = None,
        secret: str = "",
    ) -> NewWebhook:
        """Create a webhook; the answer has its secret, which verifies the signatures of its messages.

        Args:
            events: states of jobs, such as ``"completed"``; by default completed, failed, aborted and uncommitted.
            database: only jobs of this database, which is not the client's unless it is named.
            collection: only jobs into this collection of the database.
            secret: ``whsec_`` and 24 to 64 bytes in Base64; by default the server makes one.
        """
        body = {
            "url": url,
            "events": list(events),
            "dbName": database,
            "collectionName": collection,
            "secret": secret,
        }
        path = f"{_PATH}/create"
        # Sent once: a second call would create a second webhook.
        answer = self._connection.post(
            path,
            {**self._connection.scope, **{name: value for name, value in body.items() if value}},
            repeatable=False,
            secrets=(secret,),
        )
        return self._connection.parse_response(
            path,
            answer,
            lambda reply: NewWebhook(id=str(reply["data"]["webhookId"]), secret=str(reply["data"]["secret"])),
        )

    def list(self) -> Sequence[Webhook]:
        """The webhooks that the caller administers, oldest first."""
        return self._connection.read(
            f"{_PATH}/list", self._connection.scope, lambda data: [_webhook(item) for item in data]
        )

    def delete(self, webhook_id: str) -> None:
        """Delete a webhook and its deliveries."""
        self._connection.post(f"{_PATH}/delete", self._body(webhook_id), repeatable=False)

    def deliveries(self, webhook_id: str, *, limit: int = 100) -> Sequence[Delivery]:
        """The newest deliveries (at most 1,000) of a webhook, newest first."""
        body = {**self._body(webhook_id), "limit": limit}
        return self._connection.read(f"{_PATH}/deliveries", body, lambda data: [_delivery(item) for item in data])

    def test(self, webhook_id: str) -> TestResult:
        """Send a message of the type ``test`` now, once."""
        return self._connection.read(
            f"{_PATH}/test",
            self._body(webhook_id),
            lambda data: TestResult(
                status=data.get("status"), error=data.get("error"), milliseconds=int(data["milliseconds"])
            ),
        )

    def _body(self, webhook_id: str) -> dict[str, Any]:
        return {**self._connection.scope, "webhookId": webhook_id}


def _webhook(data: Mapping[str, Any]) -> Webhook:
    return Webhook(
        id=str(data["webhookId"]),
        url=str(data["url"]),
        events=tuple(data["events"]),
        database=data.get("dbName"),
        collection=data.get("collectionName"),
        created_at=_time(data, "createTime"),
    )


def _delivery(data: Mapping[str, Any]) -> Delivery:
    return Delivery(
        id=str(data["deliveryId"]),
        job_id=str(data["jobId"]),
        event=str(data["event"]),
        state=str(data["state"]),
        attempts=int(data["attempts"]),
        status=data.get("status"),
        error=data.get("error"),
        created_at=_time(data, "createTime"),
        next_attempt_at=_time(data, "nextAttemptTime"),
        completed_at=_time(data, "completeTime"),
    )


def _time(data: Mapping[str, Any], key: str) -> datetime | None:
    value = data.get(key)
    return datetime.fromisoformat(value) if value else None

"""Webhooks: addresses that are sent the state changes of import jobs, and their deliveries."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from penstock.domain.jobs import JobState

EVENTS = tuple(state.value.lower() for state in JobState)
"""An event is a transition into a state, by the state's name; a job becomes pending by a retry only."""
DEFAULT_EVENTS = tuple(
    state.value.lower() for state in (JobState.UNCOMMITTED, JobState.COMPLETED, JobState.FAILED, JobState.ABORTED)
)

SECRET_PREFIX = "whsec_"  # noqa: S105 # nosec B105
_SECRET_BYTES = range(24, 65)
"""Lengths of keys that the convention allows."""


def new_secret() -> str:
    """Generate a secret: the prefix, and a key of 32 bytes in Base64."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """The HMAC key of a secret. Raises ValueError: not of the form that :func:`new_secret` has."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("not Base64") from error
    if not secret.startswith(SECRET_PREFIX) or len(key) not in _SECRET_BYTES:
        raise ValueError("not of the right form")
    return key


def signed_headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks: the message's id, Unix time, and the HMAC-SHA256 of both and the body."""
    content = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    signature = base64.b64encode(hmac.digest(key_of(secret), content, "sha256")).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A receiver of the events of a cluster's jobs: those of one database, or of one collection in it, or all."""

    id: str
    cluster_id: str
    url: str
    events: Sequence[str]
    database: str | None = None
    collection: str | None = None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An event that is sent to a webhook. ``status`` (HTTP) and ``error`` are of the last attempt.

    ``due_at`` is when the next attempt is made; None once it was delivered or given up, at ``finished_at``.
    """

    id: int
    webhook_id: str
    job_id: int
    event: str
    created_at: datetime
    attempts: int
    due_at: datetime | None = None
    finished_at: datetime | None = None
    status: int | None = None
    error: str | None = None

    @property
    def state(self) -> str:
        """``pending``, ``delivered`` or ``failed``."""
        if self.finished_at is None:
            return "pending"
        return "failed" if self.error else "delivered"

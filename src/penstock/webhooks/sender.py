"""Send the deliveries of the outbox: at least once, with retries, by whichever server claims them.

Each delivery has at most :data:`ATTEMPTS` attempts, the last one about nine hours after the first. At a time at most
one message is sent to a webhook, and :data:`_THREADS_PER_ORG` to those of an org, so that slow receivers delay only
their own.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog

from penstock.catalog import Catalog
from penstock.catalog.db.connection import now_millis
from penstock.catalog.jobs.webhooks import Attempt
from penstock.domain.jobs import ImportJob
from penstock.errors import CatalogError, CatalogUnavailable
from penstock.webhooks.messages import Outcome, encode_message, send_message
from penstock.webhooks.service import MAX_DELIVERIES

log = structlog.get_logger(__name__)

PAUSES = (5, 30, 120, 600, 1800, 7200, 21600)
"""Seconds between an attempt and the next."""
ATTEMPTS = len(PAUSES) + 1
LEASE_MILLIS = 150_000
"""Longer than an attempt takes: an attempt whose process died is repeated after it."""

_POLL_SECONDS = 1.0
_THREADS = 8
_THREADS_PER_ORG = 2
_CLEANUP_SECONDS = 600.0


class DeliveryObserver(Protocol):
    """Observes attempts, for metrics."""

    def attempted(self, result: str) -> None:
        """An attempt has ended: ``delivered``, ``retried`` or ``failed``."""
        ...


class WebhookSender:
    """Claims due deliveries on wake-ups and sends each in a thread.

    ``render`` makes the data of a message of a job; ``retention`` is how long the log of deliveries is kept, in
    seconds; ``networks`` as in :class:`penstock.webhooks.service.WebhookService`.
    """

    def __init__(
        self,
        catalog: Catalog,
        render: Callable[[ImportJob], Mapping[str, Any]],
        observer: DeliveryObserver,
        *,
        networks: str,
        retention: float,
    ) -> None:
        self._catalog = catalog
        self._render = render
        self._observer = observer
        self._networks = networks
        self._retention = retention
        self._lock = threading.Lock()
        self._sending: dict[str, str] = {}
        """The webhooks that are being sent to, with their orgs."""
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._loop = threading.Thread(target=self._work, name="webhooks", daemon=True)

    def start(self) -> None:
        self._catalog.webhooks.outbox.on_added = self._wake.set
        self._loop.start()

    def stop(self) -> None:
        """Begin no further attempts. Those that have begun are not waited for: the receiver may take a minute."""
        self._stop.set()
        self._wake.set()
        if self._loop.ident is not None:
            self._loop.join()

    def _work(self) -> None:
        next_cleanup = time.monotonic()
        while not self._stop.is_set():
            self._wake.clear()
            try:
                while not self._stop.is_set() and self._begin_next():
                    pass
                # By the clock: each transition with deliveries wakes this loop, and a cleanup ranks all of them.
                if time.monotonic() >= next_cleanup:
                    self._clean_up()
                    next_cleanup = time.monotonic() + _CLEANUP_SECONDS
            except CatalogUnavailable as error:
                log.warning("catalog.unavailable", component="webhooks", error=str(error))
            except Exception:
                log.exception("webhooks.error")
            self._wake.wait(_POLL_SECONDS)

    def _begin_next(self) -> bool:
        """Claim a delivery and begin to send it; False if none is due, or none may begin now."""
        with self._lock:
            if len(self._sending) >= _THREADS:
                return False
            busy = set(self._sending)
            orgs = Counter(self._sending.values())
        full = {org for org, number in orgs.items() if number >= _THREADS_PER_ORG}
        try:
            attempt = self._catalog.webhooks.claim(LEASE_MILLIS, busy, full)
        except CatalogError as error:
            if "webhook_id" not in error.details:
                raise
            # Only that delivery has failed: those of other webhooks don't wait for the next poll.
            log.warning("webhook.failed", webhook_id=error.details["webhook_id"], error=str(error))
            self._observer.attempted("failed")
            return True
        if attempt is None:
            return False
        thread = threading.Thread(target=self._send, args=(attempt,), name="webhook", daemon=True)
        with self._lock:
            self._sending[attempt.webhook.id] = attempt.org_id
        try:
            thread.start()
        except RuntimeError:  # the system is out of threads: the delivery is repeated after its lease
            self._forget(attempt)
            raise
        return True

    def _send(self, attempt: Attempt) -> None:
        try:
            self._finish(attempt, self._outcome_of(attempt))
        except CatalogUnavailable as error:  # the delivery is repeated after its lease
            log.warning("catalog.unavailable", component="webhooks", error=str(error))
        except Exception:
            log.exception("webhook.error", webhook_id=attempt.webhook.id)
        finally:
            self._forget(attempt)
            self._wake.set()

    def _outcome_of(self, attempt: Attempt) -> Outcome:
        """Send the message of an attempt.

        Whatever fails is an outcome: without one the delivery would be repeated for ever, after each of its leases.
        """
        delivery, webhook = attempt.delivery, attempt.webhook
        try:
            body = encode_message(
                f"import.{delivery.event}", delivery.created_at.isoformat(), self._render(attempt.job)
            )
            return send_message(webhook.url, attempt.secret, f"msg_{delivery.id}", body, self._networks)
        except Exception:
            log.exception("webhook.error", webhook_id=webhook.id, job_id=str(delivery.job_id))
            return Outcome(error="internal error: the message was not made or sent; the server's log has the cause")

    def _forget(self, attempt: Attempt) -> None:
        with self._lock:
            del self._sending[attempt.webhook.id]

    def _finish(self, attempt: Attempt, outcome: Outcome) -> None:
        delivery = attempt.delivery
        has_ended = outcome.is_final or delivery.attempts >= ATTEMPTS
        pause = None if has_ended else PAUSES[delivery.attempts - 1] * random.uniform(0.9, 1.1)  # nosec B311
        again_after = None if pause is None else int(pause * 1000)
        self._catalog.webhooks.finish(delivery, status=outcome.status, error=outcome.error, again_after=again_after)
        result = "delivered" if outcome.error is None else "failed" if has_ended else "retried"
        self._observer.attempted(result)
        write = log.info if outcome.error is None else log.warning
        write(
            f"webhook.{result}",
            webhook_id=attempt.webhook.id,
            job_id=str(delivery.job_id),
            event_name=delivery.event,
            attempts=delivery.attempts,
            status=outcome.status,
            error=outcome.error,
        )

    def _clean_up(self) -> None:
        before = now_millis() - int(self._retention * 1000)
        while not self._stop.is_set() and self._catalog.webhooks.forget(before, MAX_DELIVERIES):
            pass

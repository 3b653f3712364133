"""Webhooks and their deliveries: create, list, delete; claim due deliveries and store the outcomes of attempts.

A claim raises the attempts of a delivery and moves its due time behind the claim's lease: a process that dies during
an attempt leaves the delivery due again, and a late outcome of it is ignored. Until the outcome is stored, no process
claims another delivery of the same webhook: several servers would send a job's states in another order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, exists, func, insert, or_, select, update

from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase, database_clock, from_millis, now_millis
from penstock.catalog.db.encryption import Encryptor
from penstock.catalog.jobs.outbox import WebhookOutbox
from penstock.catalog.jobs.rows import job_from_json
from penstock.domain.jobs import ImportJob
from penstock.domain.webhooks import Delivery, Webhook
from penstock.errors import CatalogError, LimitExceeded, WebhookNotFound, shorten

_BATCH = 500
_OTHER_KEY = (
    "the secret of this webhook was encrypted with a different key. Restore the server's key file, or delete the "
    "webhook and create it again"
)
_delivery = tables.webhook_delivery.c
_other = tables.webhook_delivery.alias()

# A claim deletes the error of the attempt before, and each failure stores one.
_IS_SENT = and_(_delivery.attempts > 0, _delivery.due_at.is_not(None), _delivery.error.is_(None))


def _webhook_is_free(now: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether no delivery of the same webhook is being sent."""
    is_sent = and_(_other.c.attempts > 0, _other.c.due_at > now, _other.c.error.is_(None))
    return ~exists(
        select(_other.c.id)
        .where(_other.c.webhook_id == _delivery.webhook_id, is_sent)
        .correlate(tables.webhook_delivery)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A claimed delivery, with what sending it takes."""

    delivery: Delivery
    webhook: Webhook
    secret: str
    org_id: str
    job: ImportJob


class WebhookRepository:
    """The webhooks of all clusters, and their deliveries."""

    def __init__(self, database: CatalogDatabase, encryptor: Encryptor, outbox: WebhookOutbox) -> None:
        self._database = database
        self._encryptor = encryptor
        self.outbox = outbox

    def create(self, webhook: Webhook, secret: str, limit: int) -> None:
        """Store a webhook. Raises LimitExceeded: its cluster has ``limit`` webhooks."""
        table = tables.webhook
        with self._database.write() as connection:
            cluster = tables.cluster.c.id  # locked: of two calls at the limit one waits for the other
            connection.execute(select(cluster).where(cluster == webhook.cluster_id).with_for_update())
            count = select(func.count()).where(table.c.cluster_id == webhook.cluster_id)
            if connection.execute(count).scalar_one() >= limit:
                raise LimitExceeded(
                    f"the cluster {webhook.cluster_id} has {limit} webhooks, the maximum. Delete one first",
                    limit=limit,
                )
            connection.execute(
                insert(table).values(
                    id=webhook.id,
                    cluster_id=webhook.cluster_id,
                    database=webhook.database,
                    collection=webhook.collection,
                    url=webhook.url,
                    events=list(webhook.events),
                    sealed_secret=self._encryptor.encrypt({"secret": secret}),
                    created_at=now_millis(),
                )
            )
        self.outbox.forget_cached()

    def list(self, cluster_id: str) -> Sequence[Webhook]:
        """The webhooks of a cluster, oldest first."""
        webhook = tables.webhook.c
        with self._database.read() as connection:
            rows = connection.execute(
                select(tables.webhook)
                .where(webhook.cluster_id == cluster_id)
                .order_by(webhook.created_at, webhook.id)
            ).all()
        return [_webhook_of(row) for row in rows]

    def get(self, cluster_id: str, webhook_id: str) -> Webhook:
        """Raises WebhookNotFound, also for a webhook of another cluster."""
        webhook = tables.webhook.c
        with self._database.read() as connection:
            row = connection.execute(
                select(tables.webhook).where(webhook.id == webhook_id, webhook.cluster_id == cluster_id)
            ).one_or_none()
        if row is None:
            raise WebhookNotFound(
                f"webhook {shorten(webhook_id)} does not exist. The list of webhooks has the ids",
                webhook_id=webhook_id,
            )
        return _webhook_of(row)

    def secret(self, webhook_id: str) -> str:
        """Raises CatalogError: it was encrypted with another key."""
        with self._database.read() as connection:
            sealed = connection.execute(
                select(tables.webhook.c.sealed_secret).where(tables.webhook.c.id == webhook_id)
            ).scalar_one()
        return self._decrypted(webhook_id, sealed)

    def _decrypted(self, webhook_id: str, sealed: bytes) -> str:
        """Raises CatalogError, which names the webhook: it was encrypted with another key."""
        try:
            return self._encryptor.decrypt(sealed)["secret"]
        except CatalogError as error:
            raise CatalogError(f"webhook {webhook_id}: {_OTHER_KEY}", webhook_id=webhook_id) from error

    def delete(self, webhook_id: str) -> None:
        """Delete a webhook with its deliveries; an attempt that has begun goes on."""
        with self._database.write() as connection:
            # First the webhook, which a claim locks first, too.
            connection.execute(delete(tables.webhook).where(tables.webhook.c.id == webhook_id))
            connection.execute(delete(tables.webhook_delivery).where(_delivery.webhook_id == webhook_id))
        self._database.mark_secrets_deleted()
        self.outbox.forget_cached()

    def deliveries(self, webhook_id: str, limit: int) -> Sequence[Delivery]:
        """The newest deliveries of a webhook, newest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(tables.webhook_delivery)
                .where(_delivery.webhook_id == webhook_id)
                .order_by(_delivery.id.desc())
                .limit(limit)
            ).all()
        return [_delivery_of(row) for row in rows]

    def claim(self, lease_millis: int, busy: Collection[str] = (), busy_orgs: Collection[str] = ()) -> Attempt | None:
        """Claim the delivery that has been due longest, not of a busy webhook or org; None if none is due.

        A webhook that any process sends to is busy, too.

        Raises:
            CatalogError: with ``webhook_id``: its secret was encrypted with another key, and the delivery has failed.
        """
        while (webhook_id := self._next_webhook(busy, busy_orgs)) is not None:
            if (attempt := self._claim_of(webhook_id, lease_millis)) is not None:
                return attempt
        return None

    def _next_webhook(self, busy: Collection[str], busy_orgs: Collection[str]) -> str | None:
        """The webhook of the delivery to claim; usually there is none, which takes no lock."""
        where = [_delivery.due_at.is_not(None), _delivery.webhook_id.not_in(sorted(busy))]
        if busy_orgs:
            clusters = select(tables.cluster.c.id).where(tables.cluster.c.org_id.in_(sorted(busy_orgs)))
            webhooks = select(tables.webhook.c.id).where(tables.webhook.c.cluster_id.in_(clusters))
            where.append(_delivery.webhook_id.not_in(webhooks))
        with self._database.read() as connection:
            now = database_clock(connection)
            webhook_id: str | None = connection.execute(
                select(_delivery.webhook_id)
                .where(*where, _delivery.due_at <= now, _webhook_is_free(now))
                .order_by(_delivery.due_at, _delivery.id)
                .limit(1)
            ).scalar_one_or_none()
        return webhook_id

    def _claim_of(self, webhook_id: str, lease_millis: int) -> Attempt | None:
        """Claim the first due delivery of a webhook; None if another process was faster, or it was deleted."""
        with self._database.write() as connection:
            webhook = connection.execute(
                select(tables.webhook, tables.cluster.c.org_id)
                .join(tables.cluster, tables.cluster.c.id == tables.webhook.c.cluster_id)
                .where(tables.webhook.c.id == webhook_id)
                .with_for_update(of=tables.webhook)  # before the delivery is chosen, for the order of the deliveries
            ).one_or_none()
            if webhook is None:  # deleted just now, while a transition stored the delivery
                connection.execute(delete(tables.webhook_delivery).where(_delivery.webhook_id == webhook_id))
                return None
            now = database_clock(connection)
            delivery_id = connection.execute(
                select(_delivery.id)
                .where(_delivery.webhook_id == webhook_id, _delivery.due_at <= now, _webhook_is_free(now))
                .order_by(_delivery.due_at, _delivery.id)
                .limit(1)
            ).scalar_one_or_none()
            if delivery_id is None:
                return None
            claimed = connection.execute(
                update(tables.webhook_delivery)
                .where(_delivery.id == delivery_id)
                .values(attempts=_delivery.attempts + 1, due_at=now + lease_millis, status=None, error=None)
                .returning(tables.webhook_delivery)
            ).one()
        delivery = _delivery_of(claimed)
        try:
            secret = self._decrypted(webhook_id, webhook.sealed_secret)
        except CatalogError:
            self.finish(delivery, status=None, error=_OTHER_KEY)
            raise
        return Attempt(
            delivery=delivery,
            webhook=_webhook_of(webhook),
            secret=secret,
            org_id=webhook.org_id,
            job=job_from_json(claimed.job),
        )

    def release_all(self) -> None:
        """Make the deliveries due whose attempts were interrupted: at the start of a catalog's only process."""
        with self._database.write() as connection:
            connection.execute(update(tables.webhook_delivery).where(_IS_SENT).values(due_at=now_millis()))

    def finish(
        self, delivery: Delivery, *, status: int | None, error: str | None, again_after: int | None = None
    ) -> None:
        """Store the outcome of an attempt; with ``again_after``, in milliseconds, it is due again."""
        values: dict[str, Any] = {"status": status, "error": error}
        with self._database.write() as connection:
            now = database_clock(connection)
            ended = {"due_at": None, "finished_at": now}
            connection.execute(
                update(tables.webhook_delivery)
                .where(
                    _delivery.id == delivery.id,
                    _delivery.attempts == delivery.attempts,  # else the lease was lost to a later attempt
                    _delivery.due_at.is_not(None),
                )
                .values(**values, **(ended if again_after is None else {"due_at": now + again_after}))
            )

    def forget(self, finished_before: int, keep: int) -> int:
        """Delete a batch of finished deliveries: older ones, and those beyond the newest ``keep`` of a webhook."""
        with self._database.write() as connection:
            rank = func.row_number().over(partition_by=_delivery.webhook_id, order_by=_delivery.id.desc())
            ranked = select(_delivery.id, _delivery.finished_at, rank.label("rank")).subquery()
            surplus = (
                select(ranked.c.id)
                .where(
                    ranked.c.finished_at.is_not(None),
                    or_(ranked.c.finished_at < finished_before, ranked.c.rank > keep),
                )
                .limit(_BATCH)
            )
            ids = connection.execute(surplus).scalars().all()
            if ids:
                connection.execute(delete(tables.webhook_delivery).where(_delivery.id.in_(ids)))
        return len(ids)


def _webhook_of(row: Row[Any]) -> Webhook:
    return Webhook(
        id=row.id,
        cluster_id=row.cluster_id,
        url=row.url,
        events=tuple(row.events),
        database=row.database,
        collection=row.collection,
        created_at=from_millis(row.created_at),
    )


def _delivery_of(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        webhook_id=row.webhook_id,
        job_id=row.job_id,
        event=row.event,
        created_at=from_millis(row.created_at),
        attempts=row.attempts,
        due_at=None if row.due_at is None else from_millis(row.due_at),
        finished_at=None if row.finished_at is None else from_millis(row.finished_at),
        status=row.status,
        error=row.error,
    )

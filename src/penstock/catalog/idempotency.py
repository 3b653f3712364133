"""Which job a repeated create call gets: a key of the caller's, its fingerprint, and how long it is remembered."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from penstock.catalog import tables
from penstock.catalog.database import insert_or, now_millis
from penstock.errors import InvalidParameter

__all__ = ["RepeatedCreate", "forget_expired", "job_of_key", "remember"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedCreate:
    """A create call that may come again. ``fingerprint`` stands for the request; ``lifetime`` is in milliseconds."""

    key: str
    fingerprint: str
    lifetime: int


def job_of_key(connection: Connection, collection_id: str, wanted: RepeatedCreate) -> int | None:
    """The job that this key made in the collection, while it is remembered.

    Raises:
        InvalidParameter: it made it for another request.
    """
    column = tables.idempotency_key.c
    row = connection.execute(
        select(column.job_id, column.fingerprint).where(
            column.collection_id == collection_id, column.key == wanted.key, column.expires_at > now_millis()
        )
    ).one_or_none()
    if row is None:
        return None
    if row.fingerprint != wanted.fingerprint:
        raise InvalidParameter(
            f"the Idempotency-Key {wanted.key!r} belongs to job {row.job_id}, which was created by another request. "
            "Take a new key for a new import",
            job_id=row.job_id,
        )
    return int(row.job_id)


def remember(connection: Connection, collection_id: str, wanted: RepeatedCreate, job_id: int) -> bool:
    """Give the key to a job in the caller's transaction; False where another transaction was faster."""
    table = tables.idempotency_key
    now = now_millis()
    connection.execute(
        delete(table).where(
            table.c.collection_id == collection_id, table.c.key == wanted.key, table.c.expires_at <= now
        )
    )
    # Both dialects wait for a transaction that inserts the same key, and then leave its row alone.
    values = {
        "collection_id": collection_id,
        "key": wanted.key,
        "job_id": job_id,
        "fingerprint": wanted.fingerprint,
        "expires_at": now + wanted.lifetime,
    }
    stored = insert_or(connection, table).values(values).on_conflict_do_nothing().returning(table.c.key)
    return connection.execute(stored).one_or_none() is not None


def forget_expired(connection: Connection) -> int:
    """Delete the keys whose time is over; returns how many."""
    table = tables.idempotency_key
    return connection.execute(delete(table).where(table.c.expires_at <= now_millis())).rowcount

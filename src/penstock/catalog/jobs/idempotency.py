"""Which job a repeated create call gets: a key of the caller's, its fingerprint, and how long it is remembered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Result, Select, delete, select

from penstock.catalog.db import tables
from penstock.catalog.db.connection import now_millis, upsert_insert
from penstock.catalog.db.encryption import same_key_fingerprint
from penstock.errors import InvalidParameter, StoreError

__all__ = ["IdempotencyRecord", "forget_expired", "job_for_key", "reserve_key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyRecord:
    """A create call that may come again. ``fingerprint`` stands for the request; ``lifetime`` is in milliseconds."""

    key: str
    fingerprint: str
    lifetime: int


def job_for_key(connection: Connection, collection_id: str, wanted: IdempotencyRecord) -> int | None:
    """The job that this key made in the collection, while it is remembered.

    Raises:
        InvalidParameter: it made it for another request.
        StoreError: a server that seals with another key made it, so nobody can tell.
    """
    column = tables.idempotency_key.c
    return _same(connection.execute(_row(collection_id, wanted).where(column.expires_at > now_millis())), wanted)


def _row(collection_id: str, wanted: IdempotencyRecord) -> Select[Any]:
    column = tables.idempotency_key.c
    return select(column.job_id, column.fingerprint).where(
        column.collection_id == collection_id, column.key == wanted.key
    )


def _same(found: Result[Any], wanted: IdempotencyRecord) -> int | None:
    row = found.one_or_none()
    if row is None:
        return None
    if row.fingerprint == wanted.fingerprint:
        return int(row.job_id)
    if not same_key_fingerprint(row.fingerprint, wanted.fingerprint):
        raise StoreError(
            f"job {row.job_id} was created under the Idempotency-Key {wanted.key!r} by a server that seals with "
            "another key, so that nobody can tell whether this is the same request. Give all servers of a catalog "
            "the same --encryption-key-file",
            job_id=row.job_id,
        )
    raise InvalidParameter(
        f"the Idempotency-Key {wanted.key!r} belongs to job {row.job_id}, which was created by another request. "
        "Take a new key for a new import",
        job_id=row.job_id,
    )


def reserve_key(connection: Connection, collection_id: str, wanted: IdempotencyRecord, job_id: int) -> int:
    """Give the key to a job in the caller's transaction; returns the job that has it: maybe one that was faster.

    Raises:
        InvalidParameter, StoreError: as :func:`job_for_key`.
    """
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
    stored = (
        upsert_insert(connection.dialect.name, table).values(values).on_conflict_do_nothing().returning(table.c.key)
    )
    while connection.execute(stored).one_or_none() is None:
        # Not by the time of its end: it may come between the two statements, or by the clock of another server.
        if (found := _same(connection.execute(_row(collection_id, wanted)), wanted)) is not None:
            return found
    return job_id


def forget_expired(connection: Connection) -> int:
    """Delete the keys whose time is over; returns how many."""
    table = tables.idempotency_key
    return connection.execute(delete(table).where(table.c.expires_at <= now_millis())).rowcount

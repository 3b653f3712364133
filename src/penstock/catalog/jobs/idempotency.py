"""Idempotency keys: map a repeated create call to the job that the first one created, until the key expires."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Result, Select, delete, select

from penstock.catalog.db import tables
from penstock.catalog.db.connection import now_millis, upsert_insert
from penstock.catalog.db.encryption import same_key_fingerprint
from penstock.errors import CatalogError, InvalidParameter


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyRecord:
    """A create call with an idempotency key. ``fingerprint`` is the request's; ``lifetime`` is in milliseconds."""

    key: str
    fingerprint: str
    lifetime: int


def job_for_key(connection: Connection, collection_id: str, record: IdempotencyRecord) -> int | None:
    """Return the job that was created in the collection under this key, until the key expires.

    Raises:
        InvalidParameter: the job was created by another request.
        CatalogError: it was created by a server with another encryption key: the fingerprints can't be compared.
    """
    column = tables.idempotency_key.c
    query = _row(collection_id, record).where(column.expires_at > now_millis())
    return _job_of_same_request(connection.execute(query), record)


def _row(collection_id: str, record: IdempotencyRecord) -> Select[Any]:
    column = tables.idempotency_key.c
    return select(column.job_id, column.fingerprint).where(
        column.collection_id == collection_id, column.key == record.key
    )


def _job_of_same_request(result: Result[Any], record: IdempotencyRecord) -> int | None:
    row = result.one_or_none()
    if row is None:
        return None
    if row.fingerprint == record.fingerprint:
        return int(row.job_id)
    if not same_key_fingerprint(row.fingerprint, record.fingerprint):
        raise CatalogError(
            f"job {row.job_id} was created with the Idempotency-Key {record.key!r} by a server with another "
            "encryption key, so the requests cannot be compared. Use the same --encryption-key-file "
            "for all servers of a catalog",
            job_id=row.job_id,
        )
    raise InvalidParameter(
        f"the Idempotency-Key {record.key!r} belongs to job {row.job_id}, which was created by another request. "
        "Use a new key for a new import",
        job_id=row.job_id,
    )


def reserve_key(connection: Connection, collection_id: str, record: IdempotencyRecord, job_id: int) -> int:
    """Reserve the key for a job in the caller's transaction; returns the job that has it, maybe a concurrent one.

    Raises:
        InvalidParameter, CatalogError: as :func:`job_for_key`.
    """
    table = tables.idempotency_key
    now = now_millis()
    connection.execute(
        delete(table).where(
            table.c.collection_id == collection_id, table.c.key == record.key, table.c.expires_at <= now
        )
    )
    # Both databases wait for a transaction that inserts the same key, then DO NOTHING.
    values = {
        "collection_id": collection_id,
        "key": record.key,
        "job_id": job_id,
        "fingerprint": record.fingerprint,
        "expires_at": now + record.lifetime,
    }
    insertion = (
        upsert_insert(connection.dialect.name, table).values(values).on_conflict_do_nothing().returning(table.c.key)
    )
    while connection.execute(insertion).one_or_none() is None:
        # Without expires_at: the key may expire between the two statements, or by the clock of another server.
        existing = _job_of_same_request(connection.execute(_row(collection_id, record)), record)
        if existing is not None:
            return existing
    return job_id


def forget_expired(connection: Connection) -> int:
    """Delete expired keys; returns how many."""
    table = tables.idempotency_key
    return connection.execute(delete(table).where(table.c.expires_at <= now_millis())).rowcount

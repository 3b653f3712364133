"""Leases for the maintenance of collections' tables (indexes, compaction, removal), and which tables are due.

One lease per collection: several processes share the tables, and two builds of the same index would conflict. Due
times are in the catalog too, so that a server that doesn't maintain tables can request it from the others.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, literal, or_, select, update

from penstock.catalog.db.connection import CatalogDatabase, database_clock, upsert_insert
from penstock.catalog.db.tables import collection, maintenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """A lease on a collection. ``asked`` is the count of :meth:`MaintenanceLeases.request` calls that it serves."""

    collection_id: str
    owner: str
    asked: int


class MaintenanceLeases:
    """Request, acquire, renew and release maintenance of collections."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def request(self, collection_id: str) -> None:
        """Mark a collection as due: a process that maintains tables brings its indexes up to date soon."""
        with self._database.write() as connection:
            now = database_clock(connection)
            connection.execute(
                upsert_insert(connection.dialect.name, maintenance)
                .values(collection_id=collection_id, due_at=now, asked=1)
                .on_conflict_do_update(
                    index_elements=["collection_id"], set_={"due_at": now, "asked": maintenance.c.asked + 1}
                )
            )
            self._database.notify(connection)

    def request_all(self) -> None:
        """As :meth:`request`, for every collection: a stopped process may have left rows without an index."""
        with self._database.write() as connection:
            now = database_clock(connection)
            requests = select(collection.c.id, now, literal(1)).where(collection.c.dropped_at.is_(None))
            connection.execute(
                upsert_insert(connection.dialect.name, maintenance)
                .from_select(["collection_id", "due_at", "asked"], requests)
                .on_conflict_do_update(
                    index_elements=["collection_id"], set_={"due_at": now, "asked": maintenance.c.asked + 1}
                )
            )
            self._database.notify(connection)

    def take(self, collection_id: str, owner: str, lease_millis: int) -> Maintenance | None:
        """Acquire the lease on a collection; None if another process holds it."""
        with self._database.write() as connection:
            now = database_clock(connection)
            asked = connection.execute(
                upsert_insert(connection.dialect.name, maintenance)
                .values(collection_id=collection_id, owner=owner, lease_until=now + lease_millis, asked=0)
                .on_conflict_do_update(
                    index_elements=["collection_id"],
                    set_={"owner": owner, "lease_until": now + lease_millis},
                    where=or_(maintenance.c.lease_until.is_(None), maintenance.c.lease_until < now),
                )
                .returning(maintenance.c.asked)
            ).scalar_one_or_none()
        return None if asked is None else Maintenance(collection_id=collection_id, owner=owner, asked=asked)

    def acquire_due(self, owner: str, lease_millis: int) -> Maintenance | None:
        """Acquire the lease on the collection that has been due longest; None if none is due and free."""
        column = maintenance.c
        with self._database.write() as connection:
            now = database_clock(connection)
            row = connection.execute(
                select(column.collection_id, column.asked)
                .where(column.due_at <= now, or_(column.lease_until.is_(None), column.lease_until < now))
                .order_by(column.due_at)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).one_or_none()
            if row is None:
                return None
            connection.execute(
                update(maintenance)
                .where(column.collection_id == row.collection_id)
                .values(owner=owner, lease_until=now + lease_millis)
            )
        return Maintenance(collection_id=row.collection_id, owner=owner, asked=row.asked)

    def renew(self, lease: Maintenance, lease_millis: int) -> bool:
        """Renew the lease; False if another process has it by now."""
        with self._database.write() as connection:
            changed = connection.execute(
                update(maintenance)
                .where(*_is_owned(lease))
                .values(lease_until=database_clock(connection) + lease_millis)
            )
            return bool(changed.rowcount)

    def done(self, lease: Maintenance) -> None:
        """Release the lease with its work done; due no more, unless requested again since it was acquired."""
        column = maintenance.c
        with self._database.write() as connection:
            connection.execute(
                update(maintenance)
                .where(*_is_owned(lease))
                .values(
                    owner=None,
                    lease_until=None,
                    due_at=case((column.asked == lease.asked, None), else_=column.due_at),
                )
            )

    def release(self, lease: Maintenance, millis: int | None = None) -> None:
        """Release the lease with the work not done; with ``millis``, it is due again after that time."""
        with self._database.write() as connection:
            values = {} if millis is None else {"due_at": database_clock(connection) + millis}
            connection.execute(
                update(maintenance).where(*_is_owned(lease)).values(owner=None, lease_until=None, **values)
            )

    def is_locked(self, collection_id: str) -> bool:
        """Whether the collection is being maintained."""
        column = maintenance.c
        with self._database.read() as connection:
            lease = select(column.collection_id).where(
                column.collection_id == collection_id, column.lease_until > database_clock(connection)
            )
            return connection.execute(lease).first() is not None

    def release_all(self) -> None:
        """Void every lease: for a process that has just taken the exclusive lock on the data dir."""
        with self._database.write() as connection:
            connection.execute(
                update(maintenance).where(maintenance.c.owner.is_not(None)).values(owner=None, lease_until=None)
            )


def _is_owned(lease: Maintenance) -> tuple[ColumnElement[bool], ...]:
    return maintenance.c.collection_id == lease.collection_id, maintenance.c.owner == lease.owner

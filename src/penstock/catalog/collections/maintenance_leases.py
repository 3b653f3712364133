"""Who may maintain a collection's table (indexes, compaction, removal), and which ones are due.

One lease per collection: several processes share the tables, and two builds of the same index would fight. What is
due is kept here too, so that a server which doesn't maintain tables itself can ask the others to.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, literal, or_, select, update

from penstock.catalog.db.connection import CatalogDatabase, database_clock, upsert_insert
from penstock.catalog.db.tables import collection, maintenance

__all__ = ["Maintenance", "MaintenanceLeases"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """A lease on a collection. ``asked`` tells which calls of :meth:`MaintenanceLeases.request` it answers."""

    collection_id: str
    owner: str
    asked: int


class MaintenanceLeases:
    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def request(self, collection_id: str) -> None:
        """The collection's indexes are to be brought up to date some time soon, by whoever maintains tables."""
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
        """As :meth:`request`, for every collection: a process that stopped may have left rows without an index."""
        with self._database.write() as connection:
            now = database_clock(connection)
            there = select(collection.c.id, now, literal(1)).where(collection.c.dropped_at.is_(None))
            connection.execute(
                upsert_insert(connection.dialect.name, maintenance)
                .from_select(["collection_id", "due_at", "asked"], there)
                .on_conflict_do_update(
                    index_elements=["collection_id"], set_={"due_at": now, "asked": maintenance.c.asked + 1}
                )
            )
            self._database.notify(connection)

    def take(self, collection_id: str, owner: str, lease_millis: int) -> Maintenance | None:
        """The lease on a collection, unless somebody else holds it."""
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
        """The lease on the collection that is due for the longest time, if one is and nobody holds it."""
        column = maintenance.c
        with self._database.write() as connection:
            now = database_clock(connection)
            found = connection.execute(
                select(column.collection_id, column.asked)
                .where(column.due_at <= now, or_(column.lease_until.is_(None), column.lease_until < now))
                .order_by(column.due_at)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).one_or_none()
            if found is None:
                return None
            connection.execute(
                update(maintenance)
                .where(column.collection_id == found.collection_id)
                .values(owner=owner, lease_until=now + lease_millis)
            )
        return Maintenance(collection_id=found.collection_id, owner=owner, asked=found.asked)

    def renew(self, lease: Maintenance, lease_millis: int) -> bool:
        """Prolong the lease; False when somebody else has it by now."""
        with self._database.write() as connection:
            changed = connection.execute(
                update(maintenance).where(*_held(lease)).values(lease_until=database_clock(connection) + lease_millis)
            )
            return bool(changed.rowcount)

    def done(self, lease: Maintenance) -> None:
        """Give the lease back; what was asked before it was taken has been done."""
        column = maintenance.c
        with self._database.write() as connection:
            connection.execute(
                update(maintenance)
                .where(*_held(lease))
                .values(
                    owner=None,
                    lease_until=None,
                    due_at=case((column.asked == lease.asked, None), else_=column.due_at),
                )
            )

    def release(self, lease: Maintenance, millis: int | None = None) -> None:
        """Give the lease back with the work not done; with ``millis``, it is due again after so long."""
        with self._database.write() as connection:
            values = {} if millis is None else {"due_at": database_clock(connection) + millis}
            connection.execute(
                update(maintenance).where(*_held(lease)).values(owner=None, lease_until=None, **values)
            )

    def is_locked(self, collection_id: str) -> bool:
        """Whether somebody maintains the collection right now."""
        column = maintenance.c
        with self._database.read() as connection:
            held = select(column.collection_id).where(
                column.collection_id == collection_id, column.lease_until > database_clock(connection)
            )
            return connection.execute(held).first() is not None

    def release_all(self) -> None:
        """Void every lease: for a process that has just taken an exclusive lock on the data folder."""
        with self._database.write() as connection:
            connection.execute(
                update(maintenance).where(maintenance.c.owner.is_not(None)).values(owner=None, lease_until=None)
            )


def _held(lease: Maintenance) -> tuple[ColumnElement[bool], ...]:
    return maintenance.c.collection_id == lease.collection_id, maintenance.c.owner == lease.owner

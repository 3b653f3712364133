"""The audit log in the catalog: append and read; database triggers reject updates and deletes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Connection, Insert, Row, bindparam, insert, select, tuple_

from penstock.catalog.db import tables
from penstock.catalog.db.commit_hooks import write_at_commit
from penstock.catalog.db.connection import SERVER_CLOCK, CatalogDatabase, from_millis, now_millis, to_millis
from penstock.domain.audit import AuditEntry

_PAGE = 1000
_NAMES = [field.name for field in fields(AuditEntry) if field.name != "at"]


class AuditRepository:
    """Append to and read the audit log."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def add(self, entry: AuditEntry) -> None:
        """Store an entry durably before returning."""
        self._database.run_grouped(lambda connection: note(connection, entry))

    def newest(
        self,
        limit: int,
        offset: int = 0,
        *,
        until: datetime | None = None,
        org_id: str | None = None,
        cluster_id: str | None = None,
    ) -> Sequence[AuditEntry]:
        """At most ``limit`` entries after the first ``offset``, newest first; ``until`` keeps pages of them stable.

        With ``org_id``, only entries whose caller is of that org; with ``cluster_id``, only calls to that cluster.
        """
        audit = tables.audit.c
        query = select(tables.audit).order_by(audit.at.desc(), audit.id.desc()).limit(limit).offset(offset)
        if until is not None:
            query = query.where(audit.at < to_millis(until))
        if org_id is not None:
            query = query.where(audit.org_id == org_id)
        if cluster_id is not None:
            query = query.where(audit.cluster_id == cluster_id)
        with self._database.read() as connection:
            return [_entry(row) for row in connection.execute(query).all()]

    def read(
        self, since: datetime | None = None, until: datetime | None = None, org_id: str | None = None
    ) -> Iterator[AuditEntry]:
        """Iterate over entries from ``since`` (incl.) to ``until`` (excl.), oldest first, page by page.

        With ``org_id``, only entries whose caller is of that org.
        """
        audit = tables.audit.c
        query = select(tables.audit).order_by(audit.at, audit.id).limit(_PAGE)
        if since is not None:
            query = query.where(audit.at >= to_millis(since))
        if until is not None:
            query = query.where(audit.at < to_millis(until))
        if org_id is not None:
            query = query.where(audit.org_id == org_id)
        page = query
        while True:
            with self._database.read() as connection:
                rows = connection.execute(page).all()
            yield from map(_entry, rows)
            if len(rows) < _PAGE:
                return
            page = query.where(tuple_(audit.at, audit.id) > tuple_(rows[-1].at, rows[-1].id))


def note(connection: Connection, entry: AuditEntry) -> None:
    """Add an entry in the transaction that it describes."""
    values = {f"_{name}": getattr(entry, name) for name in _NAMES}
    write_at_commit(connection, _insert, [{**values, "_now": now_millis()}])


def _insert(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    connection.execute(_insertion(connection.dialect.name), rows)


# Cached: every create call needs it.
@lru_cache
def _insertion(dialect: str) -> Insert:
    at = SERVER_CLOCK if dialect == "postgresql" else bindparam("_now", type_=BigInteger)
    return insert(tables.audit).inline().values(at=at, **{name: bindparam(f"_{name}") for name in _NAMES})


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(at=from_millis(row.at), **{name: getattr(row, name) for name in _NAMES})

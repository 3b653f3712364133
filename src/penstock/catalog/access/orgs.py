"""Orgs in the catalog: the tenants, which own clusters, keys and users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, or_, select

from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase, now_millis, upsert_insert
from penstock.domain.collections import Org
from penstock.errors import OrgNotFound


class OrgRepository:
    """Create and look up orgs."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def ensure(self, name: str) -> Org:
        """Return the org of this name, and create it if it is missing."""
        with self._database.write() as connection:
            connection.execute(
                upsert_insert(connection.dialect.name, tables.org)
                .values(id=f"org-{name}", name=name, created_at=now_millis())
                .on_conflict_do_nothing()
            )
        return self.get(f"org-{name}")

    def get(self, name_or_id: str) -> Org:
        """Look up an org by id, else by name: one may have another's id as its name. Raises OrgNotFound."""
        org = tables.org.c
        with self._database.read() as connection:
            row = connection.execute(
                select(tables.org)
                .where(or_(org.id == name_or_id, org.name == name_or_id))
                .order_by((org.id == name_or_id).desc())
                .limit(1)
            ).one_or_none()
        if row is None:
            raise OrgNotFound(f"there is no org {name_or_id}", org=name_or_id)
        return _org(row)

    def list(self) -> Sequence[Org]:
        """All orgs, by name."""
        with self._database.read() as connection:
            return [_org(row) for row in connection.execute(select(tables.org).order_by(tables.org.c.name)).all()]


def _org(row: Row[Any]) -> Org:
    return Org(id=row.id, name=row.name)

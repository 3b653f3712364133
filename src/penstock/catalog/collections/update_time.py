"""The time of a collection's last change, by which clients cache its schema."""

from __future__ import annotations

from sqlalchemy import ColumnElement, case

from penstock.catalog.db.connection import now_millis
from penstock.catalog.db.tables import collection


def later_update() -> ColumnElement[int]:
    """Now, in milliseconds since 1970, or one more than stored: two changes never have the same time."""
    now, stored = now_millis(), collection.c.updated_at
    return case((stored < now, now), else_=stored + 1)

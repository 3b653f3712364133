"""the version of the read cache

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COUNTED = ("cluster", "database", "collection", "alias", "partition", "vector_index")
_CONDITIONS = {("collection", "update"): " WHEN new.next_auto_id IS old.next_auto_id"}
"""Jobs reserve ids all the time, which no cached value has. It is the only change that its statement makes."""

_BODY = "        BEGIN UPDATE read_cache_version SET number = number + 1; END"


def upgrade() -> None:
    op.create_table("read_cache_version", sa.Column("number", sa.BigInteger(), nullable=False))
    # Autogeneration does not know triggers. On PostgreSQL, where nothing is cached, they would queue up transactions.
    if op.get_bind().dialect.name != "sqlite":
        return
    op.execute("INSERT INTO read_cache_version VALUES (0)")
    for table in _COUNTED:
        for what in ("insert", "update", "delete"):
            event = f'{table}_read_cache_{what} AFTER {what} ON "{table}"{_CONDITIONS.get((table, what), "")}'
            op.execute(f"CREATE TRIGGER {event}\n{_BODY}")

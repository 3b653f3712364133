"""Aliases and changes of collections

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alias",
        sa.Column("database_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("collection_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["collection_id"], ["collection.id"], name=op.f("fk_alias_collection_id")),
        sa.ForeignKeyConstraint(["database_id"], ["database.id"], name=op.f("fk_alias_database_id")),
        sa.PrimaryKeyConstraint("database_id", "name", name=op.f("pk_alias")),
    )
    op.create_index("ix_alias_collection", "alias", ["collection_id"])
    op.add_column("collection", sa.Column("updated_at", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.execute("UPDATE collection SET updated_at = created_at")

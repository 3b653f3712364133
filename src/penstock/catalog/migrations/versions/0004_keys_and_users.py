"""Keys and users

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("roots", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("fk_account_org_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
    )
    with op.batch_alter_table("account", schema=None) as batch_op:
        for kind, column in (("key", "hash"), ("user", "name")):
            where = sa.text(f"kind = '{kind}'")
            batch_op.create_index(
                f"uq_account_{kind}", [column], unique=True, sqlite_where=where, postgresql_where=where
            )
    op.create_table(
        "account_grant",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("cluster_id", sa.Text(), nullable=False),
        sa.Column("database", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_account_grant_account_id")),
        sa.PrimaryKeyConstraint("account_id", "role", "cluster_id", "database", name=op.f("pk_account_grant")),
    )


def downgrade() -> None:
    op.drop_table("account_grant")
    with op.batch_alter_table("account", schema=None) as batch_op:
        for kind in ("user", "key"):
            where = sa.text(f"kind = '{kind}'")
            batch_op.drop_index(f"uq_account_{kind}", sqlite_where=where, postgresql_where=where)
    op.drop_table("account")

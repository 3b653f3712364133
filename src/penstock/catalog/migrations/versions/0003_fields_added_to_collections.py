"""Fields added to collections

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("collection", sa.Column("added_field", sa.JSON(), nullable=True))
    op.add_column("job", sa.Column("field_count", sa.Integer(), nullable=True))

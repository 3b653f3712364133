"""How many jobs of a day have ended

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_day",
        sa.Column("cluster_id", sa.Text(), nullable=False),
        sa.Column("database_id", sa.BigInteger(), nullable=False),
        sa.Column("collection_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("jobs", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "cluster_id", "database_id", "collection_id", "state", "day", name=op.f("pk_job_day")
        ),
    )
    op.create_index("ix_job_day_cluster", "job_day", ["cluster_id", "day"])
    op.create_index("ix_job_day_collection", "job_day", ["collection_id", "day"])
    # Above its 18 random bits an id is the milliseconds since 1970.
    op.execute(
        """
        INSERT INTO job_day (cluster_id, database_id, collection_id, state, day, jobs)
        SELECT cluster_id, database_id, collection_id, state, (id >> 18) / 86400000, count(*)
        FROM job WHERE state IN ('Completed', 'Failed', 'Aborted')
        GROUP BY cluster_id, database_id, collection_id, state, (id >> 18) / 86400000
        """
    )


def downgrade() -> None:
    op.drop_index("ix_job_day_collection", table_name="job_day")
    op.drop_index("ix_job_day_cluster", table_name="job_day")
    op.drop_table("job_day")

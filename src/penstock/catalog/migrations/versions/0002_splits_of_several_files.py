"""Splits of several files

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


_TOLD_ANEW = {
    "sqlite": """
        UPDATE job_split SET
            parts = json_array(json_object('file', file, 'spec', json(spec), 'size', size)),
            part_rows = CASE WHEN state = 'Staged' THEN json_array(rows) END
    """,
    "postgresql": """
        UPDATE job_split SET
            parts = json_build_array(json_build_object('file', file, 'spec', spec, 'size', size)),
            part_rows = CASE WHEN state = 'Staged' THEN json_build_array(rows) END
    """,
}


def upgrade() -> None:
    with op.batch_alter_table("job_split", schema=None) as batch_op:
        batch_op.add_column(sa.Column("parts", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("part_rows", sa.JSON(), nullable=True))
    op.execute(_TOLD_ANEW[op.get_bind().dialect.name])
    with op.batch_alter_table("job_split", schema=None) as batch_op:
        batch_op.alter_column("parts", existing_type=sa.JSON(), nullable=False)
        batch_op.drop_column("file")
        batch_op.drop_column("size")
        batch_op.drop_column("spec")


_TAKEN_BACK = {
    "sqlite": """
        UPDATE job_split SET
            file = json_extract(parts, '$[0].file'),
            spec = json_extract(parts, '$[0].spec'),
            size = (SELECT sum(json_extract(value, '$.size')) FROM json_each(parts))
    """,
    "postgresql": """
        UPDATE job_split SET
            file = (parts -> 0 ->> 'file')::integer,
            spec = parts -> 0 -> 'spec',
            size = (SELECT sum((value ->> 'size')::bigint) FROM json_array_elements(parts))
    """,
}


def downgrade() -> None:
    joined = """
        SELECT count(*) FROM job_split JOIN job ON job.id = job_id
        WHERE finished_at IS NULL AND json_array_length(parts) > 1
    """
    if op.get_bind().scalar(sa.text(joined)):
        raise RuntimeError(
            "The earlier schema has no place for splits of several files, and unfinished jobs have some. Let them "
            "finish, or abort them."
        )
    with op.batch_alter_table("job_split", schema=None) as batch_op:
        batch_op.add_column(sa.Column("file", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("spec", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("size", sa.BigInteger(), nullable=True))
    op.execute(_TAKEN_BACK[op.get_bind().dialect.name])
    with op.batch_alter_table("job_split", schema=None) as batch_op:
        batch_op.alter_column("file", existing_type=sa.Integer(), nullable=False)
        batch_op.alter_column("spec", existing_type=sa.JSON(), nullable=False)
        batch_op.alter_column("size", existing_type=sa.BigInteger(), nullable=False)
        batch_op.drop_column("part_rows")
        batch_op.drop_column("parts")

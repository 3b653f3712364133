"""Alembic's environment: run the migrations on the connection that the catalog passes."""

from __future__ import annotations

from alembic import context

from penstock.catalog.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
context.run_migrations()

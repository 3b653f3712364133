"""Withdraw the intent of a job whose table is damaged: see docs/decisions/0012-withdrawing-an-intent.md."""

from __future__ import annotations

from penstock.engines.base import Engine
from penstock.engines.values import Published, Table
from penstock.errors import JobWithdrawn, PenstockError, TableDamaged
from penstock.imports.cleanup import discard
from penstock.imports.leased_job import LeasedJob


def withdraw_intent(leased: LeasedJob, engine: Engine, table: Table, error: PenstockError) -> Published | None:
    """Withdraw a job's intent and fail the job with ``error``; return what was published if the rows are visible."""
    context, job = leased.context, leased.job
    cause = error.__cause__ or error
    try:
        version = engine.withdraw(table, job.id, job.epoch, leased.staged())
    except TableDamaged as damage:
        # No version can be opened. The files stay: a restored backup may refer to them.
        leased.log.error("job.not_withdrawn", error=str(damage))
        leased.fail(error, keep_files=True)
        return None
    if isinstance(version, Published):
        return version
    context.catalog.collections.raise_version(table.id, version)
    leased.fail(error)
    if not isinstance(cause, TableDamaged | JobWithdrawn):
        # The staged files may be at fault; a retry stages all of them again.
        discard(context, job.collection_id, job.id)
    return None

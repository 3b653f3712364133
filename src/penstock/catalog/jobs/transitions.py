"""Log the transitions of jobs: one line for each, from creation to end, whatever caused it."""

from __future__ import annotations

import structlog

from penstock.domain.jobs import ImportJob, JobState

__all__ = ["log_transition"]

log = structlog.get_logger(__name__)


def log_transition(job: ImportJob, before: JobState | None) -> None:
    """Log the state that ``job`` has now; call it after the transaction's commit. ``before`` None: created."""
    log.info(
        "job.state",
        job_id=str(job.id),
        database=job.database,
        collection=job.collection,
        before=before and before.value,
        state=job.state.value,
        rows=job.rows,
        progress=job.progress,
        reason=job.reason,
    )

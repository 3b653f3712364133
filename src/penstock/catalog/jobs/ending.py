"""Fail the jobs into a collection or partition that is being dropped."""

from __future__ import annotations

from penstock.catalog.jobs.jobs import JobRepository
from penstock.domain.jobs import JobState
from penstock.domain.names import DEFAULT_PARTITION
from penstock.errors import JobStateConflict

__all__ = ["end_jobs"]


def end_jobs(jobs: JobRepository, collection_id: str, reason: str, partition: str | None = None) -> None:
    """Fail the collection's unfinished jobs (or those into one partition) that have not reached their commit."""
    for job in jobs.live_of(collection_id):
        if partition is not None and (job.partition or DEFAULT_PARTITION) != partition:
            continue
        while not job.state.is_final and not job.state.is_committed:
            try:
                job = jobs.request_transition(job, JobState.FAILED, reason=reason)
            except JobStateConflict:
                job = jobs.get(job.cluster_id, job.id)

"""The progress of an import job, and why it ended without its rows, on both wires of Milvus."""

from __future__ import annotations

from penstock.domain.jobs import ImportJob, JobState

ABORTED_REASON = "aborted by user"
TWO_PHASE_STATES = frozenset({JobState.UNCOMMITTED, JobState.COMMITTING, JobState.INDEXING})


def progress_of(job: ImportJob) -> int:
    """The progress shown, in percent: 100 only once the job is Completed."""
    if job.state in (JobState.COMPLETED, JobState.REVERTING):
        return 100
    if not job.auto_commit and job.state in TWO_PHASE_STATES:
        return 99
    return min(job.progress, 99)


def reason_of(job: ImportJob) -> str | None:
    """Why the job ended without its rows; None unless it did."""
    return job.reason or (ABORTED_REASON if job.state is JobState.ABORTED else None)

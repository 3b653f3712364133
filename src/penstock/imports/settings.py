"""The settings that the import use cases act on; the server fills them from its own settings table."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.domain.quotas import UNLIMITED, JobLimits, Quota
from penstock.imports.memory_budget import MIB

__all__ = ["JobSettings"]

_LIMITS = JobLimits(collection=10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """Sizes are bytes, times seconds.

    ``worker_memory`` is what a worker may have while it plans or stages; beyond that the job fails for its file.

    ``list_window`` is how long the Milvus profile's list shows a finished job; ``head_timeout`` bounds the existence
    check that only v1 makes at create.

    ``max_attempts`` is how often anything is tried that fails for a cause that may pass, beginning with pauses of
    ``retry_pause``. For ``staged_file_retention`` after its failure a job keeps what it has staged, so that a retry
    needs only what is missing. ``orphan_age`` is how old a file that belongs to no job must be before it is removed.
    ``old_version_retention`` is for how long a superseded version of a table stays, since calls may still read it;
    while such versions hold more than ``old_version_share`` of the table's live bytes, ``old_version_min_age`` is
    enough. ``key_lifetime`` is how long an idempotency key is remembered. None means no limit.

    ``quota`` is of orgs that have none of their own, ``limits`` of every collection and cluster.

    A job is taken over when the process that worked on it has not renewed its ``lease_duration`` for so long.
    Finished jobs are forgotten after ``retention``, but never the newest ``min_retained_jobs`` of a cluster.
    """

    split_bytes: int = 64 * MIB
    batch_bytes: int = 8 * MIB
    worker_memory: int | None = None
    max_inputs_per_job: int = 1024
    max_running_jobs: int = 2
    list_window: float = 24 * 3600
    list_limit: int = 10_000
    wait_for_index: bool = True
    lease_duration: float = 15.0
    retention: float = 30 * 24 * 3600.0
    min_retained_jobs: int = 10_000
    max_attempts: int = 8
    retry_pause: float = 0.5
    staged_file_retention: float = 3600.0
    orphan_age: float = 24 * 3600.0
    old_version_retention: float = 3600.0
    old_version_share: float = 0.5
    old_version_min_age: float = 60.0
    key_lifetime: float = 24 * 3600.0
    max_file_bytes: int | None = 16 << 30
    max_job_bytes: int | None = None
    limits: JobLimits = _LIMITS
    quota: Quota = UNLIMITED
    head_timeout: float = 2.0
    timeout: float | None = None

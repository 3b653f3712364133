"""Settings of import jobs; the server fills them from its settings table."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.domain.quotas import UNLIMITED, JobLimits, Quota
from penstock.imports.memory_budget import MIB

__all__ = ["JobSettings"]

_LIMITS = JobLimits(collection=10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """Settings of import jobs. Sizes are bytes, times seconds.

    ``worker_memory`` is the memory limit of a worker while it plans or stages; beyond it the job fails for its file.

    ``list_window`` is how long the Milvus profile's list shows a finished job; ``head_timeout`` bounds the file probe
    that only v1 makes at create.

    ``max_attempts`` bounds the attempts after transient errors, with pauses from ``retry_pause`` on. A failed job
    keeps its staged files for ``staged_file_retention``, so that a retry stages only what is missing. ``orphan_age``
    is the minimum age at which an orphan file is deleted. ``old_version_retention`` is how long a superseded version
    of a table stays, since calls may still read it; while such versions hold more than ``old_version_share`` of the
    table's live bytes, ``old_version_min_age`` is enough. ``key_lifetime`` is how long an idempotency key lives. None
    means no limit.

    ``quota`` applies to orgs without their own, ``limits`` to every collection and cluster.

    A job is taken over when its lease has not been renewed for ``lease_duration``. Finished jobs are deleted after
    ``retention``, but never the newest ``min_retained_jobs`` of a cluster.
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

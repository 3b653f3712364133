"""The settings of import jobs, made from the settings table, which alone has their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.domain.quotas import JobLimits, Quota
from penstock.imports.memory_budget import WorkerMemory

if TYPE_CHECKING:
    from penstock.settings import Settings  # workers import this module, and do without pydantic


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """Settings of import jobs. Sizes are bytes, times seconds.

    ``worker_memory`` is the memory limit of a worker while it plans or stages; beyond it the job fails for its file.
    ``build_memory`` is the least limit of an index build that has reserved all slots of its host.

    ``list_window`` is how long the Milvus profile's list shows a finished job; ``head_timeout`` bounds the file probe
    that only v1 makes at create.

    ``max_attempts`` bounds the attempts after transient errors, with pauses from ``retry_pause`` on; maintenance of a
    table that failed is repeated with pauses from ``maintenance_retry_pause`` on, up to an hour. A failed job
    keeps its staged files for ``staged_file_retention``, so that a retry stages only what is missing. ``orphan_age``
    is the minimum age at which an orphan file is deleted. ``old_version_retention`` is how long a superseded version
    of a table stays, since calls may still read it; while such versions hold more than ``old_version_share`` of the
    table's live bytes, ``old_version_min_age`` is enough. Rows that a job has replaced stay for
    ``replaced_row_retention`` after its end, so that it can be reverted. ``key_lifetime`` is how long an idempotency
    key lives. None means no limit.

    Of the rows that a job rejects, the first ``max_kept_rejects`` are kept, of at most ``max_kept_reject_bytes``;
    none once the jobs of the cluster keep ``max_reject_bytes``.

    ``quota`` applies to orgs without their own, ``limits`` to every collection and cluster.

    A job is taken over when its lease has not been renewed for ``lease_duration``. Finished jobs are deleted after
    ``retention``, but never the newest ``min_retained_jobs`` of a cluster.
    """

    split_bytes: int
    batch_bytes: int
    worker_memory: int | None
    build_memory: int
    max_inputs_per_job: int
    max_running_jobs: int
    list_window: float
    wait_for_index: bool
    lease_duration: float
    retention: float
    min_retained_jobs: int
    max_attempts: int
    staged_file_retention: float
    old_version_retention: float
    old_version_share: float
    replaced_row_retention: float
    key_lifetime: float
    max_file_bytes: int | None
    max_job_bytes: int | None
    max_kept_rejects: int
    max_kept_reject_bytes: int
    max_reject_bytes: int
    limits: JobLimits
    quota: Quota
    timeout: float | None
    # Constants, not in the settings table; fields so that tests can shorten them.
    list_limit: int = 10_000
    retry_pause: float = 0.5
    maintenance_retry_pause: float = 60.0
    orphan_age: float = 24 * 3600.0
    old_version_min_age: float = 60.0
    head_timeout: float = 2.0
    infer_timeout: float = 60.0

    @classmethod
    def from_settings(cls, settings: Settings, memory: WorkerMemory) -> JobSettings:
        """Take the settings of a server, and what its memory budget leaves to each worker."""
        return cls(
            split_bytes=settings.split_bytes,
            batch_bytes=memory.batch_bytes,
            worker_memory=memory.limit,
            build_memory=memory.build_limit,
            max_inputs_per_job=settings.max_inputs_per_job,
            max_running_jobs=settings.max_running_jobs,
            lease_duration=settings.lease_duration,
            limits=JobLimits(collection=settings.max_jobs_per_collection, cluster=settings.max_jobs_per_cluster),
            quota=Quota(
                jobs=settings.max_jobs_per_org,
                running_jobs=settings.max_running_jobs_per_org,
                daily_bytes=settings.max_daily_bytes_per_org,
            ),
            max_file_bytes=settings.max_file_bytes,
            max_job_bytes=settings.max_job_bytes,
            max_kept_rejects=settings.max_kept_rejects,
            max_kept_reject_bytes=settings.max_kept_reject_bytes,
            max_reject_bytes=settings.max_reject_bytes,
            timeout=settings.job_timeout,
            max_attempts=settings.max_attempts,
            staged_file_retention=settings.staged_file_retention,
            key_lifetime=settings.idempotency_window,
            retention=settings.retention,
            min_retained_jobs=settings.min_retained_jobs,
            list_window=settings.list_window,
            old_version_retention=settings.old_version_retention,
            old_version_share=settings.old_version_share,
            replaced_row_retention=settings.replaced_row_retention,
            wait_for_index=settings.wait_for_index,
        )

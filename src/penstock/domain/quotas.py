"""How many jobs there may be, and what one org, the tenant, may take of a server."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NO_LIMITS", "UNLIMITED", "JobLimits", "Quota", "Usage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLimits:
    """Import jobs that have not ended, at most: of one collection, and of one cluster; None is no limit."""

    collection: int | None = None
    cluster: int | None = None


NO_LIMITS = JobLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much of each an org may have; 0 is no limit.

    In an org's own quota None is what the server's settings say; in theirs it is no limit, too.

    Args:
        jobs: import jobs that have not ended.
        running_jobs: jobs that are being worked on, in all of its clusters and by all servers together.
        daily_bytes: bytes of the files of its jobs within a day, which begins at midnight UTC.
    """

    jobs: int | None = None
    running_jobs: int | None = None
    daily_bytes: int | None = None


UNLIMITED = Quota()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an org has at present of what a :class:`Quota` limits."""

    jobs: int
    running_jobs: int
    daily_bytes: int

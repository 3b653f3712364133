"""Limits on import jobs, and quotas of orgs, the tenants."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLimits:
    """Maximum unfinished import jobs of one collection, and of one cluster; None is no limit."""

    collection: int | None = None
    cluster: int | None = None


NO_LIMITS = JobLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The limits of an org; 0 is no limit.

    In an org's own quota None is the server's setting; in the settings it is no limit, too.

    Args:
        jobs: import jobs that have not ended.
        running_jobs: jobs that run, in all of its clusters and on all servers together.
        daily_bytes: bytes of the files of its jobs within a day, which begins at midnight UTC.
    """

    jobs: int | None = None
    running_jobs: int | None = None
    daily_bytes: int | None = None


UNLIMITED = Quota()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The current usage of an org, of what a :class:`Quota` limits."""

    jobs: int
    running_jobs: int
    daily_bytes: int

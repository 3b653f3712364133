"""Subscribe to the changes of import jobs: which jobs a caller may subscribe to, as get and list have it."""

from __future__ import annotations

from dataclasses import replace

from penstock.catalog.jobs.listing import JobFilter
from penstock.domain.access import Caller
from penstock.domain.collections import Cluster
from penstock.domain.jobs import ImportJob
from penstock.imports.change_feed import ChangeFeed, Scope, Subscription
from penstock.imports.requests import JobQuery
from penstock.imports.service import ImportService


class JobEvents:
    """Subscriptions to the changes of jobs; close each."""

    def __init__(self, imports: ImportService, feed: ChangeFeed) -> None:
        self._imports = imports
        self._feed = feed

    def job(self, cluster_id: str, job_id: int, caller: Caller) -> ImportJob:
        """A job without its files. Raises JobNotFound as :meth:`Imports.get`."""
        return self._imports.get_job(cluster_id, job_id, caller)

    def scope_of_job(self, cluster: Cluster, job_id: int, caller: Caller, *, files: bool = False) -> Scope:
        """The scope of one job; ``files`` adds its files. Raises JobNotFound as :meth:`Imports.get`."""
        self._imports.get_job(cluster.id, job_id, caller)
        return Scope(org_id=_org_id(caller, cluster), job_id=job_id, files=files)

    def scope_of_query(self, cluster: Cluster, query: JobQuery, since: int | None = None) -> Scope:
        """The scope of all jobs of a query, whose paging is ignored.

        ``since`` resumes an earlier subscription: milliseconds since 1970 of the last change that came of it.

        Raises:
            PermissionDenied, DatabaseNotFound, CollectionNotFound: as :meth:`Imports.list`.
        """
        job_filter: JobFilter = self._imports.filter_of(query, cluster)
        plain = replace(job_filter, finished_since=None, before=None, created_after=None, created_before=None)
        return Scope(org_id=_org_id(query.caller, cluster), filter=plain, since=since)

    def subscribe(self, scope: Scope) -> Subscription:
        """Subscribe to a scope. Raises QuotaExceeded: there are too many subscriptions."""
        return self._feed.subscribe(scope)


def _org_id(caller: Caller, cluster: Cluster) -> str:
    return caller.org_id or cluster.org_id

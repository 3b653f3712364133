"""The use cases of import jobs, as the wire dialects and the command line call them."""

from __future__ import annotations

from typing import Protocol

from penstock.domain.jobs import ImportJob
from penstock.jobs.requests import CreateImport, JobDetails, JobPage, JobQuery

__all__ = ["Imports"]


class Imports(Protocol):
    """Plain synchronous calls; none of them waits for files to be read."""

    def create(self, request: CreateImport) -> ImportJob:
        """Check names, syntax, extensions, groups and roots, and store a Pending job.

        Raises:
            ClusterNotFound, DatabaseNotFound, CollectionNotFound, PartitionNotFound: a name is unknown.
            ImportRefused, LimitExceeded, InvalidParameter: the request can never become a job.
            PathNotAllowed: a path lies outside every import root.
            FileMissing, SourceError: only with ``request.heads``.
        """
        ...

    def get(self, cluster_id: str, job_id: int) -> JobDetails:
        """Raises JobNotFound, also for a job of another cluster."""
        ...

    def list(self, query: JobQuery) -> JobPage:
        """Raises ClusterNotFound; DatabaseNotFound and CollectionNotFound for filters that name none."""
        ...

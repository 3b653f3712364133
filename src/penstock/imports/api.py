"""The interface of import jobs that the dialects call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from penstock.domain.access import Caller
from penstock.domain.jobs import ImportJob, JobHistory, JobState
from penstock.imports.requests import (
    CreateImport,
    JobDetails,
    JobPage,
    JobQuery,
    LoadedFiles,
    ReplayImport,
    StoreCredentials,
)


class Imports(Protocol):
    """Synchronous calls; none of them waits for files to be read."""

    def create(self, request: CreateImport) -> ImportJob:
        """Check names, syntax, extensions, groups and roots, and store a Pending job.

        With ``request.idempotency_key`` an earlier job of the same key and collection is returned instead.

        Raises:
            ClusterNotFound, DatabaseNotFound, CollectionNotFound, PartitionNotFound: a name is unknown.
            PermissionDenied: the caller may not write to the database.
            ImportRefused, LimitExceeded, InvalidParameter: the request can never become a job.
            PathNotAllowed: a path lies outside every import root.
            FileMissing, SourceError: only with ``request.heads``.
        """
        ...

    def loaded(self, request: CreateImport) -> LoadedFiles:
        """Find the files of a request that the collection has the rows of. Creates nothing.

        Raises:
            as :meth:`create`; FileMissing, SourceError: a file can't be located.
        """
        ...

    def get(self, cluster_id: str, job_id: int, caller: Caller) -> JobDetails:
        """Raises JobNotFound, also for a job of another cluster, or of a database that the caller may not read."""
        ...

    def history(self, cluster_id: str, job_id: int, caller: Caller) -> JobHistory:
        """Who created a job and when it came into its states. Raises JobNotFound as :meth:`get`."""
        ...

    def replay(self, request: ReplayImport) -> ImportJob:
        """Create a job of what an earlier job left out, with its options.

        Raises:
            JobNotFound, PermissionDenied.
            JobStateConflict: that job isn't Completed, has left out nothing, or has not kept its rejected rows.
            MissingParameter: its files need the caller's own credentials.
            CollectionNotFound, PartitionNotFound, PathNotAllowed, LimitExceeded, ImportRefused: as :meth:`create`.
        """
        ...

    def list(self, query: JobQuery) -> JobPage:
        """Raises ClusterNotFound; DatabaseNotFound and CollectionNotFound for filters that name none."""
        ...

    def count(self, query: JobQuery) -> Mapping[JobState, int]:
        """Count the jobs of a paged query by state, on all of its pages. Raises as :meth:`list`."""
        ...

    def commit(self, cluster_id: str, job_id: int, caller: Caller) -> ImportJob:
        """Publish an Uncommitted job; idempotent. Raises JobNotFound, PermissionDenied, JobStateConflict."""
        ...

    def abort(self, cluster_id: str, job_id: int, caller: Caller) -> ImportJob:
        """Abort a job before its commit's intent; idempotent, and allowed after a failure.

        Raises JobNotFound, PermissionDenied, JobStateConflict.
        """
        ...

    def revert(self, cluster_id: str, job_id: int, caller: Caller) -> ImportJob:
        """Begin to remove the rows of a Completed job, and to bring back those that it replaced; idempotent.

        Raises:
            JobNotFound, PermissionDenied.
            JobStateConflict: it isn't completed; RevertImpossible: a later job replaced rows of it, or what it
                replaced is no longer kept.
            StorageError, StorageUnavailable: the table can't be read.
        """
        ...

    def retry(self, cluster_id: str, job_id: int, keys: StoreCredentials, caller: Caller) -> ImportJob:
        """Retry a Failed job, reusing its staged splits.

        Raises:
            JobNotFound.
            JobStateConflict: it hasn't failed, or can't continue.
            MissingParameter: its files need the caller's own credentials.
            PartitionNotFound, PathNotAllowed, LimitExceeded: as :meth:`create`.
        """
        ...

"""Requests and responses of the import service: frozen values without behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from penstock.catalog.jobs.loaded_files import LoadedFile
from penstock.domain.access import Caller
from penstock.domain.jobs import ImportFile, ImportJob, JobState


@dataclass(frozen=True, slots=True)
class StoreCredentials:
    """The caller's credentials for an object store. Never printed."""

    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    def to_secret(self) -> dict[str, str]:
        """The values that the catalog encrypts; empty without credentials."""
        if not self:
            return {}
        return {"access_key": self.access_key, "secret_key": self.secret_key, "token": self.token}

    def __bool__(self) -> bool:
        return bool(self.access_key or self.secret_key or self.token)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateImport:
    """A request for an import job.

    ``groups`` is a list of inputs, each a list of paths: one file, one folder that ends in ``/``, or one NumPy set.
    ``heads`` requests the file probe at create time, which only the v1 dialect makes.
    ``idempotency_key`` names the call: the same key and collection give the same job.
    """

    cluster_id: str
    collection: str
    groups: Sequence[Sequence[str]]
    database: str = "default"
    partition: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    keys: StoreCredentials = StoreCredentials()
    heads: bool = False
    idempotency_key: str | None = None
    caller: Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayImport:
    """A call to import the rejected rows, or the files that were left out, of a job: from ``groups`` of corrected
    files, or from the job's own files where there are none."""

    cluster_id: str
    job_id: int
    groups: Sequence[Sequence[str]] = ()
    keys: StoreCredentials
    caller: Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetails:
    """A job and its files, in the order of the request. ``files`` is empty until the job has been planned; ``report``
    is that of a dry run, as JSON, once it has completed."""

    job: ImportJob
    files: Sequence[ImportFile]
    report: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedFiles:
    """The answer to which of some files a collection has the rows of: by name, with their last jobs.

    ``total`` counts the files that were asked about.
    """

    loaded: Sequence[tuple[str, LoadedFile]]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """A filter for the job list, newest first.

    ``page_size`` None means unpaged: all unfinished jobs and those finished within the server's window, at most
    10,000 (the Milvus profile). ``before`` selects jobs with a smaller id, for scans that stay stable while jobs are
    added; ``page`` counts from 1. ``database`` filters; ``resolve_in`` is only where the name of a
    ``collection`` is looked up when no database filters.
    """

    cluster_id: str
    database: str | None = None
    resolve_in: str = "default"
    collection: str | None = None
    states: Sequence[JobState] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    page_size: int | None = None
    page: int = 1
    before: int | None = None
    caller: Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """One page of jobs; ``total`` counts all matches before paging."""

    jobs: Sequence[ImportJob]
    total: int

"""Render times, files and file names, for all dialects."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from penstock.domain.jobs import FileState, ImportFile
from penstock.imports.requests import JobDetails

# Hosts whose URLs have the bucket or container as the first segment of the path.
_BUCKET_IN_PATH = re.compile(r"(s3[.-].*|storage\.googleapis\.com|.*\.blob\.core\.windows\.net)\Z")
_BLANK_BEFORE_URL = re.compile(r" (?=[a-z0-9+.-]+://)", re.IGNORECASE)


def time_text(time: datetime) -> str:
    """Format a time as RFC 3339 in UTC, in whole seconds: ``2024-05-18T02:57:13Z``."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def files_to_show(details: JobDetails) -> Sequence[ImportFile]:
    """The files of a job as shown: of a failed job all are failed, also those that were read completely."""
    if details.job.is_dry_run and not details.job.has_failed:
        return [replace(file, rows=0) for file in details.files]
    if not details.job.has_failed:
        return details.files
    return [
        replace(file, state=FileState.FAILED, rows=0, progress=min(file.progress, 99), finished_at=None)
        for file in details.files
    ]


def object_path(name: str) -> str:
    """Strip scheme, host, bucket and query from a file's name: ``s3://bucket/a/1.parquet`` → ``a/1.parquet``.

    Names that are no URL stay as they are; a set of names, joined by blanks, is treated name by name.
    """
    return " ".join(_object_path(url) for url in _BLANK_BEFORE_URL.split(name))


def _object_path(name: str) -> str:
    scheme, separator, place = name.partition("://")
    if not separator:
        return name
    host, _, path = place.partition("/")
    if scheme.lower() == "file":
        return f"/{path}"
    if scheme.lower() in ("http", "https"):
        path = path.partition("?")[0]
        if _BUCKET_IN_PATH.match(host.lower()):
            return path.partition("/")[2]
    return path

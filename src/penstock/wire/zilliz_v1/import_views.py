"""Render import jobs in the Zilliz Cloud v1 dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from penstock.domain.jobs import FileState, ImportFile, JobState
from penstock.imports.requests import JobDetails, JobPage, JobQuery
from penstock.wire.rendering import files_to_show, object_path, time_text

RUNNING, COMPLETED, FAILED = "ImportRunning", "ImportCompleted", "ImportFailed"
STATE_WORDS: Mapping[JobState, str] = dict.fromkeys(JobState, RUNNING) | {
    JobState.COMPLETED: COMPLETED,
    JobState.FAILED: FAILED,
    JobState.ABORTED: FAILED,
    JobState.REVERTING: COMPLETED,
    JobState.REVERTED: FAILED,
}
NO_REASON: Mapping[JobState, str] = {
    JobState.FAILED: "the import failed",
    JobState.ABORTED: "aborted by user",
    JobState.REVERTED: "reverted by user",
}


def page(found: JobPage, query: JobQuery) -> dict[str, Any]:
    """``data`` of list. The rows are sent as ``tasks`` and as ``records``: docs and clients use either."""
    rows = [
        {"collectionName": job.collection, "jobId": str(job.id), "state": STATE_WORDS[job.state]}
        for job in found.jobs
    ]
    return {
        "tasks": rows,
        "records": rows,
        "count": found.total,
        "currentPage": query.page,
        "pageSize": query.page_size,
    }


def progress(details: JobDetails) -> dict[str, Any]:
    """``data`` of get. ``readyPercentage`` is a fraction, 1 only when completed."""
    job, files = details.job, files_to_show(details)
    return {
        "fileName": _common_path([object_path(file.name) for file in files]),
        "fileSize": sum(file.size for file in files),
        "readyPercentage": _fraction(job.progress, done=STATE_WORDS[job.state] == COMPLETED),
        "completeTime": _time(job.finished_at),
        "errorMessage": job.reason or NO_REASON.get(job.state) if job.state in NO_REASON else None,
        "collectionName": job.collection,
        "jobId": str(job.id),
        "details": [_file(file) for file in files],
    }


def _file(file: ImportFile) -> dict[str, Any]:
    return {
        "fileName": object_path(file.name),
        "fileSize": file.size,
        "readyPercentage": _fraction(file.progress, done=file.state is FileState.COMPLETED),
        "completeTime": _time(file.finished_at),
        "errorMessage": file.reason,
    }


def _fraction(percent: int, *, done: bool) -> float:
    return 1.0 if done else min(percent, 99) / 100


def _time(time: datetime | None) -> str | None:
    return None if time is None else time_text(time)


def _common_path(names: Sequence[str]) -> str:
    """The path of a single file, or the common folder of all files, with a trailing slash."""
    if len(names) == 1:
        return names[0]
    folders = [name.split("/")[:-1] for name in names]
    common: list[str] = []
    for segments in zip(*folders, strict=False):
        if len(set(segments)) > 1:
            break
        common.append(segments[0])
    return "/".join([*common, ""]) if common else ""

"""Render import jobs in the Milvus v2 dialect, as tables: state words, progress and the two profiles.

| inner state | word | with ``auto_commit=false`` | progress |
|---|---|---|---|
| Pending | Pending | Pending | the job's, at most 99 |
| Planning, Importing | Importing | Importing | the job's, at most 99 |
| Uncommitted | Importing | Uncommitted | two-phase: 99 |
| Committing, Indexing | Importing | Committing | two-phase: 99 |
| Completed | Completed | Completed | 100 |
| Failed, Aborted | Failed | Failed | as far as the job came, at most 99 |
| Reverting | Completed | Completed | 100; ``revert`` is Reverting |
| Reverted | Failed | Failed | 99; ``revert`` is Reverted |

``importedRows`` counts rows read while a job runs, and visible rows once it is Completed. Of a job that has failed or
was aborted none are: ``importedRows`` and ``totalRows`` are 0 as in Milvus, and so is
``importedRows`` of each of its files, which are all Failed. A dry run imports nothing: its ``importedRows`` are 0,
and ``totalRows`` those that it has read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from penstock.domain.jobs import FileState, ImportFile, ImportJob, JobState
from penstock.domain.write_modes import WriteMode, WriteOptions
from penstock.errors import PenstockError
from penstock.imports.requests import JobDetails, JobPage, JobQuery
from penstock.wire.milvus import errors
from penstock.wire.milvus.job_progress import TWO_PHASE_STATES, progress_of, reason_of
from penstock.wire.rendering import files_to_show, object_path, time_text

STATE_WORDS: Mapping[JobState, str] = {
    JobState.PENDING: "Pending",
    JobState.PLANNING: "Importing",
    JobState.IMPORTING: "Importing",
    JobState.UNCOMMITTED: "Uncommitted",
    JobState.COMMITTING: "Committing",
    JobState.INDEXING: "Committing",
    JobState.COMPLETED: "Completed",
    JobState.FAILED: "Failed",
    JobState.ABORTED: "Failed",
    JobState.REVERTING: "Completed",
    JobState.REVERTED: "Failed",
}

# A word filters by the states that may be shown as it; Committing and Indexing are shown as two words.
STATE_FILTER: Mapping[str, Sequence[JobState]] = {
    word: tuple(
        state
        for state in JobState
        if STATE_WORDS[state] == word or (word == "Importing" and state in TWO_PHASE_STATES)
    )
    for word in ("Pending", "Importing", "Committing", "Completed", "Failed")
} | {"Uncommitted": (JobState.UNCOMMITTED,)}

MILVUS_FILE_WORDS: Mapping[FileState, str] = {
    FileState.PENDING: "Pending",
    FileState.IMPORTING: "InProgress",
    FileState.COMPLETED: "Completed",
    FileState.FAILED: "Failed",
}
ZILLIZ_FILE_WORDS: Mapping[FileState, str] = {**MILVUS_FILE_WORDS, FileState.IMPORTING: "Importing"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Differences between a call to Milvus and one to Zilliz Cloud."""

    errors: Mapping[type[PenstockError], errors.ErrorRow]
    file_words: Mapping[FileState, str]
    file_name: Callable[[str], str]
    empty_reason: bool
    job_file_name: bool
    paged: bool

    def details(self, details: JobDetails, job_id: str) -> dict[str, Any]:
        """``data`` of describe. ``job_id`` is the id as the call has it."""
        job = details.job
        view: dict[str, Any] = {
            "jobId": job_id,
            "collectionName": job.collection,
            "state": _state(job),
            "progress": progress_of(job),
            "fileSize": sum(file.size for file in details.files),
            **_figures(job),
            "details": [self._file(file) for file in files_to_show(details)],
        }
        if self.job_file_name:
            view["fileName"] = ",".join(self.file_name(file.name) for file in details.files)
        if job.stage:
            view["stage"] = job.stage
        if job.verification is not None:
            view["verification"] = job.verification
        if job.is_dry_run:
            view["dryRun"] = True
        if details.report is not None:
            view["report"] = details.report
        view |= _write_mode(job) | _revert(job)
        if job.warnings:
            view["warnings"] = [warning.to_json() for warning in job.warnings]
        return view | self._reason(reason_of(job))

    def event(self, details: JobDetails, *, files: bool) -> dict[str, Any]:
        """``data`` of an event: as of describe, without what it has of the files unless they are wanted."""
        view = self.details(details, str(details.job.id))
        if not files:
            for key in ("details", "fileName"):
                view.pop(key, None)
            view["fileSize"] = details.job.size
        return view

    def page(self, page: JobPage, query: JobQuery, *, verbose: bool = False) -> dict[str, Any]:
        """``data`` of list. ``verbose`` adds rows, bytes, stage and times, which neither Milvus nor Zilliz lists."""
        records = [
            {
                "collectionName": job.collection,
                "jobId": str(job.id),
                "progress": progress_of(job),
                "state": _state(job),
            }
            | ({"dryRun": True} if job.is_dry_run else {})
            | (_figures(job) | {"fileSize": job.size, "stage": job.stage} if verbose else {})
            | _revert(job)
            | self._reason(reason_of(job))
            for job in page.jobs
        ]
        if not self.paged:
            return {"records": records}
        return {
            "count": page.total,
            "currentPage": query.page,
            "pageSize": query.page_size,
            "records": records,
        }

    def _file(self, file: ImportFile) -> dict[str, Any]:
        return {
            "fileName": self.file_name(file.name),
            "fileSize": file.size,
            "progress": file.progress,
            "completeTime": _time(file.finished_at),
            "state": self.file_words[file.state],
            "importedRows": file.rows,
            "totalRows": file.total_rows,
            **({"rejectedRows": file.rejected_rows} if file.rejected_rows else {}),
        } | self._reason(file.reason)

    def _reason(self, reason: str | None) -> dict[str, str]:
        return {"reason": reason or ""} if reason or self.empty_reason else {}


MILVUS = Profile(
    errors=errors.MILVUS,
    file_words=MILVUS_FILE_WORDS,
    file_name=lambda name: f"[{name}]",
    empty_reason=False,
    job_file_name=False,
    paged=False,
)
ZILLIZ = Profile(
    errors=errors.ZILLIZ,
    file_words=ZILLIZ_FILE_WORDS,
    file_name=object_path,
    empty_reason=True,
    job_file_name=True,
    paged=True,
)


def _figures(job: ImportJob) -> dict[str, Any]:
    return {
        "importedRows": job.imported_rows,
        "totalRows": 0 if job.has_failed else job.total_rows,
        "createTime": time_text(job.created_at),
        "completeTime": _time(job.finished_at),
        **({"rejectedRows": job.rejected_rows} if job.rejected_rows else {}),
        **({"skippedFiles": job.skipped_files} if job.skipped_files else {}),
        **({} if job.replay_of is None else {"replayOf": str(job.replay_of)}),
    }


def _write_mode(job: ImportJob) -> dict[str, Any]:
    """How the job was published; only of jobs that replace rows, since neither Milvus nor Zilliz has it."""
    mode = WriteOptions.of(job.options).mode
    if mode is WriteMode.APPEND:
        return {}
    replaced = {} if job.replaced_rows is None else {"replacedRows": job.replaced_rows}
    return {"writeMode": mode.value, **replaced}


def _revert(job: ImportJob) -> dict[str, Any]:
    if job.state is JobState.REVERTING:
        return {"revert": "Reverting"}
    return {"revert": "Reverted", "restoredRows": job.restored_rows} if job.state is JobState.REVERTED else {}


def _state(job: ImportJob) -> str:
    if job.auto_commit and job.state in TWO_PHASE_STATES:
        return STATE_WORDS[JobState.IMPORTING]
    return STATE_WORDS[job.state]


def _time(time: datetime | None) -> str:
    return "" if time is None else time_text(time)

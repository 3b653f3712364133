"""Import jobs over gRPC: create, state, list. pymilvus calls them bulk inserts, and a job a task.

| inner state | state |
|---|---|
| Pending | ImportPending |
| Planning, Importing, Uncommitted, Committing | ImportStarted |
| Indexing | ImportPersisted: rows are visible |
| Completed, Reverting | ImportCompleted |
| Failed, Aborted, Reverted | ImportFailed |

Commit, abort, retry and revert are calls of REST only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.domain.access import Role
from penstock.domain.jobs import ImportFile, ImportJob, JobState
from penstock.errors import JobNotFound
from penstock.imports.api import Imports
from penstock.imports.requests import CreateImport, JobQuery
from penstock.wire.milvus.job_progress import progress_of, reason_of
from penstock.wire.milvus.properties import key_values
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.dialect import MilvusGrpc, Request
from penstock.wire.milvus_grpc.schemas import key_value_mapping
from penstock.wire.milvus_grpc.stubs import milvus_pb2

_MAX_TASKS = 10_000

STATES: Mapping[JobState, str] = {
    JobState.PENDING: "ImportPending",
    JobState.PLANNING: "ImportStarted",
    JobState.IMPORTING: "ImportStarted",
    JobState.UNCOMMITTED: "ImportStarted",
    JobState.COMMITTING: "ImportStarted",
    JobState.INDEXING: "ImportPersisted",
    JobState.COMPLETED: "ImportCompleted",
    JobState.FAILED: "ImportFailed",
    JobState.ABORTED: "ImportFailed",
    JobState.REVERTING: "ImportCompleted",
    JobState.REVERTED: "ImportFailed",
}


def methods(imports: Imports, grpc: MilvusGrpc) -> tuple[GrpcMethod, ...]:
    def create(request: Request) -> object:
        message = request.message
        job = imports.create(
            CreateImport(
                cluster_id=request.cluster_id,
                database=request.database,
                collection=message.collection_name,
                partition=message.partition_name or None,
                groups=_groups(message.files),
                options=key_value_mapping(message.options),
                caller=request.caller,
            )
        )
        return milvus_pb2.ImportResponse(tasks=[job.id])

    def state(request: Request) -> object:
        job_id = request.message.task
        try:
            details = imports.get(request.cluster_id, job_id, request.caller)
        except JobNotFound as error:
            raise JobNotFound(f"import job does not exist, jobID={job_id}", **error.details) from error
        return _state(details.job, details.files)

    def list_tasks(request: Request) -> object:
        limit = request.message.limit
        page = imports.list(
            JobQuery(
                cluster_id=request.cluster_id,
                database=request.database,
                resolve_in=request.database,
                collection=request.message.collection_name or None,
                page_size=min(limit, _MAX_TASKS) if limit > 0 else None,
                caller=request.caller,
            )
        )
        return milvus_pb2.ListImportTasksResponse(tasks=[_state(job) for job in page.jobs])

    return (
        grpc.method("Import", create, action="import.create", role=Role.WRITER, stores_entry=True),
        # The use case authorizes the caller, in the database of the job.
        grpc.method("GetImportState", state, action="import.describe", role=None),
        grpc.method("ListImportTasks", list_tasks, action="import.list", role=Role.READER),
    )


def _groups(files: Sequence[str]) -> Sequence[Sequence[str]]:
    """The inputs of a flat list of files: ``.npy`` files are the columns of one set, any other is one by itself."""
    columns = [file for file in files if _is_column(file)]
    others = [[file] for file in files if not _is_column(file)]
    return [columns, *others] if columns else others


def _is_column(file: str) -> bool:
    return file.lower().endswith(".npy")


def _state(job: ImportJob, files: Sequence[ImportFile] = ()) -> Any:
    """The state of a job, with its warnings; the names of its files are known of a single one only.

    ``id_list``, the ranges of generated ids, stays empty, as in Milvus since 2.4.
    """
    infos = {
        "files": ",".join(file.name for file in files),
        "collection": job.collection,
        "partition": job.partition or "",
        "failed_reason": reason_of(job) or "",
        "progress_percent": str(progress_of(job)),
        # Of this server alone: options that were ignored, columns that were dropped.
        "warnings": "; ".join(warning.message for warning in job.warnings),
    }
    return milvus_pb2.GetImportStateResponse(
        id=job.id,
        state=STATES[job.state],
        row_count=job.imported_rows,
        infos=key_values({key: value for key, value in infos.items() if value}),
        create_ts=int(job.created_at.timestamp()),
    )

"""OpenAPI operations of the import routes of the Milvus v2 dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from penstock.wire.http import Operation

__all__ = ["ABORT", "COMMIT", "CREATE", "DESCRIBE", "DESCRIBE_BY_GET", "LIST", "RETRY"]

Schema = Mapping[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "format": "int64"}
_PERCENT: Schema = {"type": "integer", "minimum": 0, "maximum": 100}
_PATHS: Schema = {"type": "array", "items": {"type": "array", "items": _TEXT}}
_JOB_ID: Schema = {"description": "The job's id; a number is taken too.", "type": "string"}
_STATE: Schema = {
    "type": "string",
    "enum": ["Pending", "Importing", "Uncommitted", "Committing", "Completed", "Failed"],
}

_TARGET: dict[str, Schema] = {
    "clusterId": {"type": "string", "description": "Asks for the Zilliz profile; else the server's own cluster."},
    "projectId": {"type": "string", "description": "Asks for the Zilliz profile."},
    "regionId": _TEXT,
    "dbName": {"type": "string", "description": "Else the header DB-Name, else default."},
}


def _object(properties: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": properties}


CREATE = Operation(
    summary="Create an import job",
    tag="import jobs (v2)",
    description="Answers at once; the job reads the files. Name them by one of files, objectUrl and objectUrls. "
    "With a header Idempotency-Key (1 to 256 printable ASCII characters) the same key and collection give the same "
    "job for a day; another request under the same key is refused.",
    body=_TARGET
    | {
        "collectionName": _TEXT,
        "partitionName": _TEXT,
        "files": {
            **_PATHS,
            "description": "Groups: each one file, one folder ending in /, or one NumPy set.",
            "example": [["0.parquet"], ["1.parquet"]],
        },
        "objectUrl": _TEXT,
        "objectUrls": _PATHS,
        "accessKey": _TEXT,
        "secretKey": _TEXT,
        "token": _TEXT,
        "options": {
            "type": "object",
            "additionalProperties": _TEXT,
            "description": "timeout, sep, nullkey, auto_commit as in Milvus; unknown_columns for columns and keys "
            "that are no field: dynamic (they become dynamic values), drop or error.",
        },
    },
    required=["collectionName"],
    data=_object({"jobId": _TEXT}),
)

_ROW: dict[str, Schema] = {
    "collectionName": _TEXT,
    "jobId": _TEXT,
    "state": _STATE,
    "progress": _PERCENT,
    "reason": {
        "type": "string",
        "description": "Why the job failed; of one that goes on, what is being tried again.",
    },
}

LIST = Operation(
    summary="List import jobs, newest first",
    tag="import jobs (v2)",
    description="Without clusterId and projectId: all unfinished jobs and those finished lately, unpaged.",
    body=_TARGET
    | {
        "collectionName": _TEXT,
        "pageSize": {"type": "integer", "minimum": 1, "maximum": 100, "default": 10},
        "currentPage": {"type": "integer", "minimum": 1, "default": 1},
        "state": {"oneOf": [_STATE, {"type": "array", "items": _STATE}]},
        "before": {"type": "string", "description": "Only jobs older than the one of this id."},
        "createdAfter": {"type": "string", "format": "date-time"},
        "createdBefore": {"type": "string", "format": "date-time"},
    },
    data=_object(
        {
            "records": {"type": "array", "items": _object(_ROW)},
            "count": {**_COUNT, "description": "All matches, before paging (Zilliz profile)."},
            "currentPage": _COUNT,
            "pageSize": _COUNT,
        }
    ),
)

_PROGRESS: dict[str, Schema] = {
    "fileSize": {**_COUNT, "description": "Bytes."},
    "progress": _PERCENT,
    "importedRows": {
        **_COUNT,
        "description": "Rows read so far while the job runs, rows that are visible once it is Completed; 0 when it "
        "has failed or was aborted.",
    },
    "totalRows": _COUNT,
    "completeTime": {"type": "string", "description": "RFC 3339; empty until finished."},
    "reason": {"type": "string", "description": "Why it failed."},
}
_FILE: dict[str, Schema] = _PROGRESS | {
    "fileName": _TEXT,
    "state": {"type": "string", "enum": ["Pending", "InProgress", "Importing", "Completed", "Failed"]},
}
_WARNING: dict[str, Schema] = {"code": _TEXT, "message": _TEXT, "count": _COUNT}

DESCRIBE = Operation(
    summary="Show one import job",
    tag="import jobs (v2)",
    body=_TARGET | {"jobId": _JOB_ID},
    required=["jobId"],
    data=_object(
        _PROGRESS
        | {
            "jobId": _TEXT,
            "collectionName": _TEXT,
            "fileName": {"type": "string", "description": "Zilliz profile only."},
            "state": _STATE,
            "createTime": _TEXT,
            "stage": {"type": "string", "description": "What the job is at, where known."},
            "warnings": {"type": "array", "items": _object(_WARNING)},
            "details": {"type": "array", "items": _object(_FILE)},
        }
    ),
)

DESCRIBE_BY_GET = replace(
    DESCRIBE, body={}, query=DESCRIBE.body, summary="Show one import job (older guides use GET)"
)

COMMIT = Operation(
    summary="Commit an import job that waits as Uncommitted",
    tag="import jobs (v2)",
    body=_TARGET | {"jobId": _JOB_ID},
    required=["jobId"],
)

ABORT = replace(COMMIT, summary="Abort an import job that has not been committed")

RETRY = replace(
    COMMIT,
    summary="Let a failed import job go on with what is missing of it",
    description="The job keeps its id and the splits that it has staged of files that haven't changed. Keys of an "
    "object store are forgotten when a job ends: one that was created with keys needs them again.",
    body=_TARGET | {"jobId": _JOB_ID, "accessKey": _TEXT, "secretKey": _TEXT, "token": _TEXT},
)

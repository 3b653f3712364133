"""OpenAPI operations of the import routes of the Zilliz Cloud v1 dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.wire.http import Operation

Schema = Mapping[str, Any]

_TAG = "import jobs (v1)"
_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "format": "int64"}
_CLUSTER: dict[str, Schema] = {"clusterId": {"type": "string", "example": "in01-local"}}

CREATE = Operation(
    summary="Create an import job",
    tag=_TAG,
    description="Checks that the object exists and returns; the job reads it. With a header Idempotency-Key the same "
    "key and collection return the same job for a day.",
    body=_CLUSTER
    | {
        "collectionName": _TEXT,
        "partitionName": _TEXT,
        "objectUrl": {"type": "string", "description": "One file, or a folder ending in /."},
        "accessKey": _TEXT,
        "secretKey": _TEXT,
    },
    required=["clusterId", "collectionName", "objectUrl"],
    data={"type": "object", "properties": {"jobId": _TEXT}},
)

_PROGRESS: dict[str, Schema] = {
    "fileName": _TEXT,
    "fileSize": {**_COUNT, "description": "Bytes."},
    "readyPercentage": {"type": "number", "minimum": 0, "maximum": 1},
    "completeTime": {"type": "string", "nullable": True, "description": "RFC 3339; null until finished."},
    "errorMessage": {"type": "string", "nullable": True},
}

GET = Operation(
    summary="Get the progress of an import job",
    tag=_TAG,
    query=_CLUSTER | {"jobId": _TEXT},
    required=["clusterId", "jobId"],
    data={
        "type": "object",
        "properties": _PROGRESS
        | {
            "collectionName": _TEXT,
            "jobId": _TEXT,
            "details": {"type": "array", "items": {"type": "object", "properties": _PROGRESS}},
        },
    },
)

_ROWS: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "collectionName": _TEXT,
            "jobId": _TEXT,
            "state": {"type": "string", "enum": ["ImportRunning", "ImportCompleted", "ImportFailed"]},
        },
    },
}

LIST = Operation(
    summary="List the import jobs of a cluster, newest first",
    tag=_TAG,
    query=_CLUSTER
    | {
        "pageSize": {"type": "integer", "minimum": 5, "maximum": 100, "default": 10},
        "currentPage": {"type": "integer", "minimum": 1, "default": 1},
    },
    required=["clusterId"],
    data={
        "type": "object",
        "properties": {
            "tasks": _ROWS,
            "records": {**_ROWS, "description": "The same as tasks."},
            "count": {**_COUNT, "description": "All jobs, before paging."},
            "currentPage": _COUNT,
            "pageSize": _COUNT,
        },
    },
)

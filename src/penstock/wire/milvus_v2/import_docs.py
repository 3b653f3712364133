"""OpenAPI operations of the import routes of the Milvus v2 dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from penstock.domain.import_options import IMPORT_OPTIONS, ImportOption
from penstock.wire.http import Operation

Schema = Mapping[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "format": "int64"}
_PERCENT: Schema = {"type": "integer", "minimum": 0, "maximum": 100}
_PATHS: Schema = {"type": "array", "items": {"type": "array", "items": _TEXT}}
_JOB_ID: Schema = {"description": "The job's id; a number is accepted, too.", "type": "string"}
_STATE: Schema = {
    "type": "string",
    "enum": ["Pending", "Importing", "Uncommitted", "Committing", "Completed", "Failed"],
}

_TARGET: dict[str, Schema] = {
    "clusterId": {"type": "string", "description": "Selects the Zilliz profile; default: the server's own cluster."},
    "projectId": {"type": "string", "description": "Selects the Zilliz profile."},
    "regionId": _TEXT,
    "dbName": {"type": "string", "description": "Default: the header DB-Name, else default."},
}


def _object(properties: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": properties}


def _option(option: ImportOption) -> Schema:
    values = {"enum": list(option.values)} if option.values else {}
    default = f" (default: {option.default})" if option.default else ""
    return {"type": "string", "description": f"{option.help}{default}.", **values}


CREATE = Operation(
    summary="Create an import job",
    tag="import jobs (v2)",
    description="Returns immediately; the job reads the files, given by one of files, objectUrl and objectUrls. "
    "With a header Idempotency-Key (1 to 256 printable ASCII characters) the same key and collection return the same "
    "job for a day; a different request with the same key is rejected.",
    body=_TARGET
    | {
        "collectionName": _TEXT,
        "partitionName": _TEXT,
        "files": {
            **_PATHS,
            "description": "List of groups: one file, folder ending in /, pattern (*, ?, [...], **), manifest or "
            "upload (upload://ID/name), or one NumPy set per group.",
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
            "properties": {option.name: _option(option) for option in IMPORT_OPTIONS},
            "description": "timeout, sep, nullkey and auto_commit as in Milvus, and this server's own.",
        },
    },
    required=["collectionName"],
    data=_object({"jobId": _TEXT}),
)

LOADED = Operation(
    summary="Find the files that a collection has loaded before",
    tag="import jobs (v2)",
    description="By address, size and version (a local file's inode and times, an object's ETag). Creates nothing; "
    "the option if_loaded of create skips or refuses such files.",
    body={name: schema for name, schema in CREATE.body.items() if name not in ("partitionName", "options")},
    required=["collectionName"],
    data=_object(
        {
            "total": _COUNT,
            "loaded": _COUNT,
            "files": {
                "type": "array",
                "items": _object({"fileName": _TEXT, "jobId": _TEXT, "loadTime": _TEXT}),
                "description": "The first 1,000 of them, with the last job that loaded each.",
            },
        }
    ),
)

INFER = Operation(
    summary="Infer the schema of a collection from import files",
    tag="import jobs (v2)",
    description="Reads the first rows of at most eight of the files and creates nothing. schema and indexParams of "
    "the answer are what collections/create takes; fields has the reason for each guess. What fits no field becomes "
    "a dynamic value.",
    body={name: schema for name, schema in CREATE.body.items() if name not in ("collectionName", "partitionName")}
    | {
        "id": {
            "type": "string",
            "description": "Column of the primary key; by default one named as a key.",
        },
        "vector": {
            "type": "string",
            "description": "Column of the vector to search by default, or a pattern such as emb_* "
            "of columns with a number, one for each dimension.",
        },
        "autoId": {"type": "boolean", "description": "Whether the server generates the keys."},
    },
    data=_object(
        {
            "schema": {"type": "object", "description": "As in collections/create."},
            "indexParams": {"type": "array", "items": {"type": "object"}},
            "fields": {
                "type": "array",
                "items": _object(
                    {
                        "fieldName": _TEXT,
                        "dataType": _TEXT,
                        "reason": _TEXT,
                        "alternatives": {"type": "array", "items": _TEXT},
                    }
                ),
            },
            "dynamic": {
                "type": "array",
                "items": _object({"name": _TEXT, "reason": _TEXT}),
                "description": "Columns that become dynamic values, and why.",
            },
            "notes": {"type": "array", "items": _TEXT},
            "sampledRows": _COUNT,
            "sampledFiles": {"type": "array", "items": _TEXT},
            "mapping": {
                "type": "object",
                "description": "Sources of fields that the import needs in its option mapping: the columns of a "
                "vector that was chosen by a pattern.",
            },
            "isComplete": {"type": "boolean", "description": "Whether the sample has all rows of all files."},
        }
    ),
)

_ROW: dict[str, Schema] = {
    "collectionName": _TEXT,
    "jobId": _TEXT,
    "state": _STATE,
    "progress": _PERCENT,
    "reason": {
        "type": "string",
        "description": "Why the job failed; for a running job, the error that is being retried.",
    },
}

LIST = Operation(
    summary="List import jobs, newest first",
    tag="import jobs (v2)",
    description="Without clusterId and projectId: all unfinished and recently finished jobs, unpaged.",
    body=_TARGET
    | {
        "collectionName": _TEXT,
        "pageSize": {"type": "integer", "minimum": 1, "maximum": 100, "default": 10},
        "currentPage": {"type": "integer", "minimum": 1, "default": 1},
        "state": {"oneOf": [_STATE, {"type": "array", "items": _STATE}]},
        "before": {"type": "string", "description": "Only jobs older than the job with this id."},
        "createdAfter": {"type": "string", "format": "date-time"},
        "createdBefore": {"type": "string", "format": "date-time"},
        "verbose": {
            "type": "boolean",
            "description": "Also return importedRows, totalRows, fileSize, stage, createTime and completeTime.",
        },
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
        "description": "Rows read so far while the job runs, visible rows once it is Completed; 0 if it "
        "failed or was aborted.",
    },
    "totalRows": _COUNT,
    "rejectedRows": {
        **_COUNT,
        "description": "Rows that were left out (on_error=skip_row); absent if there are none.",
    },
    "completeTime": {"type": "string", "description": "RFC 3339; empty until finished."},
    "reason": {"type": "string", "description": "Reason of the failure."},
}
_FILE: dict[str, Schema] = _PROGRESS | {
    "fileName": _TEXT,
    "state": {"type": "string", "enum": ["Pending", "InProgress", "Importing", "Completed", "Failed"]},
}
_WARNING: dict[str, Schema] = {"code": _TEXT, "message": _TEXT, "count": _COUNT}

DESCRIBE = Operation(
    summary="Describe an import job",
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
            "stage": {"type": "string", "description": "Current stage of the job, if known."},
            "skippedFiles": {**_COUNT, "description": "Files that were left out (on_error=skip_file), if any."},
            "replayOf": {**_TEXT, "description": "The job whose rejected rows or files it imports, if any."},
            "writeMode": {"type": "string", "enum": ["upsert", "overwrite"], "description": "Of other jobs absent."},
            "replacedRows": {**_COUNT, "description": "Rows that went for those of the job."},
            "revert": {
                "type": "string",
                "enum": ["Reverting", "Reverted"],
                "description": "Of a job that was reverted; its state is then Failed, as its rows are not there.",
            },
            "restoredRows": {**_COUNT, "description": "Replaced rows that came back when the job was reverted."},
            "warnings": {"type": "array", "items": _object(_WARNING)},
            "verification": {
                "type": "object",
                "description": "Of option verify: ok, problems, readRows, countedRows, files, searches.",
            },
            "details": {"type": "array", "items": _object(_FILE)},
        }
    ),
)

DESCRIBE_BY_GET = replace(
    DESCRIBE, body={}, query=DESCRIBE.body, summary="Describe an import job (older guides use GET)"
)

EVENTS = Operation(
    summary="Stream the changes of import jobs as server-sent events",
    tag="import jobs (v2)",
    description="One event job per change, its data as that of describe. First come the present states: of the "
    "job, or of the newest 1,000 unfinished jobs. The stream of one job ends with its final state. A client "
    "that connects again with Last-Event-ID also gets the jobs that ended meanwhile. Comments are "
    "heartbeats.",
    query=_TARGET
    | {
        "jobId": {**_JOB_ID, "description": "One job; default: all jobs that the caller may see in the cluster."},
        "collectionName": _TEXT,
        "state": {**_STATE, "description": "Only jobs in this state, and once more each that leaves it."},
        "details": {"type": "boolean", "description": "Also details of the job's files; needs jobId."},
    },
    reply_media_type="text/event-stream",
)

COMMIT = Operation(
    summary="Commit an import job in state Uncommitted",
    tag="import jobs (v2)",
    body=_TARGET | {"jobId": _JOB_ID},
    required=["jobId"],
)

ABORT = replace(COMMIT, summary="Abort an import job that has not been committed")

RETRY = replace(
    COMMIT,
    summary="Resume a failed import job with what is missing",
    description="The job keeps its id and the finished splits of unchanged files. Credentials of an object store are "
    "deleted when a job ends: a job that was created with credentials needs them again.",
    body=_TARGET | {"jobId": _JOB_ID, "accessKey": _TEXT, "secretKey": _TEXT, "token": _TEXT},
)

_REASON: dict[str, Schema] = {
    "field": {**_TEXT, "description": "The field or column; null where the row as a whole is wrong."},
    "rule": {**_TEXT, "description": "The name of the rule that is broken; stable."},
    "value": {**_TEXT, "description": "The value, cut."},
    "message": _TEXT,
}
_ERROR: dict[str, Schema] = {
    "file": _TEXT,
    "row": {**_COUNT, "description": "Counted from 0 in the file; null where that isn't known."},
    "offset": {**_COUNT, "description": "The byte where the row begins, in files of text."},
    "key": {**_TEXT, "description": "The row's primary key."},
    "wholeFile": {"type": "boolean", "description": "The file failed, or was left out, as a whole."},
    "reasons": {"type": "array", "items": _object(_REASON)},
    "source": {**_TEXT, "description": "The row as JSON, or as its text."},
}

ERRORS = Operation(
    summary="List the rows and files that an import job rejected, and why",
    tag="import jobs (v2)",
    description="Also of a failed job: why it failed. With groupBy, groups with counts and three examples.",
    body=_TARGET
    | {
        "jobId": _JOB_ID,
        "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
        "cursor": {**_TEXT, "description": "That of the page before; empty for the first one."},
        "file": _TEXT,
        "field": _TEXT,
        "rule": _TEXT,
        "groupBy": {"type": "array", "items": {"type": "string", "enum": ["rule", "field", "file"]}},
    },
    required=["jobId"],
    data=_object(
        {
            "jobId": _TEXT,
            "rejectedRows": _COUNT,
            "keptRows": {**_COUNT, "description": "Rejected rows whose errors are kept."},
            "skippedFiles": _COUNT,
            "errors": {"type": "array", "items": _object(_ERROR)},
            "cursor": {**_TEXT, "description": "That of the next page; empty after the last one."},
            "groups": {
                "type": "array",
                "items": _object(
                    {
                        "rule": _TEXT,
                        "field": _TEXT,
                        "file": _TEXT,
                        "rows": _COUNT,
                        "examples": {"type": "array", "items": _object(_ERROR)},
                    }
                ),
            },
        }
    ),
)

DOWNLOAD_ERRORS = Operation(
    summary="Download the rejected rows of an import job as a file",
    tag="import jobs (v2)",
    description="The reply is the file: the columns of the rows, and those that begin with _error.",
    body=_TARGET | {"jobId": _JOB_ID, "format": {"type": "string", "enum": ["jsonl", "parquet"], "default": "jsonl"}},
    required=["jobId"],
)

REPLAY = Operation(
    summary="Import what a job has left out: its rejected rows, or its bad files",
    tag="import jobs (v2)",
    description="From the job's own files, or from corrected ones, with the job's options.",
    body=_TARGET
    | {
        "jobId": _JOB_ID,
        "files": {"type": "array", "items": {"type": "array", "items": _TEXT}},
        "accessKey": _TEXT,
        "secretKey": _TEXT,
        "token": _TEXT,
    },
    required=["jobId"],
    data=_object({"jobId": _TEXT}),
)

REVERT = replace(
    COMMIT,
    summary="Remove the rows of a completed import job",
    description="Rows that the job replaced come back, within the server's setting replaced_row_retention. Refused "
    "while a later upsert or overwrite has replaced rows of it. Returns when the revert has begun; until its end "
    "describe has revert: Reverting. A repeated call changes nothing.",
)

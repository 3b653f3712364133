"""``/v2/vectordb/jobs/export/…``: create, list, describe, abort and retry exports. All are this server's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from penstock.domain.exports import ExportFile, ExportFormat, ExportJob, ExportRequest
from penstock.domain.parse_int import number_of_digits
from penstock.errors import InvalidParameter, JobNotFound, shorten
from penstock.exports.requests import CreateExport, ExportDetails
from penstock.exports.service import ExportService
from penstock.wire.call_names import call_names
from penstock.wire.decoding import Fields, parse_object, store_credentials
from penstock.wire.http import Call, Operation, Reply, Route
from penstock.wire.milvus.errors import EXPORTS
from penstock.wire.milvus_v2.dialect import PREFIX, MilvusV2, Request
from penstock.wire.rendering import time_text

_MAX_LISTED = 1000
_MAX_FILES = 1000
"""Files in the details of an export; the manifest next to the files has all of them."""

_TAG = "exports"
_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "format": "int64"}
_KEYS: Mapping[str, Mapping[str, Any]] = {
    "accessKey": {
        "type": "string",
        "description": "The caller's own credentials for the target; deleted at the end.",
    },
    "secretKey": _TEXT,
    "token": _TEXT,
}
_SCOPE: Mapping[str, Mapping[str, Any]] = {
    "clusterId": {"type": "string", "description": "Default: the server's own cluster."},
    "dbName": {"type": "string", "description": "Default: the header DB-Name, else default."},
}
_JOB_ID: Mapping[str, Mapping[str, Any]] = {
    "clusterId": _SCOPE["clusterId"],
    "jobId": {"type": "string", "description": "The export's id; a number is accepted, too."},
}
_VIEW: Mapping[str, Mapping[str, Any]] = {
    "jobId": _TEXT,
    "collectionName": _TEXT,
    "state": {"type": "string", "enum": ["Pending", "Exporting", "Completed", "Failed", "Aborted"]},
    "progress": {"type": "integer", "minimum": 0, "maximum": 100},
    "target": _TEXT,
    "format": {"type": "string", "enum": [form.value for form in ExportFormat]},
    "filter": _TEXT,
    "partitionNames": {"type": "array", "items": _TEXT},
    "exportedRows": _COUNT,
    "totalRows": {**_COUNT, "description": "With a filter an upper bound until the export is completed."},
    "fileSize": _COUNT,
    "createTime": _TEXT,
    "completeTime": _TEXT,
    "reason": _TEXT,
}


def routes(exports: ExportService, v2: MilvusV2) -> tuple[Route, ...]:
    v2 = v2.with_errors(EXPORTS)

    def create(request: Request) -> object:
        export = exports.create(_create_request(request))
        return {"jobId": str(export.id)}

    def list_exports(request: Request) -> object:
        fields = request.fields
        limit = fields.integer("limit")
        if limit is not None and not 1 <= limit <= _MAX_LISTED:
            raise InvalidParameter(f"limit must be 1 to {_MAX_LISTED}, not {limit}", limit=limit)
        records = exports.list(
            request.cluster_id,
            request.database,
            request.caller,
            collection=fields.string("collectionName") or None,
            before=fields.integer("before"),
            limit=limit or 100,
        )
        return {"records": [_view(export) for export in records]}

    def describe(request: Request) -> object:
        return _details(exports.get(request.cluster_id, _job_id(request.fields), request.caller))

    def abort(request: Request) -> object:
        exports.abort(request.cluster_id, _job_id(request.fields), request.caller)
        return None

    def retry(request: Request) -> object:
        exports.retry(request.cluster_id, _job_id(request.fields), store_credentials(request.fields), request.caller)
        return None

    def route(action: str, do: Callable[[Request], object], operation: Operation) -> Route:
        def handle(call: Call) -> Reply:
            with v2.admission.call(
                f"export.{action}", authorization=call.authorization, address=call.address, stores_entry=True
            ) as admitted:
                fields = parse_object(call.body, "ExportReq")
                admitted.names = call_names(fields)
                cluster = admitted.enter(fields.string("clusterId"))
                request = Request(call=call, fields=fields, cluster=cluster, caller=admitted.caller)
                return v2.success(do(request))

        path = f"{PREFIX}/jobs/export/{action}"
        read_only = do in (list_exports, describe)
        return Route(method="POST", path=path, handler=handle, dialect=v2, operation=operation, read_only=read_only)

    return (
        route("create", create, _CREATE),
        route("list", list_exports, _LIST),
        route("describe", describe, _DESCRIBE),
        route("abort", abort, _ABORT),
        route("retry", retry, _RETRY),
    )


def _create_request(request: Request) -> CreateExport:
    fields = request.fields
    fields.require("collectionName", "target")
    text = fields.string("format") or ExportFormat.PARQUET.value
    try:
        form = ExportFormat(text.lower())
    except ValueError:
        known = ", ".join(form.value for form in ExportFormat)
        raise InvalidParameter(f"unknown format {shorten(text)!r}; formats are {known}", format=text) from None
    return CreateExport(
        cluster_id=request.cluster_id,
        database=request.database,
        collection=fields.required_string("collectionName"),
        request=ExportRequest(
            target=fields.required_string("target"),
            format=form,
            filter=fields.string("filter") or "",
            partitions=tuple(fields.strings("partitionNames") or ()),
            with_auto_ids=fields.boolean("withAutoIds") or False,
        ),
        keys=store_credentials(fields),
        caller=request.caller,
    )


def _job_id(fields: Fields) -> int:
    fields.require("jobId")
    text = fields.text("jobId") or ""
    number = number_of_digits(text)
    if number is None or not 0 <= number < 2**63:
        raise JobNotFound(f"no export has the id {shorten(text)}", job_id=text)
    return number


def _view(export: ExportJob) -> dict[str, Any]:
    view: dict[str, Any] = {
        "jobId": str(export.id),
        "collectionName": export.collection,
        "state": export.state.value,
        "progress": export.progress,
        "target": export.request.target,
        "format": export.request.format.value,
        "exportedRows": export.rows,
        "totalRows": export.total_rows,
        "fileSize": export.size,
        "createTime": time_text(export.created_at),
        "completeTime": _time(export.finished_at),
    }
    if export.request.filter:
        view["filter"] = export.request.filter
    if export.request.partitions:
        view["partitionNames"] = list(export.request.partitions)
    if export.reason:
        view["reason"] = export.reason
    return view


def _details(details: ExportDetails) -> dict[str, Any]:
    return _view(details.export) | {"files": len(details.files), "details": _files(details.files[:_MAX_FILES])}


def _files(files: Sequence[ExportFile]) -> list[dict[str, Any]]:
    return [
        {"fileName": file.name, "rows": file.rows, "fileSize": file.size, "sha256": file.sha256} for file in files
    ]


def _time(time: datetime | None) -> str:
    return "" if time is None else time_text(time)


def _object(properties: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    return {"type": "object", "properties": properties}


_CREATE = Operation(
    summary="Create an export",
    tag=_TAG,
    description="Returns immediately; the export writes the rows that the collection has when it begins into a new "
    "or empty folder, as files that import back equal, with _schema.json and _manifest.json next to them. "
    "Requires a writer, or a reader with its own credentials for the target.",
    body={
        **_SCOPE,
        "collectionName": _TEXT,
        "target": {
            "type": "string",
            "description": "A folder below an export root, or s3://bucket/prefix (gs://, az://).",
            "example": "exports/docs",
        },
        "format": {"type": "string", "enum": [form.value for form in ExportFormat], "default": "parquet"},
        "filter": {"type": "string", "description": "As in queries; default: all rows."},
        "partitionNames": {"type": "array", "items": _TEXT, "description": "Default: all partitions."},
        "withAutoIds": {
            "type": "boolean",
            "description": "Whether generated ids are exported; then the schema file has a key without generation.",
        },
        **_KEYS,
    },
    required=["collectionName", "target"],
    data=_object({"jobId": _TEXT}),
)
_LIST = Operation(
    summary="List exports",
    tag=_TAG,
    description="Those of a database or collection, newest first.",
    body={
        **_SCOPE,
        "collectionName": _TEXT,
        "limit": {"type": "integer", "minimum": 1, "maximum": _MAX_LISTED, "default": 100},
        "before": {**_COUNT, "description": "Only exports with a smaller id."},
    },
    data=_object({"records": {"type": "array", "items": _object(_VIEW)}}),
)
_DESCRIBE = Operation(
    summary="Describe an export",
    tag=_TAG,
    body=_JOB_ID,
    required=["jobId"],
    data=_object(
        {
            **_VIEW,
            "files": _COUNT,
            "details": {
                "type": "array",
                "items": _object({"fileName": _TEXT, "rows": _COUNT, "fileSize": _COUNT, "sha256": _TEXT}),
                "description": f"The first {_MAX_FILES} files that are complete.",
            },
        }
    ),
)
_ABORT = Operation(
    summary="Abort an export",
    tag=_TAG,
    description="Ends an unfinished or failed export and deletes the files that it has written.",
    body=_JOB_ID,
    required=["jobId"],
)
_RETRY = Operation(
    summary="Retry a failed export",
    tag=_TAG,
    description="Goes on with the parts that are missing, of the same version of the collection.",
    body={**_JOB_ID, **_KEYS},
    required=["jobId"],
)

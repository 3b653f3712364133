"""``/v2/vectordb/jobs/import/…``: create, list, describe, commit, abort, retry and revert import jobs; infer schemas.

A call with a non-empty ``clusterId`` or ``projectId`` gets the Zilliz profile (paging, its error numbers), any other
the Milvus profile. Keys that neither of the two has: ``state``, ``before``, ``createdAfter`` and ``createdBefore``
filter a list, and ``verbose`` adds rows, bytes, stage and times to it; ``createTime``, ``stage`` and ``warnings`` are
further details of a job, ``writeMode`` and ``replacedRows`` of one that replaces rows, ``revert`` and
``restoredRows`` of one that is reverted. ``infer``, ``retry``, ``errors``, ``replay``, ``revert`` and the header
``Idempotency-Key`` of create are this server's own, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from penstock.access.admission import AdmittedCall
from penstock.domain.access import Caller
from penstock.domain.collections import Cluster
from penstock.domain.jobs import JobState
from penstock.domain.parameter_values import MAX_INT32, MAX_INT64
from penstock.domain.parse_int import number_of_digits
from penstock.errors import (
    ClusterNotFound,
    InvalidParameter,
    JobNotFound,
    PenstockError,
    TooManyAttempts,
    Unauthenticated,
    Unsupported,
    shorten,
)
from penstock.imports.api import Imports
from penstock.imports.change_feed import Scope
from penstock.imports.job_events import JobEvents
from penstock.imports.rejections import Rejections
from penstock.imports.requests import CreateImport, JobQuery, ReplayImport
from penstock.imports.schema_inference import InferSchema, SchemaInference
from penstock.inference.infer import InferOptions
from penstock.wire.call_names import call_names
from penstock.wire.decoding import Fields, MalformedBody, parse_object, store_credentials
from penstock.wire.http import IDEMPOTENCY_KEY, Call, Operation, Reply, Route
from penstock.wire.milvus.errors import Refused
from penstock.wire.milvus_v2 import import_docs as docs
from penstock.wire.milvus_v2 import import_errors
from penstock.wire.milvus_v2.dialect import PREFIX, MilvusV2, Request
from penstock.wire.milvus_v2.import_events import NOTHING_MORE, is_after_end, open_stream, resumed_at
from penstock.wire.milvus_v2.import_views import MILVUS, STATE_FILTER, ZILLIZ, Profile
from penstock.wire.milvus_v2.inference_views import inferred_to_rest
from penstock.wire.rendering import time_text

MAX_PAGE_SIZE = 100
_MAX_LOADED = 1000
_CLUSTER_ID = re.compile(r"in\d{2}-[0-9A-Za-z_-]+\Z")
_PROJECT_ID = re.compile(r"proj-[0-9A-Za-z_-]+\Z")
_NUMBER = re.compile(r"[+-]?[0-9]+\Z")


@dataclass(frozen=True, slots=True)
class _ImportCall:
    """A decoded call and its profile."""

    request: Request
    profile: Profile

    @property
    def caller(self) -> Caller:
        return self.request.caller

    @property
    def fields(self) -> Fields:
        return self.request.fields

    @property
    def cluster_id(self) -> str:
        return self.request.cluster_id


_Action = Callable[[_ImportCall], object]


def routes(
    imports: Imports,
    job_events: JobEvents,
    inference: SchemaInference,
    rejections: Rejections,
    v2: MilvusV2,
    *,
    region: str,
) -> tuple[Route, ...]:
    """The routes of import jobs and inferences. ``region`` is the server's, checked for calls that name one."""

    def create(call: _ImportCall) -> object:
        job = imports.create(_create_request(call))
        return {"jobId": str(job.id)}

    def infer(call: _ImportCall) -> object:
        return inferred_to_rest(inference.infer(_infer_request(call)))

    def loaded(call: _ImportCall) -> object:
        answer = imports.loaded(_create_request(call))
        return {
            "total": answer.total,
            "loaded": len(answer.loaded),
            "files": [
                {"fileName": name, "jobId": str(match.job_id), "loadTime": time_text(match.loaded_at)}
                for name, match in answer.loaded[:_MAX_LOADED]
            ],
        }

    def list_jobs(call: _ImportCall) -> object:
        query = _query(call)
        return call.profile.page(imports.list(query), query, verbose=call.fields.boolean("verbose") or False)

    def describe(call: _ImportCall) -> object:
        text, job_id = _job_id(call)
        try:
            details = imports.get(call.cluster_id, job_id, call.caller)
        except JobNotFound as error:
            raise JobNotFound(f"import job does not exist, jobID={job_id}", **error.details) from error
        return call.profile.details(details, text)

    def events(call: _ImportCall) -> object:
        fields, since = call.fields, resumed_at(call.request.call)
        files = fields.boolean("details") or False
        if "jobId" not in fields:
            if files:
                raise InvalidParameter(
                    "details=true needs a jobId: details of files are sent of one job", key="details"
                )
            query = _query(call)

            def scope_of(cluster: Cluster, caller: Caller) -> Scope:
                return job_events.scope_of_query(cluster, replace(query, caller=caller), since)
        else:
            _, job_id = _job_id(call)
            if is_after_end(call.request.call, job_events.job(call.cluster_id, job_id, call.caller)):
                return NOTHING_MORE

            def scope_of(cluster: Cluster, caller: Caller) -> Scope:
                return job_events.scope_of_job(cluster, job_id, caller, files=files)

        return open_stream(job_events, v2.admission, call.request, call.profile, scope_of)

    def commit(call: _ImportCall) -> object:
        _change(call, imports.commit)
        return None

    def abort(call: _ImportCall) -> object:
        _change(call, imports.abort)
        return None

    def retry(call: _ImportCall) -> object:
        credentials = store_credentials(call.fields)
        _change(call, lambda cluster_id, job_id, caller: imports.retry(cluster_id, job_id, credentials, caller))
        return None

    def errors(call: _ImportCall) -> object:
        return import_errors.errors(rejections, call.fields, call.cluster_id, _job_id(call)[1], call.caller)

    def download(call: _ImportCall) -> object:
        return import_errors.download(rejections, call.fields, call.cluster_id, _job_id(call)[1], call.caller)

    def replay(call: _ImportCall) -> object:
        request = ReplayImport(
            cluster_id=call.cluster_id,
            job_id=_job_id(call)[1],
            groups=_path_lists(call.fields, "files") or (),
            keys=store_credentials(call.fields),
            caller=call.caller,
        )
        return {"jobId": str(imports.replay(request).id)}

    def revert(call: _ImportCall) -> object:
        _change(call, imports.revert)
        return None

    def route(method: str, action: str, do: _Action, struct: str, operation: Operation) -> Route:
        def handle(call: Call) -> Reply:
            profile = MILVUS
            try:
                try:
                    with v2.admission.call(
                        f"import.{action.replace('/', '_')}",
                        authorization=call.authorization,
                        address=call.address,
                        stores_entry=True,
                    ) as admitted:
                        fields = _decode(call, struct)
                        admitted.names = call_names(fields)
                        profile = _profile(fields)
                        cluster = _cluster(fields, admitted, region)
                        request = Request(call=call, fields=fields, cluster=cluster, caller=admitted.caller)
                        data = do(_ImportCall(request, profile))
                        return data if isinstance(data, Reply) else v2.success(data)
                except (Unauthenticated, TooManyAttempts):
                    # They get the error of their profile, which only the body determines.
                    profile = _profile(_decode(call, struct))
                    raise
            except PenstockError as error:
                return v2.failure(error, call.request_id, profile.errors)

        path = f"{PREFIX}/jobs/import/{action}"
        return Route(
            method=method,
            path=path,
            handler=handle,
            dialect=v2,
            operation=operation,
            read_only=do in (list_jobs, describe, events),
            streams=do is events,
        )

    return (
        route("POST", "create", create, "ImportReq", docs.CREATE),
        route("POST", "infer", infer, "ImportReq", docs.INFER),
        route("POST", "get_loaded", loaded, "ImportReq", docs.LOADED),
        route("POST", "list", list_jobs, "OptionalCollectionNameReq", docs.LIST),
        route("POST", "describe", describe, "JobIDReq", docs.DESCRIBE),
        route("POST", "get_progress", describe, "JobIDReq", docs.DESCRIBE),
        route("POST", "getProgress", describe, "JobIDReq", docs.DESCRIBE),
        route("GET", "getProgress", describe, "JobIDReq", docs.DESCRIBE_BY_GET),
        route("GET", "events", events, "JobIDReq", docs.EVENTS),
        route("POST", "commit", commit, "JobIDReq", docs.COMMIT),
        route("POST", "abort", abort, "JobIDReq", docs.ABORT),
        route("POST", "retry", retry, "JobIDReq", docs.RETRY),
        route("POST", "errors", errors, "JobIDReq", docs.ERRORS),
        route("POST", "errors/download", download, "JobIDReq", docs.DOWNLOAD_ERRORS),
        route("POST", "replay", replay, "JobIDReq", docs.REPLAY),
        route("POST", "revert", revert, "JobIDReq", docs.REVERT),
    )


def _decode(call: Call, struct: str) -> Fields:
    """Decode the body, or the query of a GET without one."""
    if call.method == "GET" and not call.body.strip():
        return Fields(call.query, struct)
    return parse_object(call.body, struct)


def _profile(fields: Fields) -> Profile:
    return ZILLIZ if "clusterId" in fields or "projectId" in fields else MILVUS


def _cluster(fields: Fields, admitted: AdmittedCall, region: str) -> Cluster:
    """The cluster of a call."""
    cluster_id, project_id, region_id = (fields.string(key) for key in ("clusterId", "projectId", "regionId"))
    if (cluster_id is not None and not cluster_id.strip()) or (region_id and not cluster_id and not project_id):
        raise Refused(96025, "Empty clusterId. Please specify a clusterId.")
    if project_id and not _PROJECT_ID.match(project_id):
        raise Refused(96005, "Invalid projectId. The projectId should be like proj-xxxxxxxx.")
    if project_id and region_id and region_id != region:
        raise Refused(
            96001,
            "Invalid RegionId. Please use the ListCloudRegions API to obtain a list of supported regionIds.",
        )
    try:
        return admitted.enter(cluster_id)
    except ClusterNotFound as error:
        if cluster_id is None or _CLUSTER_ID.match(cluster_id):
            raise
        raise Refused(96036, "Invalid clusterId.") from error


def _job_id(call: _ImportCall) -> tuple[str, int]:
    """The job id as text, as sent, and as a number."""
    call.fields.require("jobId")
    text = call.fields.text("jobId") or ""
    number = number_of_digits(text)
    if number is not None and abs(number) <= MAX_INT64:
        return text, number
    if call.profile is ZILLIZ:
        raise JobNotFound(f"no job has the id {shorten(text)}", job_id=text)
    why = "value out of range" if _NUMBER.match(text) else "invalid syntax"
    raise InvalidParameter(f'parse job id failed: strconv.ParseInt: parsing "{shorten(text)}": {why}', job_id=text)


def _change(call: _ImportCall, change: Callable[[str, int, Caller], object]) -> None:
    """Commit, abort, retry or revert the job of a call."""
    text = call.fields.text("jobId")
    if text is not None and call.profile is MILVUS and not _NUMBER.match(text):
        raise InvalidParameter(f"invalid parameter[expected=int64 jobId][actual={shorten(text)}]", job_id=text)
    _, job_id = _job_id(call)
    try:
        change(call.cluster_id, job_id, call.caller)
    except JobNotFound as error:
        raise JobNotFound(f"job {job_id} not found", **error.details) from error


def _create_request(call: _ImportCall) -> CreateImport:
    fields = call.fields
    groups = _groups(call, "collectionName")
    fields.require("collectionName")
    return CreateImport(
        cluster_id=call.cluster_id,
        database=call.request.database,
        collection=fields.required_string("collectionName"),
        partition=fields.string("partitionName"),
        groups=groups,
        options=_options(call),
        keys=store_credentials(fields),
        idempotency_key=call.request.call.headers.get(IDEMPOTENCY_KEY),
        caller=call.caller,
    )


def _infer_request(call: _ImportCall) -> InferSchema:
    fields = call.fields
    chosen = InferOptions(
        id=fields.string("id") or "",
        vector=fields.string("vector") or "",
        auto_id=fields.boolean("autoId") or False,
    )
    return InferSchema(
        cluster_id=call.cluster_id,
        database=call.request.database,
        groups=_groups(call),
        options=_options(call),
        chosen=chosen,
        keys=store_credentials(fields),
        caller=call.caller,
    )


def _groups(call: _ImportCall, *required: str) -> Sequence[Sequence[str]]:
    """The files of the call, from one of three keys, as groups of paths; ``required`` are its other keys."""
    fields = call.fields
    url = fields.string("objectUrl")
    sources: dict[str, Sequence[Sequence[str]] | None] = {
        "files": _path_lists(fields, "files"),
        "objectUrl": None if url is None else [[url]],
        "objectUrls": _path_lists(fields, "objectUrls"),
    }
    data_paths = _path_lists(fields, "dataPaths")
    if fields.string("volumeName") or fields.string("stageName") or data_paths:
        raise Unsupported(
            "volumes are not offered by this server; name the files by files, objectUrl or objectUrls",
            key="volumeName",
        )
    present = [name for name, groups in sources.items() if groups]
    if len(present) > 1:
        raise InvalidParameter(f"pass the files once, not by {' and by '.join(present)}", keys=present)
    if present:
        return sources[present[0]] or ()
    if any(groups is not None for groups in sources.values()):
        return ()
    if call.profile is ZILLIZ:
        raise Refused(90142, "No import content provided.")
    fields.require(*required, "files")
    return ()


def _path_lists(fields: Fields, key: str) -> Sequence[Sequence[str]] | None:
    """Decode lists of paths. A plain list is refused with Milvus's error, and a correct example."""
    try:
        return fields.string_lists(key)
    except MalformedBody as error:
        value = fields.value(key)
        paths = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        if not paths or not all(isinstance(path, str) for path in paths):
            raise
        example = ", ".join(f"[{orjson.dumps(shorten(path, 100)).decode()}]" for path in paths[:2])
        more = ", …" if len(paths) > 2 else ""
        raise MalformedBody(
            f'{error}. Write a list of lists, "{key}": [{example}{more}]: each inner list is one file, one folder '
            "that ends in /, or the .npy files of one NumPy set",
            **error.details,
        ) from error


def _options(call: _ImportCall) -> Mapping[str, str]:
    """Decode the options, which are strings in Milvus; calls to Zilliz Cloud may have numbers and booleans, too."""
    fields = call.fields
    values = fields.mapping("options") or {}
    strict = call.profile is MILVUS
    if "auto_commit" in values and not _is_flag(values["auto_commit"], strict=strict):
        raise MalformedBody('options.auto_commit must be one of "true" or "false"', key="options")
    options = {key: _option(fields, key, value, strict=strict) for key, value in values.items()}
    if "auto_commit" in options:
        options["auto_commit"] = options["auto_commit"].lower()
    return options


def _is_flag(value: Any, *, strict: bool) -> bool:
    return (isinstance(value, str) and value.lower() in ("true", "false")) or (isinstance(value, bool) and not strict)


def _option(fields: Fields, key: str, value: Any, *, strict: bool) -> str:
    if isinstance(value, dict | list) or (strict and not isinstance(value, str | None)):
        error = fields.mismatch("options", value, "string")
        text = orjson.dumps(orjson.dumps(value).decode()).decode()
        raise MalformedBody(
            f'{error}. Write the value of an option as a string: "{shorten(key)}": {shorten(text)}', **error.details
        )
    return value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()


def _query(call: _ImportCall) -> JobQuery:
    fields = call.fields
    page_size, page = _paging(fields) if call.profile.paged else (None, 1)
    before = fields.integer("before")
    return JobQuery(
        cluster_id=call.cluster_id,
        database=fields.string("dbName"),
        resolve_in=call.request.database,
        collection=fields.string("collectionName"),
        states=_states(fields),
        created_after=_time(fields, "createdAfter"),
        created_before=_time(fields, "createdBefore"),
        page_size=page_size,
        page=page,
        before=before,
        caller=call.caller,
    )


def _paging(fields: Fields) -> tuple[int, int]:
    page_size = fields.integer("pageSize")
    page = fields.integer("currentPage")
    if page_size is not None and not 1 <= page_size <= MAX_PAGE_SIZE:
        raise Refused(96008, "The parameter value for pageSize should be between 1 and 100.")
    if page is not None and not 1 <= page <= MAX_INT32:
        raise Refused(96009, "The parameter currentPage should have a value between 1 and the maximum value of Int.")
    return page_size or 10, page or 1


def _states(fields: Fields) -> Sequence[JobState]:
    """The states of one word of the dialect, or of a list of them."""
    value = fields.value("state")
    words = [value] if isinstance(value, str) else fields.strings("state") or []
    unknown = [word for word in words if word not in STATE_FILTER]
    if unknown:
        raise InvalidParameter(
            f"no job has the state {shorten(unknown[0])}; states are {', '.join(STATE_FILTER)}", key="state"
        )
    states = {state for word in words for state in STATE_FILTER[word]}
    return tuple(state for state in JobState if state in states)


def _time(fields: Fields, key: str) -> datetime | None:
    text = fields.string(key)
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidParameter(
            f"{key} must be a time such as 2024-05-18T02:57:13Z, not {shorten(text)}", key=key
        ) from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)

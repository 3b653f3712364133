"""``/v1/vector/collections/import``: create an import job, get its progress, list jobs.

See :mod:`penstock.wire.zilliz_v1.errors` for the precedence of errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from penstock.access.admission import AdmittedCall
from penstock.domain.access import Role
from penstock.domain.names import check_collection_name
from penstock.domain.parameter_values import MAX_INT32, MAX_INT64, whole_number
from penstock.errors import ClusterNotFound, InvalidName, JobNotFound, shorten, shorten_name
from penstock.imports.api import Imports
from penstock.imports.requests import CreateImport, JobQuery, StoreCredentials
from penstock.wire.call_names import call_names
from penstock.wire.decoding import Fields, parse_object
from penstock.wire.http import IDEMPOTENCY_KEY, Call, Operation, Reply, Route
from penstock.wire.zilliz_v1 import import_docs as docs
from penstock.wire.zilliz_v1 import import_views as views
from penstock.wire.zilliz_v1.dialect import PREFIX, ZillizV1
from penstock.wire.zilliz_v1.errors import Refused

DEFAULT_PAGE_SIZE = 10
MIN_PAGE_SIZE = 5
MAX_PAGE_SIZE = 100

_CONTROLLER = re.compile(r"controller\.api\.(?P<region>[^.:]+)\.(zillizcloud\.com|cloud\.zilliz\.com\.cn)(:\d+)?\Z")
_SECRET_PARTS = re.compile(r"(?<=://)[^/]*@|\?.*", re.DOTALL)
"""Of an address: what may hold a password or a signature."""
_Action = Callable[[Call, AdmittedCall], Reply]
_CLUSTER_ID = re.compile(r"in\d{2}-[0-9A-Za-z_-]+\Z")


def routes(imports: Imports, v1: ZillizV1, *, region: str) -> tuple[Route, ...]:
    """The three routes. ``region`` is the server's."""

    def create(call: Call, admitted: AdmittedCall) -> Reply:
        if not call.body.strip():
            raise Refused(90142)
        fields = parse_object(call.body, "body")
        admitted.names = call_names(fields)
        cluster_id = _cluster(fields, admitted, region, absent=90103)
        collection = _collection(fields)
        job = imports.create(
            CreateImport(
                cluster_id=cluster_id,
                collection=collection,
                partition=fields.string("partitionName"),
                groups=[[_object_url(fields)]],
                keys=StoreCredentials(
                    access_key=fields.string("accessKey") or "", secret_key=fields.string("secretKey") or ""
                ),
                heads=True,
                idempotency_key=call.headers.get(IDEMPOTENCY_KEY),
                caller=admitted.caller,
            )
        )
        return v1.success({"jobId": str(job.id)})

    def get(call: Call, admitted: AdmittedCall) -> Reply:
        fields = Fields(call.query, "query")
        admitted.names = call_names(fields)
        cluster_id = _cluster(fields, admitted, region, absent=90103)
        text = fields.string("jobId") or ""
        job_id = whole_number(text)
        if job_id is None or abs(job_id) > MAX_INT64:
            raise JobNotFound(f"no job has the id {shorten(text)}")
        return v1.success(views.progress(imports.get(cluster_id, job_id, admitted.caller)))

    def list_jobs(call: Call, admitted: AdmittedCall) -> Reply:
        fields = Fields(call.query, "query")
        admitted.names = call_names(fields)
        cluster_id = _cluster(fields, admitted, region, absent=90104)
        page_size = _paging(fields, "pageSize", DEFAULT_PAGE_SIZE, MIN_PAGE_SIZE, MAX_PAGE_SIZE, refusal=80003)
        page = _paging(fields, "currentPage", 1, 1, MAX_INT32, refusal=80004)
        query = JobQuery(cluster_id=cluster_id, page_size=page_size, page=page, caller=admitted.caller)
        return v1.success(views.page(imports.list(query), query))

    def route(method: str, path: str, do: _Action, action: str, operation: Operation) -> Route:
        def handle(call: Call) -> Reply:
            _check_host(call, region)
            with v1.admission.call(
                f"import.{action}", authorization=call.authorization, address=call.address, stores_entry=True
            ) as admitted:
                return do(call, admitted)

        return Route(
            method=method,
            path=PREFIX + path,
            handler=handle,
            dialect=v1,
            operation=operation,
            read_only=do is not create,
        )

    return (
        route("POST", "/import", create, "create", docs.CREATE),
        route("GET", "/import/get", get, "get", docs.GET),
        route("GET", "/import/list", list_jobs, "list", docs.LIST),
    )


def _check_host(call: Call, region: str) -> None:
    """Refuse a controller's host name of another region; any other host name is accepted."""
    controller = _CONTROLLER.match(call.headers.get("host", "").lower())
    if controller and controller["region"] != region:
        raise Refused(90117)


def _cluster(fields: Fields, admitted: AdmittedCall, region: str, *, absent: int) -> str:
    """The id of the call's cluster; ``absent`` is the error number for a call without one.

    The existence of clusters of other orgs is not revealed.
    """
    if not fields.sent("clusterId"):
        raise Refused(absent)
    cluster_id = (fields.string("clusterId") or "").strip()
    if not cluster_id:
        raise Refused(90104)
    try:
        cluster = admitted.enter(cluster_id)
    except ClusterNotFound as error:
        is_absent = admitted.caller.is_anybody and _CLUSTER_ID.match(cluster_id)
        raise Refused(40021 if is_absent else 80020) from error
    if admitted.caller.databases(Role.READER, cluster) == frozenset():
        raise Refused(40022)
    if cluster.region != region:
        raise Refused(90102)
    return cluster.id


def _collection(fields: Fields) -> str:
    name = fields.string("collectionName") or ""
    try:
        check_collection_name(name)
    except InvalidName as error:
        raise Refused(90011) from error
    return name


def _object_url(fields: Fields) -> str:
    if not fields.sent("objectUrl"):
        raise Refused(90145)
    url = (fields.string("objectUrl") or "").strip()
    if not url:
        raise Refused(90142)
    scheme, separator, place = url.partition("://")
    if separator and scheme.lower() != "file":
        bucket, _, key = place.partition("/")
        if not bucket or not key.strip("/"):
            raise Refused(10003, shorten_name(_SECRET_PARTS.sub("", url)))
    return url


def _paging(fields: Fields, key: str, default: int, low: int, high: int, *, refusal: int) -> int:
    text = fields.string(key)
    if text is None:
        return default
    number = whole_number(text)
    if number is None:
        raise Refused(80000, f"{key} is not a number: {text[:40]}")
    if not low <= number <= high:
        raise Refused(refusal)
    return number

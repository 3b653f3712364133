"""The import calls of the Milvus v2 dialect, in both of its profiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from penstock import errors
from penstock.domain.jobs import FileState, ImportFile, JobState, JobWarning
from penstock.imports.requests import StoreCredentials
from tests.support.imports import CREATED, FIRST_ID, make_job
from tests.support.wire import V2, Server

GOOD: dict[str, Any] = {"collectionName": "docs", "files": [["a.json"], ["b.parquet"]]}
CLUSTER: dict[str, Any] = {"clusterId": "in01-local"}

# What pymilvus 3.0.2 sends, unused keys and all.
PYMILVUS: dict[str, Any] = {
    "collectionName": "docs",
    "dbName": "",
    "partitionName": "",
    "files": [["a.json"]],
    "objectUrl": "",
    "objectUrls": None,
    "clusterId": "",
    "projectId": "",
    "regionId": "",
    "accessKey": "",
    "secretKey": "",
    "token": "",
    "volumeName": "",
    "dataPaths": None,
    "options": {},
}


def test_create_hands_the_request_on(server: Server) -> None:
    body = {
        **GOOD,
        "partitionName": "_default",
        "token": "t",
        "accessKey": "me",
        "secretKey": "mine",
        "options": {"timeout": "300s", "sep": ";"},
    }
    assert server.v2("create", body) == {"code": server.success_code, "data": {"jobId": str(FIRST_ID)}}
    (request,) = server.imports.requests
    assert (request.cluster_id, request.database, request.collection) == ("in01-local", "default", "docs")
    assert request.partition == "_default"
    assert request.groups == [["a.json"], ["b.parquet"]]
    assert (request.keys.access_key, request.keys.secret_key, request.keys.token) == ("me", "mine", "t")
    assert request.options == {"timeout": "300s", "sep": ";"}
    assert not request.heads


def test_create_hands_a_mapping_on_as_it_is(server: Server) -> None:
    options = {"mapping": '{"vector": "emb", "price": {"value": 5}}', "drop_columns": '["comment"]'}
    assert server.v2("create", {**GOOD, "options": options})["code"] == server.success_code
    assert server.imports.requests[0].options == options
    answer = server.v2("create", {**GOOD, "options": {"mapping": {"vector": "emb"}}})
    assert answer["code"] == 1801
    assert "string" in answer["message"]


def test_pymilvus_empty_siblings_are_no_conflict(server: Server) -> None:
    assert server.v2("create", PYMILVUS)["code"] == server.success_code
    (request,) = server.imports.requests
    assert request.groups == [["a.json"]]
    assert request.partition is None


@pytest.mark.parametrize(
    ("source", "groups"),
    [
        ({"files": [["a.json"]]}, [["a.json"]]),
        ({"files": [["v.npy", "id.npy"], ["folder/"]]}, [["v.npy", "id.npy"], ["folder/"]]),
        ({"objectUrl": "s3://b/a.json"}, [["s3://b/a.json"]]),
        ({"objectUrls": [["s3://b/a.json"], ["s3://b/c/"]]}, [["s3://b/a.json"], ["s3://b/c/"]]),
        ({"files": [], "objectUrl": "s3://b/a.json"}, [["s3://b/a.json"]]),
        ({"FILES": [["a.json", None, ""]]}, [["a.json"]]),
    ],
)
def test_sources(server: Server, source: dict[str, Any], groups: list[list[str]]) -> None:
    assert server.v2("create", {"collectionName": "docs", **source})["code"] == server.success_code
    assert server.imports.requests[0].groups == groups


def test_options_of_calls_to_zilliz_cloud_become_text(server: Server) -> None:
    options = {"sdk": "java", "limit": 5, "ratio": 1.5, "flag": True, "nothing": None, "auto_commit": False}
    server.v2("create", {**GOOD, "clusterId": "in01-local", "options": options})
    assert server.imports.requests[0].options == {
        "sdk": "java",
        "limit": "5",
        "ratio": "1.5",
        "flag": "true",
        "nothing": "",
        "auto_commit": "false",
    }


@pytest.mark.parametrize(
    ("body", "header", "database"),
    [
        ({}, None, "default"),
        ({}, "other", "other"),
        ({"dbName": "other"}, None, "other"),
        ({"dbName": "other"}, "default", "other"),
        ({"dbName": ""}, "other", "other"),
    ],
)
def test_database(server: Server, body: dict[str, Any], header: str | None, database: str) -> None:
    server.v2("create", {**GOOD, **body}, {"DB-Name": header} if header else None)
    assert server.imports.requests[0].database == database


def test_content_type_and_slashes_do_not_matter(server: Server) -> None:
    reply = server.client.post(
        str(server.client.base_url).rstrip("/") + "//v2/vectordb//jobs/import/create/",
        content=b'{"CollectionName":"docs","files":[["a.json"]]}',
        headers={"content-type": "text/plain"},
    )
    assert reply.json()["code"] == server.success_code


@pytest.mark.parametrize(
    ("state", "auto_commit", "word", "progress"),
    [
        (JobState.PENDING, True, "Pending", 42),
        (JobState.PLANNING, True, "Importing", 42),
        (JobState.IMPORTING, True, "Importing", 42),
        (JobState.UNCOMMITTED, True, "Importing", 42),
        (JobState.UNCOMMITTED, False, "Uncommitted", 99),
        (JobState.COMMITTING, True, "Importing", 42),
        (JobState.COMMITTING, False, "Committing", 99),
        (JobState.INDEXING, True, "Importing", 42),
        (JobState.INDEXING, False, "Committing", 99),
        (JobState.COMPLETED, True, "Completed", 100),
        (JobState.FAILED, True, "Failed", 42),
        (JobState.ABORTED, False, "Failed", 42),
    ],
)
def test_state_words_and_progress(
    server: Server, state: JobState, auto_commit: bool, word: str, progress: int
) -> None:
    server.imports.add(make_job(state, auto_commit=auto_commit, progress=42))
    (row,) = server.v2("list", {})["data"]["records"]
    data = server.v2("describe", {"jobId": str(FIRST_ID)})["data"]
    assert (row["state"], row["progress"]) == (data["state"], data["progress"]) == (word, progress)


def test_only_a_completed_job_shows_all_of_its_progress(server: Server) -> None:
    server.imports.add(make_job(JobState.INDEXING, progress=100))
    assert server.v2("describe", {"jobId": FIRST_ID})["data"]["progress"] == 99


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.ABORTED])
@pytest.mark.parametrize("who", [{}, CLUSTER])
def test_a_failed_job_has_imported_nothing(server: Server, state: JobState, who: dict[str, Any]) -> None:
    read = ImportFile(
        ordinal=0,
        name="a.json",
        size=10,
        state=FileState.COMPLETED,
        progress=100,
        rows=5,
        total_rows=5,
        finished_at=CREATED,
    )
    bad = replace(
        read, ordinal=1, name="b.json", state=FileState.FAILED, progress=40, reason="row 3", finished_at=None
    )
    server.imports.add(make_job(state, rows=7, total_rows=7, progress=60), read, bad)
    data = server.v2("describe", {**who, "jobId": FIRST_ID})["data"]
    assert (data["importedRows"], data["totalRows"], data["progress"]) == (0, 0, 60)
    shown = [
        (file["state"], file["importedRows"], file["progress"], file["completeTime"]) for file in data["details"]
    ]
    assert shown == [("Failed", 0, 99, ""), ("Failed", 0, 40, "")]
    assert [file.get("reason") or "" for file in data["details"]] == ["", "row 3"]


@pytest.mark.parametrize("action", ["describe", "get_progress", "getProgress"])
@pytest.mark.parametrize("job_id", [str(FIRST_ID), FIRST_ID])
def test_describe_by_all_names(server: Server, action: str, job_id: object) -> None:
    server.imports.add(make_job())
    data = server.v2(action, {"jobID": job_id})["data"]
    assert data["jobId"] == str(FIRST_ID)
    assert data["details"] == []


def test_get_progress_by_get(server: Server) -> None:
    server.imports.add(make_job())
    body = server.client.request("GET", f"{V2}/getProgress", json={"jobId": str(FIRST_ID)}).json()
    query = server.client.get(f"{V2}/getProgress", params={"jobId": str(FIRST_ID)}).json()
    assert body == query
    assert body["data"]["state"] == "Pending"


def test_describe_tells_warnings(server: Server) -> None:
    warning = JobWarning(code="column_dropped", message="column x is not in the schema", count=3)
    server.imports.add(make_job(JobState.COMPLETED, warnings=(warning,)))
    data = server.v2("describe", {"jobId": FIRST_ID})["data"]
    assert data["warnings"] == [{"code": "column_dropped", "message": "column x is not in the schema", "count": 3}]


def test_an_aborted_job_says_so(server: Server) -> None:
    server.imports.add(make_job(JobState.ABORTED))
    assert server.v2("describe", {"jobId": FIRST_ID})["data"]["reason"] == "aborted by user"


def test_unpaged_list_ignores_paging_keys(server: Server) -> None:
    for number in range(12):
        server.imports.add(make_job(id=FIRST_ID + number))
    data = server.v2("list", {"pageSize": 0, "currentPage": 7})["data"]
    assert len(data["records"]) == 12
    assert set(data) == {"records"}
    assert server.imports.queries[0].page_size is None


@pytest.mark.parametrize("who", [CLUSTER, {"projectId": "proj-1", "regionId": "local"}, {"projectId": "proj-1"}])
def test_paged_list(server: Server, who: dict[str, Any]) -> None:
    for number in range(12):
        server.imports.add(make_job(id=FIRST_ID + number))
    data = server.v2("list", {**who, "pageSize": 5.0, "currentPage": "3"})["data"]
    assert [row["jobId"] for row in data["records"]] == [str(FIRST_ID + 1), str(FIRST_ID)]
    assert data["records"][0]["reason"] == ""
    assert (data["count"], data["currentPage"], data["pageSize"]) == (12, 3, 5)
    assert server.v2("list", who)["data"]["pageSize"] == 10


def test_empty_list(server: Server) -> None:
    assert server.v2("list", {}) == {"code": server.success_code, "data": {"records": []}}


def test_list_filters(server: Server) -> None:
    server.imports.add(make_job(JobState.COMPLETED))
    server.imports.add(make_job(JobState.IMPORTING, id=FIRST_ID + 1, database="other"))
    server.imports.add(make_job(JobState.PENDING, id=FIRST_ID + 2, collection="books"))

    def ids(body: dict[str, Any], **headers: str) -> list[int]:
        rows = server.v2("list", body, headers)["data"]["records"]
        return [int(row["jobId"]) - FIRST_ID for row in rows]

    assert ids({}) == [2, 1, 0]
    assert ids({"dbName": "other"}) == [1]
    assert ids({}, **{"DB-Name": "other"}) == [2, 1, 0]
    assert ids({"collectionName": "books"}) == [2]
    assert ids({"state": "Completed"}) == [0]
    assert ids({"state": ["Pending", "Importing"]}) == [2, 1]
    assert ids({"before": str(FIRST_ID + 2)}) == [1, 0]
    assert ids({"createdAfter": "2024-05-18T02:50:00Z"}) == []
    assert ids({"createdBefore": "2024-05-18T02:50:01"}) == [2, 1, 0]
    assert server.imports.queries[-1].created_before == datetime(2024, 5, 18, 2, 50, 1, tzinfo=UTC)
    assert CREATED.tzinfo is UTC


def test_a_verbose_list_has_rows_bytes_and_times(server: Server) -> None:
    server.imports.add(make_job(JobState.COMPLETED, rows=7, total_rows=7, size=100))
    (plain,) = server.v2("list", {})["data"]["records"]
    (row,) = server.v2("list", {"verbose": True})["data"]["records"]
    more = {key: row[key] for key in sorted(row.keys() - plain.keys())}
    assert list(more) == ["completeTime", "createTime", "fileSize", "importedRows", "stage", "totalRows"]
    assert (more["importedRows"], more["totalRows"], more["fileSize"]) == (7, 7, 100)


def test_the_header_only_resolves_a_collections_name(server: Server) -> None:
    server.v2("list", {"collectionName": "docs"}, {"DB-Name": "other"})
    (query,) = server.imports.queries
    assert (query.database, query.resolve_in) == (None, "other")


def test_commit_and_abort(server: Server) -> None:
    server.imports.add(make_job(JobState.UNCOMMITTED, auto_commit=False))
    server.imports.add(make_job(JobState.PENDING, id=FIRST_ID + 1))
    done = {"code": server.success_code, "data": {}}
    assert server.v2("commit", {"jobId": str(FIRST_ID)}) == done
    assert server.v2("abort", {"jobId": FIRST_ID + 1}) == done
    assert server.v2("describe", {"jobId": FIRST_ID})["data"]["state"] == "Committing"
    assert server.v2("describe", {"jobId": FIRST_ID + 1})["data"]["state"] == "Failed"


def test_a_failed_job_is_retried_with_fresh_keys(server: Server) -> None:
    server.imports.add(make_job(JobState.FAILED))
    body = {"jobId": str(FIRST_ID), "accessKey": "a", "secretKey": "s", "token": "t"}
    assert server.v2("retry", body) == {"code": server.success_code, "data": {}}
    assert server.imports.keys == [StoreCredentials("a", "s", "t")]
    assert server.v2("describe", {"jobId": FIRST_ID})["data"]["state"] == "Pending"


def test_a_completed_job_is_reverted(server: Server) -> None:
    """Its state is Completed while its rows are there, then Failed; the keys that tell the two apart are ours."""
    server.imports.add(make_job(JobState.COMPLETED, options={"write_mode": "upsert"}, replaced_rows=3, rows=5))
    assert server.v2("revert", {"jobId": str(FIRST_ID)}) == {"code": server.success_code, "data": {}}
    data = server.v2("describe", {"jobId": FIRST_ID})["data"]
    assert (data["state"], data["progress"], data["revert"]) == ("Completed", 100, "Reverting")
    assert (data["writeMode"], data["replacedRows"], data["importedRows"]) == ("upsert", 3, 5)
    server.imports.add(make_job(JobState.REVERTED, progress=100, restored_rows=3, rows=5, reason="reverted by user"))
    data = server.v2("describe", {"jobId": FIRST_ID})["data"]
    assert (data["state"], data["progress"], data["revert"]) == ("Failed", 99, "Reverted")
    assert (data["restoredRows"], data["importedRows"], data["reason"]) == (3, 0, "reverted by user")
    (record,) = server.v2("list", {"state": "Failed"})["data"]["records"]
    assert record["revert"] == "Reverted"


def test_the_idempotency_key_is_taken_from_the_header(server: Server) -> None:
    server.v2("create", {"collectionName": "docs", "files": [["a.json"]]}, {"Idempotency-Key": "night 7"})
    server.v2("create", {"collectionName": "docs", "files": [["a.json"]]})
    assert [request.idempotency_key for request in server.imports.requests] == ["night 7", None]


def call(action: str, **body: Any) -> Callable[[Server], dict[str, Any]]:
    return lambda server: server.v2(action, body)


def raw(action: str, body: bytes) -> Callable[[Server], dict[str, Any]]:
    def send(server: Server) -> dict[str, Any]:
        reply: dict[str, Any] = server.client.post(f"{V2}/{action}", content=body).json()
        return reply

    return send


def faulty(error: Exception, **more: Any) -> Callable[[Server], dict[str, Any]]:
    def send(server: Server) -> dict[str, Any]:
        server.imports.fault = error
        return server.v2("create", {**GOOD, **more})

    return send


NOT_JSON = "can only accept json format request, error: "
MISSING = "missing required parameters, error: Key: "
TAIL = ": importing data failed"
SYSTEM_TAIL = ": importing data failed on server side"

REFUSALS: list[tuple[int, str, Callable[[Server], dict[str, Any]]]] = [
    (100, "collection not found[database=default][collection=x]", call("create", collectionName="x", files=[["a"]])),
    (
        100,
        "collection not found[database=other][collection=books]",
        call("list", collectionName="books", dbName="other"),
    ),
    (200, "partition not found[partition=x]", call("create", **GOOD, partitionName="x")),
    (800, "database not found[database=x]", call("create", **GOOD, dbName="x")),
    (800, "database not found[database=x]", call("list", dbName="x")),
    (1100, "import request is empty: invalid parameter", faulty(errors.InvalidParameter("import request is empty"))),
    (1100, "pass the files once, not by files and by objectUrl", call("create", **GOOD, objectUrl="a.json")),
    (1100, "volumes are not offered", call("create", collectionName="docs", volumeName="v", dataPaths=[["a"]])),
    (1100, "volumes are not offered", call("create", collectionName="docs", stageName="v", dataPaths=[["a"]])),
    (1100, 'parse job id failed: strconv.ParseInt: parsing "x": invalid syntax', call("describe", jobId="x")),
    (1100, "parse job id failed: strconv.ParseInt: parsing", call("describe", jobId="9" * 25)),
    (1100, "invalid parameter[expected=int64 jobId][actual=x]", call("commit", jobId="x")),
    (1100, "invalid parameter[expected=int64 jobId][actual=x]", call("abort", jobId="x")),
    (1100, "no job has the state Sleeping", call("list", state="Sleeping")),
    (1100, "createdAfter must be a time", call("list", createdAfter="yesterday")),
    (1101, "partition not specified: missing parameter", faulty(errors.MissingParameter("partition not specified"))),
    (1801, NOT_JSON + "the request body should be nil", raw("list", b"")),
    (1801, NOT_JSON, raw("create", b"{nonsense")),
    (1801, NOT_JSON + "json: cannot unmarshal string into Go value", raw("create", b'"text"')),
    (
        1801,
        NOT_JSON + "json: cannot unmarshal string into Go struct field ImportReq.files of type []string",
        call("create", collectionName="docs", files=["a.json"]),
    ),
    (
        1801,
        NOT_JSON + "json: cannot unmarshal number into Go struct field ImportReq.collectionName of type string",
        call("create", collectionName=1, files=[["a"]]),
    ),
    (1801, NOT_JSON + "json: cannot unmarshal object", call("create", **GOOD, options={"deep": {}})),
    (
        1801,
        NOT_JSON + "json: cannot unmarshal array into Go struct field JobIDReq.jobId",
        call("describe", jobId=[1]),
    ),
    (
        1801,
        NOT_JSON + "json: cannot unmarshal number into Go struct field JobIDReq.jobId",
        call("describe", jobId=1.5),
    ),
    *[
        (
            1801,
            NOT_JSON + 'options.auto_commit must be one of "true" or "false"',
            call("create", **GOOD, options={"auto_commit": value}),
        )
        for value in (None, "", "yes", 1, False, True, [True])
    ],
    *[
        (
            1801,
            NOT_JSON + f"json: cannot unmarshal {kind} into Go struct field ImportReq.options of type string",
            call("create", **GOOD, options={"timeout": value}),
        )
        for kind, value in (("number", 300), ("number", 1.5), ("bool", True), ("array", ["1s"]), ("object", {"s": 1}))
    ],
    (
        1802,
        MISSING + "'ImportReq.CollectionName' Error:Field validation for 'CollectionName' failed",
        call("create", files=[["a"]]),
    ),
    (1802, MISSING + "'ImportReq.Files' Error", call("create", collectionName="docs", files=None)),
    (1802, MISSING + "'JobIDReq.JobID' Error", call("describe", jobId="")),
    (1802, MISSING + "'JobIDReq.JobID' Error", call("commit")),
    (2100, "inconsistency in file types" + TAIL, faulty(errors.ImportRefused("inconsistency in file types"))),
    (2100, "outside of every root" + TAIL, faulty(errors.PathNotAllowed("outside of every root"))),
    (2101, "too many live jobs" + SYSTEM_TAIL, faulty(errors.LimitExceeded("too many live jobs"))),
    (2101, "import job does not exist, jobID=7" + SYSTEM_TAIL, call("describe", jobId="7")),
    (2101, "job 7 not found" + SYSTEM_TAIL, call("commit", jobId="7")),
    (2101, "job 7 not found" + SYSTEM_TAIL, call("abort", jobId=7)),
    (2101, "job 7 not found" + SYSTEM_TAIL, call("retry", jobId=7)),
    (1100, "invalid parameter[expected=int64 jobId][actual=x]", call("retry", jobId="x")),
    (1802, MISSING + "'JobIDReq.JobID' Error", call("retry")),
    (1101, "give the keys again: missing parameter", faulty(errors.MissingParameter("give the keys again"))),
    (65535, "no space left", faulty(errors.StorageFull("no space left"))),
    (90142, "No import content provided.", call("create", collectionName="docs", **CLUSTER)),
    (96001, "Invalid RegionId.", call("list", projectId="proj-1", regionId="mars")),
    (96005, "Invalid projectId.", call("list", projectId="mine")),
    (96008, "The parameter value for pageSize", call("list", **CLUSTER, pageSize=0)),
    (96008, "The parameter value for pageSize", call("list", **CLUSTER, pageSize=101)),
    (96009, "The parameter currentPage", call("list", **CLUSTER, currentPage=0)),
    (96009, "The parameter currentPage", call("list", **CLUSTER, currentPage=2**31)),
    (96018, "Cluster not found.", call("list", clusterId="in01-unknown")),
    (96025, "Empty clusterId.", call("list", clusterId=" ")),
    (96025, "Empty clusterId.", call("list", regionId="local")),
    (96026, "Job not found.", call("describe", **CLUSTER, jobId="7")),
    (96026, "Job not found.", call("describe", **CLUSTER, jobId="job-x")),
    (96026, "Job not found.", call("abort", **CLUSTER, jobId="job-x")),
    (96036, "Invalid clusterId.", call("list", clusterId="nonsense")),
]


def test_an_option_that_is_no_string_is_shown_as_one(server: Server) -> None:
    message = server.v2("create", {**GOOD, "options": {"timeout": 300}})["message"]
    assert message.endswith('. Write the value of an option as a string: "timeout": "300"'), message


@pytest.mark.parametrize(("code", "message", "send"), REFUSALS, ids=[str(code) for code, _, _ in REFUSALS])
def test_refusal(server: Server, code: int, message: str, send: Callable[[Server], dict[str, Any]]) -> None:
    reply = send(server)
    assert (reply["code"], set(reply)) == (code, {"code", "message"})
    assert reply["message"].startswith(message)


@pytest.mark.parametrize("key", ["files", "objectUrls"])
def test_a_flat_list_of_paths_is_refused_with_what_to_write(server: Server, key: str) -> None:
    reply = server.v2("create", {"collectionName": "docs", key: ["a.parquet", "b.parquet", "c.parquet"]})
    assert reply["code"] == 1801
    assert reply["message"].endswith(
        f'ImportReq.{key} of type []string. Write a list of lists, "{key}": [["a.parquet"], ["b.parquet"], …]: each '
        "inner list is one file, one folder that ends in /, or the .npy files of one NumPy set"
    )
    assert "list of lists" not in server.v2("create", {"collectionName": "docs", key: [1]})["message"]


def test_wrong_states_are_told(server: Server) -> None:
    server.imports.add(make_job(JobState.COMPLETED))
    for action in ("commit", "abort", "retry"):
        reply = server.v2(action, {"jobId": FIRST_ID})
        assert (reply["code"], reply["message"]) == (
            2100,
            f"job {FIRST_ID} is in state Completed, expected Uncommitted: importing data failed",
        )


def test_a_job_of_another_cluster_is_unknown(server: Server) -> None:
    server.imports.add(make_job())
    assert server.v2("describe", {"jobId": FIRST_ID, "clusterId": "in02-far"})["code"] == 96026

"""The Zilliz Cloud v1 calls: parameters, states, and every error number of its pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from penstock import errors
from penstock.domain.jobs import FileState, ImportFile, JobState
from penstock.wire.zilliz_v1.errors import TEXTS
from tests.support.imports import CREATED, FIRST_ID, make_job
from tests.support.wire import V1, Server

CLUSTER = {"clusterId": "in01-local"}
GOOD = {**CLUSTER, "collectionName": "docs", "objectUrl": "s3://bucket/1.parquet"}
ELSEWHERE = {"host": "controller.api.gcp-us-west1.zillizcloud.com"}

# Numbers for callers that a server knows by their key.
OF_AUTHENTICATION = {1800, 40022, 80001, 80002, 80021, 80022}


def test_create_hands_the_request_on(server: Server) -> None:
    body = {**GOOD, "partitionName": "_default", "accessKey": "me", "secretKey": "mine", "objectUrls": [["ignored"]]}
    assert server.v1_create(body) == {"code": 200, "data": {"jobId": str(FIRST_ID)}}
    (request,) = server.imports.requests
    assert request.cluster_id == "in01-local"
    assert request.collection == "docs"
    assert request.partition == "_default"
    assert request.groups == [["s3://bucket/1.parquet"]]
    assert (request.keys.access_key, request.keys.secret_key) == ("me", "mine")
    assert request.heads


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@host", "https://host"),
        ("s3://bucket?signature=secret", "s3://bucket"),
        ("s3://" + "x" * 3000, "s3://" + "x" * 294 + "…"),
    ],
)
def test_an_incomplete_url_is_repeated_in_part_and_without_secrets(server: Server, url: str, shown: str) -> None:
    assert server.v1_create({**GOOD, "objectUrl": url}) == {
        "code": 10003,
        "message": f"Invalid s3 ObjectUrl. [{shown}]",
    }


def test_create_reads_any_content_type_and_any_case(server: Server) -> None:
    reply = server.client.post(
        V1,
        content=b'{"CLUSTERID":"in01-local","collectionname":"docs","ObjectURL":"a.json","accessKey":""}',
        headers={"content-type": "text/plain"},
    )
    assert reply.json()["code"] == 200


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (JobState.PENDING, "ImportRunning"),
        (JobState.PLANNING, "ImportRunning"),
        (JobState.IMPORTING, "ImportRunning"),
        (JobState.UNCOMMITTED, "ImportRunning"),
        (JobState.COMMITTING, "ImportRunning"),
        (JobState.INDEXING, "ImportRunning"),
        (JobState.COMPLETED, "ImportCompleted"),
        (JobState.FAILED, "ImportFailed"),
        (JobState.ABORTED, "ImportFailed"),
    ],
)
def test_state_words(server: Server, state: JobState, word: str) -> None:
    server.imports.add(make_job(state))
    assert server.v1_get("list", **CLUSTER)["data"]["tasks"][0]["state"] == word


def test_list_pages(server: Server) -> None:
    for number in range(12):
        server.imports.add(make_job(id=FIRST_ID + number))
    data = server.v1_get("list", **CLUSTER, pageSize="5.0", currentPage=3)["data"]
    assert [row["jobId"] for row in data["tasks"]] == [str(FIRST_ID + 1), str(FIRST_ID)]
    assert data["records"] == data["tasks"]
    assert (data["count"], data["currentPage"], data["pageSize"]) == (12, 3, 5)
    assert len(server.v1_get("list", **CLUSTER)["data"]["tasks"]) == 10
    assert server.v1_get("list", **CLUSTER, currentPage=9)["data"]["tasks"] == []


def test_progress_of_a_job_that_has_not_begun(server: Server) -> None:
    server.imports.add(make_job())
    data = server.v1_get("get", **CLUSTER, jobId=FIRST_ID)["data"]
    assert data == {
        "fileName": "",
        "fileSize": 0,
        "readyPercentage": 0,
        "completeTime": None,
        "errorMessage": None,
        "collectionName": "docs",
        "jobId": str(FIRST_ID),
        "details": [],
    }


def test_progress_of_a_folder_that_failed(server: Server) -> None:
    file = ImportFile(ordinal=0, name="s3://b/night/1/a.csv", size=10, state=FileState.COMPLETED, progress=100)
    bad = ImportFile(
        ordinal=1, name="s3://b/night/2.csv", size=20, state=FileState.FAILED, progress=30, reason="row 7"
    )
    server.imports.add(make_job(JobState.FAILED, progress=60, reason="row 7 of 2.csv"), file, bad)
    data = server.v1_get("get", **CLUSTER, jobId=FIRST_ID)["data"]
    assert data["fileName"] == "night/"
    assert data["fileSize"] == 30
    assert data["readyPercentage"] == 0.6
    assert data["completeTime"] == "2024-05-18T02:52:00Z"
    assert data["errorMessage"] == "row 7 of 2.csv"
    assert [each["readyPercentage"] for each in data["details"]] == [0.99, 0.3], "none of a failed job"
    assert [each["errorMessage"] for each in data["details"]] == [None, "row 7"]


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.ABORTED])
def test_a_job_that_ended_badly_always_has_an_error_message(server: Server, state: JobState) -> None:
    server.imports.add(make_job(state))
    assert server.v1_get("get", **CLUSTER, jobId=FIRST_ID)["data"]["errorMessage"]


def test_only_a_completed_job_is_ready(server: Server) -> None:
    """Pollers stop at 1; a job that still indexes must not reach it."""
    server.imports.add(make_job(JobState.INDEXING, progress=100, started_at=CREATED + timedelta(seconds=1)))
    assert server.v1_get("get", **CLUSTER, jobId=FIRST_ID)["data"]["readyPercentage"] < 1


def create(**changes: Any) -> Callable[[Server], dict[str, Any]]:
    """A good create call with some keys changed, or left out where None."""
    body = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    return lambda server: server.v1_create(body)


def faulty(error: Exception) -> Callable[[Server], dict[str, Any]]:
    """A good create call that the service refuses."""

    def call(server: Server) -> dict[str, Any]:
        server.imports.fault = error
        return server.v1_create(GOOD)

    return call


def get(**query: object) -> Callable[[Server], dict[str, Any]]:
    return lambda server: server.v1_get("get", **query)


def list_jobs(**query: object) -> Callable[[Server], dict[str, Any]]:
    return lambda server: server.v1_get("list", **query)


def raw(body: bytes) -> Callable[[Server], dict[str, Any]]:
    def call(server: Server) -> dict[str, Any]:
        reply: dict[str, Any] = server.client.post(V1, content=body).json()
        return reply

    return call


REFUSALS: list[tuple[int, Callable[[Server], dict[str, Any]]]] = [
    (10003, create(objectUrl="s3://")),
    (10003, create(objectUrl="s3://bucket")),
    (10003, create(objectUrl="https:///key")),
    (40003, faulty(errors.StorageUnavailable("the store does not answer"))),
    (40003, faulty(errors.StorageFull("no space left"))),
    (40021, create(clusterId="in01-unknown")),
    (40021, get(clusterId="in01-unknown", jobId=1)),
    (40021, list_jobs(clusterId="in01-unknown")),
    (47005, create(collectionName="unknown")),
    (47035, faulty(errors.LimitExceeded("20 GB", limit="max_file_bytes"))),
    (47036, faulty(errors.ImportRefused("2 files, 3 fields", rule="numpy_fields"))),
    (47039, faulty(errors.LimitExceeded("2 jobs run", limit="max_jobs_per_cluster"))),
    (47053, faulty(errors.ImportRefused("inconsistency in file types"))),
    (47053, faulty(errors.PathNotAllowed("outside of the roots"))),
    (47055, faulty(errors.LimitExceeded("10000 jobs", limit="max_jobs_per_collection"))),
    (80000, raw(b"{")),
    (80000, raw(b"[]")),
    (80000, create(collectionName=5)),
    (80000, create(partitionName="unknown")),
    (80000, list_jobs(**CLUSTER, pageSize="ten")),
    (80003, list_jobs(**CLUSTER, pageSize=4)),
    (80003, list_jobs(**CLUSTER, pageSize=101)),
    (80004, list_jobs(**CLUSTER, currentPage=0)),
    (80004, list_jobs(**CLUSTER, currentPage=2**31)),
    (80020, create(clusterId="!")),
    (80020, get(clusterId="nonsense", jobId=1)),
    (80020, list_jobs(clusterId="nonsense")),
    (83001, faulty(errors.FileMissing("no such object"))),
    (83001, faulty(errors.SourceUnavailable("Access denied"))),
    (83004, faulty(errors.Unsupported("gs:// can't be read"))),
    (90011, create(collectionName=None)),
    (90011, create(collectionName="1st")),
    (90011, create(collectionName="a-b")),
    (90102, create(clusterId="in02-far")),
    (90102, get(clusterId="in02-far", jobId=1)),
    (90102, list_jobs(clusterId="in02-far")),
    (90103, create(clusterId=None)),
    (90103, get(jobId=1)),
    (90104, create(clusterId="")),
    (90104, get(clusterId="", jobId=1)),
    (90104, list_jobs()),
    (90104, list_jobs(clusterId="")),
    (90117, lambda server: server.v1_create(GOOD, ELSEWHERE)),
    (90117, lambda server: server.client.get(f"{V1}/get", headers=ELSEWHERE).json()),
    (90117, lambda server: server.client.get(f"{V1}/list", headers=ELSEWHERE).json()),
    (90142, raw(b"")),
    (90142, create(objectUrl="")),
    (90142, create(objectUrl="  ")),
    (90144, get(**CLUSTER)),
    (90144, get(**CLUSTER, jobId="job-x")),
    (90144, get(**CLUSTER, jobId=FIRST_ID)),
    (90144, get(**CLUSTER, jobId="9" * 19)),
    (90145, create(objectUrl=None)),
]


@pytest.mark.parametrize(("code", "call"), REFUSALS, ids=[str(code) for code, _ in REFUSALS])
def test_refusal(server: Server, code: int, call: Callable[[Server], dict[str, Any]]) -> None:
    reply = call(server)
    assert reply["code"] == code
    assert set(reply) == {"code", "message"}
    assert reply["message"].startswith(TEXTS[code].partition("{")[0].strip())


def test_every_published_number_is_shown_above() -> None:
    assert {code for code, _ in REFUSALS} | OF_AUTHENTICATION == set(TEXTS)


def test_refusals_tell_what_they_are_about(server: Server) -> None:
    server.imports.fault = errors.FileMissing("no object night/1.parquet in bucket b")
    assert server.v1_create(GOOD)["message"] == "Failed to getObjectMeta {no object night/1.parquet in bucket b}."


@pytest.mark.parametrize(
    "host",
    [
        "controller.api.local.zillizcloud.com",
        "controller.api.local.zillizcloud.com:443",
        "controller.api.local.cloud.zilliz.com.cn",
        "penstock",
    ],
)
def test_hosts_that_will_do(server: Server, host: str) -> None:
    reply = server.client.get(f"{V1}/list", params=CLUSTER, headers={"host": host})
    assert reply.json()["code"] == 200

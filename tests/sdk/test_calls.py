"""The plain calls of both families: what they send, what they return, what they raise."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
import requests

import penstock
from penstock.sdk import v2_calls
from penstock.sdk.errors import (
    AccessDenied,
    AnswerTimeout,
    ApiError,
    ConnectionFailed,
    ImportCallError,
    InvalidResponse,
    NotFound,
)
from penstock.sdk.http import full_url
from tests.sdk.recording_server import Answer, RecordingServer

V1 = "/v1/vector/collections/import"
V2 = "/v2/vectordb/jobs/import"
TASKS = {
    "code": 200,
    "data": {
        "tasks": [
            {
                "collectionName": "medium_articles",
                "jobId": "9d0bc230-6b99-4739-a872-0b91cfe2515a",
                "state": "ImportCompleted",
            }
        ],
        "count": 1,
        "currentPage": 1,
        "pageSize": 10,
    },
}
RECORDS = {
    "code": 0,
    "data": {
        "records": [
            {"collectionName": "quick_setup", "jobId": "453240863839750922", "progress": 100, "state": "Completed"}
        ]
    },
}


def test_list_import_jobs_of_v1_as_page_002_has_it(server: RecordingServer) -> None:
    server.answer(f"{V1}/list", TASKS)

    response = penstock.list_import_jobs(
        url=server.url, api_key="user:secret", cluster_id="in03-1", page_size=10, current_page=1
    )

    assert isinstance(response, requests.Response)
    assert response.json()["data"]["tasks"][0]["state"] == "ImportCompleted"
    assert server.last.method == "GET"
    assert server.last.query == {"clusterId": "in03-1", "pageSize": "10", "currentPage": "1"}
    assert server.last.headers["Authorization"] == "Bearer user:secret"


def test_list_import_jobs_of_v2_as_page_004_has_it(server: RecordingServer) -> None:
    server.answer(f"{V2}/list", RECORDS)

    response = v2_calls.list_import_jobs(url=server.url, collection_name="quick_setup")

    assert response.json() == RECORDS
    assert server.last.body["collectionName"] == "quick_setup"


def test_a_name_of_any_characters_is_sent(server: RecordingServer) -> None:
    server.answer(f"{V2}/list", {"code": 800, "message": "database not found[database=名]"})
    with pytest.raises(NotFound, match="database not found"):
        v2_calls.list_import_jobs(server.url, db_name="名")
    assert server.last.headers["DB-Name"].encode("latin-1").decode() == "名"
    server.answer(f"{V2}/create", {"code": 1100, "message": "Idempotency-Key: 1 to 256 printable ASCII characters"})
    with pytest.raises(ApiError, match="printable ASCII"), penstock.Client(server.url) as client:
        client.imports.create("docs", "a.csv", idempotency_key="名")


def test_milvus_before_2_4_3_says_200_for_success_on_v2(server: RecordingServer) -> None:
    server.answer(f"{V2}/list", {**RECORDS, "code": 200})
    assert v2_calls.list_import_jobs(server.url).json()["code"] == 200

    server.answer(f"{V2}/list", {"code": 200, "message": "partition not found[partition=p]"})
    with pytest.raises(NotFound, match="partition not found"):
        v2_calls.list_import_jobs(server.url)


def test_options_go_out_as_strings(server: RecordingServer) -> None:
    server.answer(f"{V2}/create", {"code": 0, "data": {"jobId": "1"}})

    v2_calls.bulk_import(
        server.url,
        "docs",
        files=[["a.csv"]],
        options={"sep": "|", "auto_commit": False, "n": 3, "nullkey": None},
        partition_name="p",
    )

    assert server.last.body["options"] == {"sep": "|", "auto_commit": "false", "n": "3"}
    assert server.last.body["partitionName"] == "p"


@pytest.mark.parametrize(
    ("call", "path"),
    [(v2_calls.commit_import, "commit"), (v2_calls.abort_import, "abort"), (v2_calls.revert_import, "revert")],
)
def test_commit_abort_and_revert(server: RecordingServer, call: Callable[..., Any], path: str) -> None:
    server.answer(f"{V2}/{path}", {"code": 0, "data": {}})

    call(server.url, "7", cluster_id="in01", api_key="key", db_name="sales")

    assert server.last.body == {"jobId": "7", "clusterId": "in01", "projectId": "", "regionId": ""}
    assert server.last.headers["DB-Name"] == "sales"


def test_a_retry_takes_fresh_keys_and_sends_no_empty_ones(server: RecordingServer) -> None:
    server.answer(f"{V2}/retry", {"code": 0, "data": {}})

    v2_calls.retry_import(server.url, "7", access_key="a", secret_key="s")

    assert server.last.body == {
        "jobId": "7",
        "clusterId": "",
        "projectId": "",
        "regionId": "",
        "accessKey": "a",
        "secretKey": "s",
    }


def test_an_address_without_scheme_means_https() -> None:
    assert (
        full_url("controller.api.eu.zillizcloud.com:443/", "/x") == "https://controller.api.eu.zillizcloud.com:443/x"
    )
    assert full_url("http://localhost:19530", "/x") == "http://localhost:19530/x"
    with pytest.raises(ConnectionFailed, match=r"no connection to 127\.0\.0\.1:9: .*Connection refused"):
        penstock.list_import_jobs("127.0.0.1:9", "key", "in03-1", 10, 1)


def test_an_error_keeps_what_the_server_said(server: RecordingServer) -> None:
    server.answer(f"{V1}/list", {"code": 80003, "message": "The parameter value for 'pageSize' should be 5 to 100."})

    with pytest.raises(ApiError) as caught:
        penstock.list_import_jobs(server.url, "key", "in03-1", 1000, 1)

    error = caught.value
    assert (error.http_status, error.code) == (200, 80003)
    assert error.message == "The parameter value for 'pageSize' should be 5 to 100."
    assert error.url == f"{server.url}{V1}/list"
    assert str(error) == f"{error.message} (code 80003, GET {error.url})"
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is ApiError
    assert copy.__dict__ == error.__dict__


def test_the_json_body_of_http_401_is_not_lost(server: RecordingServer) -> None:
    server.answer(f"{V2}/list", Answer({"code": 1800, "message": "user hasn't authenticated"}, status=401))

    with pytest.raises(AccessDenied, match="user hasn't authenticated") as caught:
        v2_calls.list_import_jobs(server.url, api_key="wrong")

    assert (caught.value.http_status, caught.value.code) == (401, 1800)


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (Answer("404 page not found", status=404), ApiError, "404 page not found"),
        (Answer("", status=502), ApiError, "Bad Gateway"),
        (Answer("<html>a proxy</html>"), InvalidResponse, "a proxy"),
        (Answer([1, 2]), InvalidResponse, "not a JSON object"),
        (Answer({"data": {}}), InvalidResponse, "with a code"),
        (Answer({"code": 1}), ApiError, "code 1"),
        (Answer({"code": "--1"}), InvalidResponse, "with a code"),
        (Answer("", status=503, headers={"Retry-After": "\N{SUPERSCRIPT TWO}"}), ApiError, "Service Unavailable"),
        (Answer({"code": "0", "data": {"records": []}}), None, ""),
        (Answer({"code": 2101, "message": "job 1 not found"}), NotFound, "job 1 not found"),
        (Answer("", status=307, headers={"Location": "https://u:p@elsewhere/x"}), ApiError, "https://elsewhere/x"),
        (Answer(close=True), ConnectionFailed, "no connection to 127.0.0.1"),
    ],
)
def test_every_answer_is_told_apart(
    server: RecordingServer, answer: Answer, kind: type[ImportCallError] | None, text: str
) -> None:
    server.answer(f"{V2}/list", answer)
    if kind is None:
        v2_calls.list_import_jobs(server.url)
        return
    with pytest.raises(kind, match=text):
        v2_calls.list_import_jobs(server.url)


def test_a_slow_server_is_told_as_such(server: RecordingServer) -> None:
    server.answer(f"{V2}/list", Answer(hold=True))
    with pytest.raises(AnswerTimeout, match=r"no response within 0\.1 s"):
        v2_calls.list_import_jobs(server.url, timeout=0.1)


def test_no_error_shows_a_key(server: RecordingServer) -> None:
    server.answer(f"{V2}/create", {"code": 1100, "message": "no: user:pass-word, AKIA-1, s3cret and t0ken"})

    with pytest.raises(ApiError) as caught:
        v2_calls.bulk_import(
            server.url.replace("http://", "http://name:hidden@"),
            "docs",
            object_url="s3://bucket/a.json",
            api_key="user:pass-word",
            access_key="AKIA-1",
            secret_key="s3cret",
            token="t0ken",
        )

    assert caught.value.message == "no: ***, ***, *** and ***"
    assert caught.value.url == f"{server.url}{V2}/create"


def test_a_netrc_file_does_not_replace_the_key(
    server: RecordingServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.answer(f"{V2}/list", RECORDS)

    v2_calls.list_import_jobs(server.url, api_key="key\n")

    assert server.last.headers["Authorization"] == "Bearer key"


def test_what_is_no_key_or_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="control characters"):
        v2_calls.list_import_jobs("http://127.0.0.1:9", api_key="line 1\nline 2")
    for address in ("http://", "", "ftp://host", "://", "http://h:99999", "http://h:x", "http://h?a=1", "http://[h"):
        with pytest.raises(ValueError, match="not the address of a server"):
            v2_calls.list_import_jobs(address)

"""``client.imports`` against laid-down answers: every server's way of telling about jobs."""

from __future__ import annotations

import io
import pickle
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock.sdk.errors import ApiError, ConnectionFailed, InvalidResponse, JobFailed, JobUnfinished
from penstock.sdk.jobs import ImportedFile, ImportJob, JobWarning, job_from_wire
from penstock.sdk.progress import progress_bar
from tests.sdk.recording_server import Answer, RecordingServer

CREATE, LIST, DESCRIBE = (f"/v2/vectordb/jobs/import/{name}" for name in ("create", "list", "describe"))
COMPLETED = {
    "jobId": "453240863839750922",
    "collectionName": "docs",
    "state": "Completed",
    "progress": 100,
    "importedRows": 1000,
    "totalRows": 1000,
    "fileSize": 52428,
    "createTime": "2026-05-18T02:57:01Z",
    "completeTime": "2026-05-18T02:57:13Z",
    "details": [
        {
            "fileName": "[/data/a.parquet]",
            "fileSize": 52428,
            "progress": 100,
            "completeTime": "2026-05-18T02:57:13Z",
            "state": "Completed",
            "importedRows": 1000,
            "totalRows": 1000,
        }
    ],
    "warnings": [{"code": "column_dropped", "message": "column 'x' is not in the schema", "count": 1000}],
    "aKeyOfTomorrow": 1,
}


def state(state: str, progress: int = 0, **more: Any) -> dict[str, Any]:
    return {"code": 0, "data": {"jobId": "7", "collectionName": "docs", "state": state, "progress": progress, **more}}


@pytest.fixture
def client(server: RecordingServer) -> penstock.Client:
    return penstock.Client(server.url, "key")


def test_create_sends_what_was_given_and_nothing_else(server: RecordingServer, client: penstock.Client) -> None:
    server.answer(CREATE, {"code": 0, "data": {"jobId": "7"}})

    job = client.imports.create("docs", ["a.parquet", ["x.npy", "y.npy"]], options={"auto_commit": False})

    assert job == ImportJob(id="7", collection="docs", state="Pending")
    assert server.last.body == {
        "collectionName": "docs",
        "dbName": "default",
        "files": [["a.parquet"], ["x.npy", "y.npy"]],
        "options": {"auto_commit": "false"},
    }
    assert server.last.headers["Authorization"] == "Bearer key"
    assert "Idempotency-Key" not in server.last.headers


def test_paths_are_absolute_and_folders_end_in_a_slash(
    server: RecordingServer, client: penstock.Client, tmp_path: Path
) -> None:
    server.answer(CREATE, {"code": 0, "data": {"jobId": "7"}})
    client.imports.create("docs", [tmp_path, tmp_path / "a.parquet", "night/"])
    assert server.last.body["files"] == [[f"{tmp_path}/"], [f"{tmp_path}/a.parquet"], ["night/"]]


def test_a_mapping_is_sent_as_json_text(server: RecordingServer, client: penstock.Client) -> None:
    server.answer(CREATE, {"code": 0, "data": {"jobId": "7"}})
    mapping = {"vector": "emb", "price": {"value": 5}}
    client.imports.create("docs", "a.json", mapping=mapping, drop_columns=("a", "b"), options={"sep": ";"})
    assert server.last.body["options"] == {
        "sep": ";",
        "mapping": '{"vector": "emb", "price": {"value": 5}}',
        "drop_columns": '["a", "b"]',
    }
    client.imports.create("docs", "a.json", options={"mapping": mapping})
    assert server.last.body["options"] == {"mapping": '{"vector": "emb", "price": {"value": 5}}'}
    with pytest.raises(ValueError, match="mapping: given as an argument and in options"):
        client.imports.create("docs", "a.json", options={"mapping": mapping}, mapping=mapping)


def test_create_takes_one_file_a_path_or_an_object_store(server: RecordingServer) -> None:
    client = penstock.Client(server.url, database="sales", cluster_id="in03-1")
    server.answer(CREATE, {"code": 0, "data": {"jobId": "7"}})

    client.imports.create("docs", "a.json", partition="p")
    assert server.last.body["files"] == [["a.json"]]
    assert server.last.body["partitionName"] == "p"
    assert server.last.headers["DB-Name"] == "sales"

    client.imports.create("docs", Path("a.json"))
    assert server.last.body["files"] == [[str(Path.cwd() / "a.json")]]

    client.imports.create("docs", object_urls="s3://bucket/folder/", access_key="a", secret_key="s", token="t")
    assert server.last.body == {
        "clusterId": "in03-1",
        "collectionName": "docs",
        "dbName": "sales",
        "objectUrls": [["s3://bucket/folder/"]],
        "accessKey": "a",
        "secretKey": "s",
        "token": "t",
    }

    client.imports.create("docs", volume="v", data_paths=["a/"])
    assert (server.last.body["volumeName"], server.last.body["dataPaths"]) == ("v", [["a/"]])

    client.imports.create("docs", ["a.csv"], options={"sep": r"\t", "sdk": "java"})
    assert server.last.body["options"] == {"sep": "\t", "sdk": "java"}
    for options, words in (({"time_out": 3}, "Did you mean 'timeout'"), ({"sep": "||"}, "one character")):
        with pytest.raises(ValueError, match=words):
            client.imports.create("docs", ["a.csv"], options=options)

    with pytest.raises(ValueError, match="0 were given"):
        client.imports.create("docs")
    with pytest.raises(ValueError, match="2 were given"):
        client.imports.create("docs", "a.json", object_urls="s3://b/a.json")


def test_create_is_repeated_only_under_an_idempotency_key(server: RecordingServer, client: penstock.Client) -> None:
    server.answer(
        CREATE, Answer(status=503, body="", headers={"Retry-After": "0"}), {"code": 0, "data": {"jobId": 7}}
    )
    with pytest.raises(ApiError, match="HTTP 503"):
        client.imports.create("docs", "a.json")
    assert len(server.requests) == 1

    server.answer(CREATE, Answer(close=True), {"code": 0, "data": {"jobId": 7}})
    assert client.imports.create("docs", "a.json", idempotency_key="night-1").id == "7"
    assert [request.headers.get("Idempotency-Key") for request in server.requests] == [None, "night-1", "night-1"]


def test_calls_that_read_live_through_a_busy_server(server: RecordingServer, client: penstock.Client) -> None:
    busy = Answer({"code": 1807, "message": "rate limit"}, status=429, headers={"Retry-After": "0"})
    server.answer(DESCRIBE, busy, Answer(close=True), state("Importing", 10))
    assert client.imports.get(7).progress == 10

    server.answer(DESCRIBE, busy)
    with pytest.raises(ApiError, match="rate limit"):
        client.imports.get(7)
    assert len(server.requests) == 3 + 4


def test_get_tells_everything(server: RecordingServer, client: penstock.Client) -> None:
    server.answer(DESCRIBE, {"code": 0, "data": COMPLETED})

    job = client.imports.get("453240863839750922")

    finished = datetime(2026, 5, 18, 2, 57, 13, tzinfo=UTC)
    assert job == ImportJob(
        id="453240863839750922",
        collection="docs",
        state="Completed",
        progress=100,
        rows=1000,
        total_rows=1000,
        size=52428,
        created_at=datetime(2026, 5, 18, 2, 57, 1, tzinfo=UTC),
        completed_at=finished,
        files=(
            ImportedFile(
                name="/data/a.parquet",
                size=52428,
                state="Completed",
                progress=100,
                rows=1000,
                total_rows=1000,
                completed_at=finished,
            ),
        ),
        warnings=(JobWarning(code="column_dropped", message="column 'x' is not in the schema", count=1000),),
    )
    assert job.raw["aKeyOfTomorrow"] == 1
    assert job.is_finished
    assert job.has_succeeded


def test_what_a_server_does_not_tell_is_none() -> None:
    job = job_from_wire({"jobId": 12345678901234567, "state": "Importing", "completeTime": "", "reason": ""})
    assert job == ImportJob(id="12345678901234567", collection="", state="Importing")
    assert (job.rows, job.size, job.completed_at, job.reason) == (None, None, None, None)


def test_get_asks_an_old_milvus_the_old_way(server: RecordingServer, client: penstock.Client) -> None:
    server.answer("/v2/vectordb/jobs/import/get_progress", state("Importing", 40))

    assert client.imports.get("7").progress == 40
    assert client.imports.get("7").progress == 40
    assert [request.path.rpartition("/")[2] for request in server.requests] == [
        "describe",
        "get_progress",
        "get_progress",
    ]


def test_an_answer_without_the_keys_it_must_have(server: RecordingServer, client: penstock.Client) -> None:
    server.answer(DESCRIBE, {"code": 0, "data": {"jobId": "7"}})
    with pytest.raises(InvalidResponse, match="lacks 'state'"):
        client.imports.get("7")


def records(*ids: int, state: str = "Completed") -> list[dict[str, Any]]:
    return [{"collectionName": "docs", "jobId": str(id_), "state": state, "progress": 100} for id_ in ids]


def test_list_of_a_milvus_comes_at_once(server: RecordingServer, client: penstock.Client) -> None:
    jobs = [*records(3, 2), *records(1, state="Failed")]
    server.answer(LIST, {"code": 0, "data": {"records": jobs}})

    assert [job.id for job in client.imports.list()] == ["3", "2", "1"]
    assert server.last.body == {"dbName": "default", "verbose": True}
    assert [job.id for job in client.imports.list("docs", state="Failed", all_databases=True)] == ["1"]
    assert server.last.body == {"collectionName": "docs", "state": "Failed", "verbose": True}
    assert len(server.requests) == 2


def test_list_since_a_time_leaves_out_older_jobs_where_the_server_does_not(
    server: RecordingServer, client: penstock.Client
) -> None:
    old, new = ({**records(id_)[0], "createTime": f"2026-11-{id_}T00:00:00Z"} for id_ in (10, 20))
    server.answer(LIST, {"code": 0, "data": {"records": [new, old, *records(3)]}})
    since = datetime(2026, 11, 15, tzinfo=UTC)

    assert [job.id for job in client.imports.list(since=since)] == ["20", "3"]
    assert datetime.fromisoformat(server.last.body["createdAfter"]) == since


def test_list_of_a_cluster_follows_the_pages(server: RecordingServer) -> None:
    client = penstock.Client(server.url, cluster_id="in03-1")
    pages = [records(9, 8), records(8, 7), records(6)]  # job 10 was created after the first page was read
    server.answer(LIST, *({"code": 0, "data": {"records": page, "count": 5}} for page in pages))

    assert [job.id for job in client.imports.list(page_size=2)] == ["9", "8", "7", "6"]
    assert [request.body["currentPage"] for request in server.requests] == [1, 2, 3]
    assert {request.body["clusterId"] for request in server.requests} == {"in03-1"}


def test_list_ends_where_a_server_knows_no_pages(server: RecordingServer) -> None:
    client = penstock.Client(server.url, cluster_id="in03-1")
    server.answer(LIST, {"code": 0, "data": {"records": records(2, 1)}})

    assert [job.id for job in client.imports.list(page_size=2)] == ["2", "1"]
    assert len(server.requests) == 2


def test_list_fetches_pages_only_as_they_are_needed(server: RecordingServer) -> None:
    client = penstock.Client(server.url, cluster_id="in03-1")
    server.answer(LIST, {"code": 0, "data": {"records": records(2, 1), "count": 1000}})

    jobs = client.imports.list(page_size=2)
    assert not server.requests
    next(jobs)
    assert len(server.requests) == 1


def test_wait_returns_the_finished_job(server: RecordingServer, client: penstock.Client) -> None:
    server.answer(DESCRIBE, state("Pending"), state("Importing", 40), {"code": 0, "data": COMPLETED})
    seen: list[tuple[str, int]] = []

    job = client.imports.wait("7", poll=0, progress=lambda job: seen.append((job.state, job.progress)))

    assert job.rows == 1000
    assert seen == [("Pending", 0), ("Importing", 40), ("Completed", 100)]


def test_wait_ends_when_a_job_waits_for_its_commit(server: RecordingServer, client: penstock.Client) -> None:
    server.answer(DESCRIBE, state("Uncommitted", 99))
    server.answer("/v2/vectordb/jobs/import/commit", {"code": 0, "data": {}})
    server.answer("/v2/vectordb/jobs/import/abort", {"code": 0, "data": {}})

    job = client.imports.wait("7")
    assert job.state == "Uncommitted"
    client.imports.commit(job)
    assert server.last.body == {"jobId": "7"}
    client.imports.abort("7")
    assert server.last.path.endswith("/abort")


def test_a_retry_names_the_job_and_the_keys(server: RecordingServer, client: penstock.Client) -> None:
    server.answer("/v2/vectordb/jobs/import/retry", {"code": 0, "data": {}})
    client.imports.retry("7", access_key="a", secret_key="s")
    assert server.last.body == {"jobId": "7", "accessKey": "a", "secretKey": "s"}


def test_a_revert_is_waited_for(server: RecordingServer, client: penstock.Client) -> None:
    server.answer("/v2/vectordb/jobs/import/revert", {"code": 0, "data": {}})
    server.answer(DESCRIBE, state("Failed", 99, revert="Reverted", restoredRows=2, reason="reverted by user"))
    job = client.imports.revert("7")
    assert (job.revert, job.restored_rows, job.has_succeeded) == ("Reverted", 2, False)


def test_wait_raises_why_a_job_failed(server: RecordingServer, client: penstock.Client) -> None:
    reason = "file 'a.json', row 3, field 'v': the vector has 7 dimensions, the field has 8"
    server.answer(DESCRIBE, state("Failed", 40, reason=reason))

    with pytest.raises(JobFailed) as caught:
        client.imports.wait("7")

    assert str(caught.value) == f"import job 7 into 'docs' ended Failed: {reason}"
    assert caught.value.job.reason == reason
    assert pickle.loads(pickle.dumps(caught.value)).job == caught.value.job


def test_wait_ends_with_the_time_given(server: RecordingServer, client: penstock.Client) -> None:
    server.answer(DESCRIBE, state("Importing", 40))
    with pytest.raises(JobUnfinished, match=r"job 7 is Importing at 40 % after 0\.01 s; it continues on the server"):
        client.imports.wait("7", timeout=0.01)


def test_wait_for_a_server_that_is_not_there() -> None:
    with pytest.raises(ConnectionFailed, match="Connection refused"):
        penstock.Client("http://127.0.0.1:9").imports.wait("7")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_progress_bar_ends_with_what_was_done() -> None:
    written = io.StringIO()
    with progress_bar(written) as show:
        show(job_from_wire(state("Importing", 40, stage="reading", importedRows=400)["data"]))
        show(job_from_wire(COMPLETED))
    assert written.getvalue() == "Completed 100 %, 1,000 rows, 52.4 kB\n"


def test_the_progress_bar_of_a_terminal_shows_stage_percent_and_rows() -> None:
    written = Terminal()
    with progress_bar(written) as show:
        show(job_from_wire(state("Importing", 40, stage="reading", importedRows=400)["data"]))
        halfway = written.getvalue()
        show(job_from_wire(COMPLETED))
    assert re.search(r"reading  \[#+-+\]   40%  400 rows", halfway)
    assert re.search(r"Completed  \[#+\]  100%  1,000 rows, 52.4 kB", written.getvalue())


def test_what_has_no_room_beside_the_bar_is_left_out_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    halfway = {**COMPLETED, "state": "Importing", "progress": 50, "importedRows": 400, "details": []}
    shown = {}
    for columns in (60, 59):
        monkeypatch.setenv("COLUMNS", str(columns))
        written = Terminal()
        with progress_bar(written) as show:
            show(job_from_wire(halfway))
        shown[columns] = written.getvalue().rpartition("50%  ")[2].partition("\x1b")[0].strip()
    assert shown == {60: "400/1,000 rows, 52.4 kB", 59: "400/1,000 rows"}

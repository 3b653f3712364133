"""What a server tells of its jobs: metrics, and one log line per transition, without secrets."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from penstock import JobFailed
from tests.support.servers import RunningServer, running_server
from tests.support.workers import worker_processes

SECRETS = ("AKIAHUSHHUSHHUSH", "secret+key/HUSH", "session-token-HUSH")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that logs JSON, and may read any bucket of a store that isn't there."""
    folder = tmp_path_factory.mktemp("watched")
    flags = (
        "--log-format",
        "json",
        "--workers",
        "1",
        "--import-root",
        str(folder / "files"),
        "--import-root",
        "s3://",
    )
    dead = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "PENSTOCK_MAX_ATTEMPTS": "2"}
    with running_server(folder, *flags, env=dead) as server:
        (server.import_root / "docs.jsonl").write_text('{"id": 1, "vector": [1, 2]}\n{"id": 2, "vector": [3, 4]}\n')
        (server.import_root / "bad.jsonl").write_text('{"id": 1, "vector": [1, 2, 3]}\n')
        with server.client() as client:
            client.collections.create("docs", dimension=2)
        yield server


def figures(server: RunningServer) -> dict[str, float]:
    """Every sample, by its name and the values of its labels."""
    text = requests.get(f"{server.url}/metrics", timeout=10).text
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def lines(server: RunningServer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]


def way(server: RunningServer, job_id: str) -> list[str]:
    """The states of a job as the log tells them; each line begins where the one before ended."""
    moves = [line for line in lines(server) if line["event"] == "job.state" and line["job_id"] == job_id]
    assert [move["before"] for move in moves] == [None, *(move["state"] for move in moves[:-1])]
    return [move["state"] for move in moves]


def test_metrics_of_an_import(watched: RunningServer) -> None:
    size = (watched.import_root / "docs.jsonl").stat().st_size
    with watched.client() as client:
        before = figures(watched)
        client.imports.wait(client.imports.create("docs", ["docs.jsonl"]))
        after = figures(watched)
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    assert grown["penstock_import_rows_total staged"] == grown["penstock_import_rows_total published"] == 2
    assert grown["penstock_import_bytes_total staged"] == grown["penstock_import_bytes_total published"] == size
    for step in ("planning", "staging", "split", "commit"):
        assert grown[f"penstock_import_step_duration_seconds_count {step}"] == 1, step
    assert grown["penstock_import_wait_seconds_count"] == 1
    assert grown["penstock_import_jobs Completed"] == 1
    assert after["penstock_import_running_jobs"] in (0, 1)  # its thread may still be tidying up
    assert after["penstock_http_requests_in_flight"] == 1  # the one that asks


def test_a_failed_job_has_staged_nothing_and_says_why(watched: RunningServer) -> None:
    with watched.client() as client:
        before = figures(watched)
        with pytest.raises(JobFailed):
            client.imports.wait(job := client.imports.create("docs", ["bad.jsonl"]))
        after = figures(watched)
    assert after["penstock_import_rows_total published"] == before["penstock_import_rows_total published"]
    assert way(watched, job.id) == ["Pending", "Planning", "Importing", "Failed"]
    last = [line for line in lines(watched) if line.get("job_id") == job.id and line["event"] == "job.state"][-1]
    assert "bad.jsonl" in last["reason"]


def test_every_transition_is_one_line_whoever_makes_it(watched: RunningServer) -> None:
    with watched.client() as client:
        done = client.imports.create("docs", ["docs.jsonl"])
        client.imports.wait(done)
        assert way(watched, done.id) == ["Pending", "Planning", "Importing", "Committing", "Indexing", "Completed"]
        options = {"auto_commit": "false"}
        aborted, committed, dropped = (
            client.imports.wait(client.imports.create("docs", ["docs.jsonl"], options=options)) for _ in range(3)
        )
        client.imports.abort(aborted)
        client.imports.commit(committed)
        client.imports.wait(committed)
        client.collections.drop("docs")
        client.collections.create("docs", dimension=2)
    staged = ["Pending", "Planning", "Importing", "Uncommitted"]
    assert way(watched, aborted.id) == [*staged, "Aborted"]
    assert way(watched, committed.id) == [*staged, "Committing", "Indexing", "Completed"]
    assert way(watched, dropped.id) == [*staged, "Failed"]


def test_a_move_by_a_call_names_the_call(watched: RunningServer) -> None:
    body = {"collectionName": "docs", "files": [["docs.jsonl"]]}
    answer = requests.post(
        f"{watched.url}/v2/vectordb/jobs/import/create", json=body, headers={"X-Request-Id": "call-17"}, timeout=10
    ).json()
    made = next(line for line in lines(watched) if line.get("job_id") == answer["data"]["jobId"])
    assert (made["state"], made["request_id"]) == ("Pending", "call-17")


def test_secrets_of_calls_are_in_no_log_and_no_metric(watched: RunningServer) -> None:
    """Neither where the call is refused, nor where the store can't be reached, nor where a job fails."""
    access, secret, token = SECRETS
    keys = {"accessKey": access, "secretKey": secret, "token": token, "sessionToken": token}
    v2, v1 = f"{watched.url}/v2/vectordb/jobs/import/create", f"{watched.url}/v1/vector/collections/import"
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {secret}"
        target = {"collectionName": "docs", "clusterId": "in01-local"}
        made = session.post(
            v2, json=target | keys | {"objectUrls": [["s3://bucket/a.parquet"]], "files": []}, timeout=10
        ).json()
        for url, body in [
            (v2, target | keys | {"objectUrls": [["s3://bucket/a.odd"]]}),
            (v2, keys | {"collectionName": "absent", "files": [["s3://bucket/a.parquet"]]}),
            (v1, target | keys | {"objectUrl": "s3://bucket/a.parquet"}),
            (v1, target | keys | {"objectUrl": f"s3://bucket/a.parquet?X-Amz-Signature={secret}"}),
        ]:
            session.post(url, json=body, timeout=30)
        session.post(v2, data=f'{{"secretKey": "{secret}", broken', timeout=10)
        session.get(f"{watched.url}/metrics?token={token}", timeout=10)
    job_id = made["data"]["jobId"]
    with watched.client() as client:
        with pytest.raises(JobFailed):
            client.imports.wait(job_id)
        assert figures(watched)["penstock_import_retries_total source_unavailable planning"] >= 1
    shown = watched.log.read_text() + requests.get(f"{watched.url}/metrics", timeout=10).text
    assert [each for each in SECRETS if each in shown] == []
    assert way(watched, job_id) == ["Pending", "Planning", "Failed"]


def test_a_worker_that_dies_is_counted(watched: RunningServer) -> None:
    before = figures(watched)
    workers = worker_processes(watched.process.pid)
    for worker in workers:
        os.kill(worker.pid, signal.SIGKILL)
    psutil.wait_procs(workers, timeout=10)
    with watched.client() as client:
        client.imports.wait(client.imports.create("docs", ["docs.jsonl"]))
    after = figures(watched)
    assert after["penstock_worker_restarts_total"] == before["penstock_worker_restarts_total"] + 1


def test_workers_log_as_the_server_does(tmp_path: Path) -> None:
    from penstock.runners.local import LocalRunner
    from penstock.server.worker_setup import WorkerSetup

    runner = LocalRunner(1, WorkerSetup("json", "info"))
    try:
        assert runner.submit(say, "Bearer hush").future.result(60) == ["ProcessorFormatter"]
    finally:
        runner.close()


def say(text: str, context: object) -> list[str]:
    import logging

    import structlog

    structlog.get_logger("worker").info(text)
    return [type(handler.formatter).__name__ for handler in logging.getLogger().handlers]

"""The event streams of a server: permissions, filters, resumption, limits, slow readers, the end of the server."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from penstock.domain.jobs import JobState
from penstock.server.http import event_stream as event_stream_module
from penstock.server.http.protocol import BoundedProtocol
from tests.support.event_stream import EVENTS, event_stream
from tests.support.servers import running_server
from tests.support.tenants import ACME, LOCAL, Callers, two_tenants
from tests.support.wire import V2


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    with two_tenants(tmp_path_factory.mktemp("streams"), max_event_streams_per_org=3) as callers:
        yield callers


def create(callers: Callers, who: str = "acme", database: str = "default") -> str:
    cluster = LOCAL if who == "ops" else ACME
    body = {"collectionName": "docs", "files": [["a.jsonl"]], "dbName": database, "clusterId": cluster}
    job_id: str = callers.post(who, f"{V2}/create", **body)[2]["jobId"]
    return job_id


def abort(callers: Callers, job_id: str) -> None:
    assert callers.post("acme", f"{V2}/abort", jobId=job_id)[1] == 0


def test_the_stream_of_a_job_has_what_describe_has_and_ends_with_the_job(callers: Callers) -> None:
    job_id = create(callers)
    headers = callers.headers("acme")
    with event_stream(callers.client, headers, jobId=job_id, details="true") as events:
        assert events.response.headers["content-type"] == "text/event-stream"
        described = callers.post("acme", f"{V2}/describe", jobId=job_id)[2]
        assert next(events).data == described
        abort(callers, job_id)
        last = next(events)
        assert last.data == callers.post("acme", f"{V2}/describe", jobId=job_id)[2]
        assert last.data["state"] == "Failed"
        assert list(events) == []
    # A browser connects again by itself until the server has nothing more.
    again = callers.client.get(EVENTS, params={"jobId": job_id}, headers={**headers, "Last-Event-ID": last.id})
    assert again.status_code == 204
    with event_stream(callers.client, headers, jobId=job_id) as events:
        assert [event.data["state"] for event in events] == ["Failed"]


def test_a_stream_of_all_jobs_shows_what_the_caller_may_see(callers: Callers) -> None:
    with (
        event_stream(callers.client, callers.headers("owner"), clusterId=ACME) as of_owner,
        event_stream(callers.client, callers.headers("clerk"), clusterId=ACME) as of_clerk,
        event_stream(callers.client, callers.headers("ops")) as of_ops,
    ):
        hidden, seen, foreign = create(callers), create(callers, database="sales"), create(callers, "ops")
        shown = [next(of_owner).data["jobId"] for _ in range(2)]
        assert shown == [hidden, seen]
        assert next(of_clerk).data["jobId"] == seen
        assert next(of_ops).data["jobId"] == foreign
        abort(callers, seen)
        assert [next(stream).data["state"] for stream in (of_owner, of_clerk)] == ["Failed", "Failed"]
    for job_id in (hidden, "12345"):
        status, code, message = callers.get("ops", EVENTS, jobId=job_id)
        assert (status, code) == (200, 2101)
        assert message == f"import job does not exist, jobID={job_id}: importing data failed on server side"
    assert callers.get("nobody", EVENTS, jobId=hidden)[:2] == (401, 1800)
    abort(callers, hidden)


def test_filters_and_resumption(callers: Callers) -> None:
    headers = callers.headers("owner")
    query = {"clusterId": ACME, "dbName": "sales", "collectionName": "docs", "state": "Pending"}
    with event_stream(callers.client, headers, **query) as events:
        create(callers)
        job_id = create(callers, database="sales")
        first = next(events)
        assert first.data["jobId"] == job_id
    abort(callers, job_id)
    with event_stream(callers.client, headers, first.id, **query) as events:
        assert next(event for event in events if event.data["jobId"] == job_id).data["state"] == "Failed"
    assert callers.get("owner", EVENTS, state="Nonsense", clusterId=ACME)[1] == 1100
    assert "needs a jobId" in callers.get("owner", EVENTS, details="true", clusterId=ACME)[2]


def test_an_org_has_a_limited_number_of_streams(callers: Callers) -> None:
    headers = callers.headers("owner")
    streams = [event_stream(callers.client, headers, clusterId=ACME) for _ in range(3)]
    for stream in streams:
        stream.__enter__()
    refused = callers.client.get(EVENTS, params={"clusterId": ACME}, headers=headers)
    assert refused.json()["code"] == 1807
    assert refused.headers["retry-after"] == "5"
    assert "max_event_streams_per_org" in refused.json()["message"]
    for stream in streams:
        stream.__exit__(None, None, None)
    for _ in range(50):  # the server notices the ends
        with event_stream(callers.client, headers, clusterId=ACME) as again:
            if again.response.headers["content-type"] == "text/event-stream":
                return
        time.sleep(0.1)
    pytest.fail("closed streams still count")


def test_a_revoked_permission_ends_the_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream_module, "RENEWAL_SECONDS", 0.2)
    monkeypatch.setattr(event_stream_module, "HEARTBEAT_SECONDS", 0.1)
    with (
        two_tenants(tmp_path) as callers,
        event_stream(callers.client, callers.headers("clerk"), clusterId=ACME) as events,
    ):
        user = callers.catalog.accounts.user("clerk")
        assert user is not None
        callers.catalog.accounts.revoke(user.id)
        assert list(events) == []


def test_a_reader_that_reads_nothing_is_disconnected(
    tmp_path: Path, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL, where the test's writes reach the server."""
    monkeypatch.setattr(BoundedProtocol, "idle_write_seconds", 0.3)
    with two_tenants(tmp_path, migrated_url) as callers:
        host = urlsplit(str(callers.client.base_url))
        job = callers.catalog.jobs.get(ACME, int(create(callers)))
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((host.hostname, host.port))
            head = f"GET {EVENTS}?clusterId={ACME} HTTP/1.1\r\nHost: {host.netloc}\r\n"
            connection.sendall(f"{head}Authorization: Bearer {callers.secrets['owner']}\r\n\r\n".encode())
            claimed = callers.catalog.leases.claim("worker", 60_000)
            assert claimed is not None
            moved = callers.catalog.leases.move(claimed, JobState.PLANNING)
            until = time.monotonic() + 30
            number = 0
            while "events" not in _ended_streams(callers):
                assert time.monotonic() < until
                number += 1
                callers.catalog.leases.save_reason(moved, f"{number} " + "x" * 2**20)
                time.sleep(0.05)
        assert job.id == moved.id


def _ended_streams(callers: Callers) -> str:
    metrics = callers.client.get("/metrics", headers=callers.headers("ops")).text
    return " ".join(line for line in metrics.splitlines() if "requests_total" in line)


@pytest.mark.slow
def test_streams_end_when_the_server_stops(tmp_path: Path) -> None:
    with running_server(tmp_path, forked=True) as server, server.client() as client:
        client.collections.create("docs", dimension=2)
        with httpx.Client(base_url=server.url) as http, event_stream(http) as events:
            (server.import_root / "a.jsonl").write_text(json.dumps({"id": 1, "vector": [1, 2]}))
            job = client.imports.create("docs", server.import_root / "a.jsonl")
            assert any(event.data["jobId"] == job.id and event.data["state"] == "Completed" for event in events)
            stop = threading.Thread(target=server.stop)
            stop.start()
            assert list(events) == []
            stop.join()

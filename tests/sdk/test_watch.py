"""``client.imports.watch``: events of Penstock, polls of other servers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import tenacity

import penstock
from penstock.sdk import event_stream, polling
from penstock.sdk.errors import ApiError, ConnectionFailed, ImportCallError
from tests.sdk.recording_server import Answer, recording_server
from tests.support.servers import running_server


@pytest.mark.slow
def test_watch_yields_the_states_of_jobs_also_after_a_restart_of_the_server(tmp_path: Path) -> None:
    with running_server(tmp_path, forked=True) as server, server.client() as client:
        client.collections.create("docs", dimension=2)
        path = server.import_root / "a.jsonl"
        path.write_text(json.dumps({"id": 1, "vector": [1, 2]}))
        job = client.imports.create("docs", path)
        states = list(client.imports.watch(job, details=True))
        assert states[-1] == client.imports.get(job)
        assert [state.progress for state in states] == sorted(state.progress for state in states)
        with pytest.raises(ImportCallError, match="does not exist"):
            next(client.imports.watch("12345"))
        uncommitted = client.imports.create("docs", path, options={"auto_commit": False})
        changes = client.imports.watch(collection="docs")
        assert next(change for change in changes if change.state == "Uncommitted").id == uncommitted.id
        server.stop()
        port = server.url.rpartition(":")[2]
        with running_server(tmp_path, "--port", port, forked=True):
            client.imports.abort(uncommitted)
            assert next(change for change in changes if change.state == "Failed").id == uncommitted.id
            changes.close()


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}"
        finally:
            http.shutdown()
            thread.join()


@contextmanager
def server_without_events(states: list[str]) -> Iterator[str]:
    """A server that has ``describe`` only, as Milvus has."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(404, b"404 page not found")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            state = states.pop(0) if len(states) > 1 else states[0]
            self.answer(200, json.dumps({"code": 0, "data": {"jobId": "1", "state": state}}).encode())

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            return None

    with serving(Handler) as url:
        yield url


def test_a_server_without_events_is_polled() -> None:
    states = ["Pending", "Importing", "Importing", "Completed"]
    with server_without_events(states) as url, penstock.Client(url) as client:
        assert [job.state for job in client.imports.watch("1", poll=0.01)] == ["Pending", "Importing", "Completed"]


@contextmanager
def server_that_answers(status: int, body: bytes, headers: dict[str, str]) -> Iterator[str]:
    """A server that gives every GET the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            return None

    with serving(Handler) as url:
        yield url


def test_a_server_with_too_many_streams_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "LONGEST_OUTAGE", 0.5)
    monkeypatch.setattr(event_stream, "_RECONNECT_SECONDS", 0.1)
    refusal = json.dumps({"code": 1807, "message": "too many event streams"}).encode()
    with (
        server_that_answers(200, refusal, {"retry-after": "1"}) as url,
        penstock.Client(url) as client,
        pytest.raises(ImportCallError, match="too many event streams"),
    ):
        next(client.imports.watch())


def test_a_watch_goes_on_while_a_proxy_answers_for_a_server_that_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "_RECONNECT_SECONDS", 0.01)

    def events(state: str) -> Answer:
        data = json.dumps({"jobId": "1", "state": state})
        return Answer(f"id: 5\nevent: job\ndata: {data}\n\n", headers={"Content-Type": "text/event-stream"})

    with recording_server() as server, penstock.Client(server.url) as client:
        bad_gateway = Answer("Bad Gateway", status=502)
        server.answer("/v2/vectordb/jobs/import/events", events("Importing"), bad_gateway, events("Completed"))
        assert [job.state for job in client.imports.watch("1")] == ["Importing", "Completed"]


def test_polls_go_on_while_a_proxy_answers_for_a_server_that_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.sdk.connection._BACKOFF", tenacity.wait_none())
    with recording_server() as server, penstock.Client(server.url) as client:
        answers = [{"code": 0, "data": {"jobId": "1", "state": state}} for state in ("Importing", "Completed")]
        restarting = [Answer("Bad Gateway", status=502)] * 5  # more than the client repeats one call
        server.answer("/v2/vectordb/jobs/import/describe", answers[0], *restarting, answers[1])
        assert [job.state for job in client.imports.watch("1", poll=0.01)] == ["Importing", "Completed"]


def test_the_time_that_a_caller_takes_for_a_state_is_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.sdk.connection._BACKOFF", tenacity.wait_none())
    monkeypatch.setattr(polling, "LONGEST_OUTAGE", 0.5)
    with recording_server() as server, penstock.Client(server.url) as client:
        answers = [{"code": 0, "data": {"jobId": "1", "state": state}} for state in ("Importing", "Completed")]
        restarting = [Answer("Bad Gateway", status=502)] * 5
        server.answer("/v2/vectordb/jobs/import/describe", answers[0], *restarting, answers[1])
        changes = client.imports.watch("1", poll=0.01)
        assert next(changes).state == "Importing"
        time.sleep(0.6)
        assert next(changes).state == "Completed"


@pytest.mark.parametrize(
    ("error", "survives"),
    [
        (ConnectionFailed("no connection", url="", method="POST"), True),
        (ApiError("Bad Gateway", http_status=502, url="", method="POST"), True),
        (ApiError("job 1 not found", code=2101, http_status=200, url="", method="POST"), False),
    ],
)
def test_a_wait_survives_a_restart_of_the_server_also_behind_a_proxy(error: ImportCallError, survives: bool) -> None:
    answers: list[str | Exception] = ["Importing", error, "Completed"]

    def get() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait() -> str:
        return polling.poll_until(
            get, lambda state: state == "Completed", lambda state, _: TimeoutError(state), timeout=60, pause=0.01
        )

    if survives:
        assert wait() == "Completed"
    else:
        with pytest.raises(ApiError, match="not found"):
            wait()

"""``client.imports.watch``: events of Penstock, polls of other servers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import penstock
from penstock.sdk.errors import ImportCallError
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

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}"
        finally:
            http.shutdown()
            thread.join()


def test_a_server_without_events_is_polled() -> None:
    states = ["Pending", "Importing", "Importing", "Completed"]
    with server_without_events(states) as url, penstock.Client(url) as client:
        assert [job.state for job in client.imports.watch("1", poll=0.01)] == ["Pending", "Importing", "Completed"]

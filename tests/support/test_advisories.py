"""Asking for known weaknesses: what a service knows is told, and one that knows nothing is not believed.

The service is a small one of this test; pip-audit and the lock files are the real ones.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.advisories import FOUND, UNKNOWN, main

pytestmark = pytest.mark.slow


@contextmanager
def service(*weak: str) -> Iterator[list[str]]:
    """Speaks OSV's protocol and knows of a weakness in each ``name==version``; gives the option that names it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            package = asked["package"]
            known = f"{package['name']}=={asked['version']}" in weak
            vulns = [{"id": "PYSEC-2018-1", "summary": "x", "affected": [{"package": package, "ranges": []}]}]
            answer = json.dumps({"vulns": vulns} if known else {}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/v1/query"
        yield ["--vulnerability-service", "osv", "--osv-url", address]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_service_that_knows_no_weakness_is_not_believed(capsys: pytest.CaptureFixture[str]) -> None:
    with service() as ignorant:
        assert main([ignorant]) == UNKNOWN
    told = capsys.readouterr()
    assert told.err.startswith("NOT CHECKED")
    assert "knows of nothing in requests==2.19.0" in told.err
    assert told.out == ""


def test_a_service_that_is_away_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([["--vulnerability-service", "osv", "--osv-url", "http://127.0.0.1:1/"]]) == UNKNOWN
    assert "NOT CHECKED" in capsys.readouterr().err


def test_no_weakness_in_any_lock_file(capsys: pytest.CaptureFixture[str]) -> None:
    with service("requests==2.19.0") as good:
        assert main([good]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "requirements/server.txt: 0 known weaknesses" in lines


def test_a_weakness_is_told_with_its_package(capsys: pytest.CaptureFixture[str]) -> None:
    from tests.support.dependencies import ROOT, read_lock

    version = read_lock((ROOT / "requirements" / "server.txt").read_text())["numpy"]
    with service("requests==2.19.0", f"numpy=={version}") as good:
        assert main([good]) == FOUND
    assert f"  numpy {version}: PYSEC-2018-1" in capsys.readouterr().out

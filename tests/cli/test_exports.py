"""``penstock exports``: how a command that waits for an export ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from penstock.cli.main import cli
from tests.sdk.recording_server import RecordingServer, recording_server

EXPORTING = {"jobId": "7", "collectionName": "docs", "state": "Exporting", "progress": 40}


def exporting(server: RecordingServer) -> None:
    server.answer("/v2/vectordb/jobs/export/describe", {"code": 0, "data": EXPORTING})


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_an_export_that_still_runs_after_the_timeout(form: tuple[str, ...]) -> None:
    with recording_server() as server:
        exporting(server)
        run = CliRunner().invoke(cli, ["exports", "wait", "7", "--timeout", "0", "--url", server.url, *form])
    assert run.exit_code == 3
    assert "export 7 is Exporting at 40 % after 0 s; it continues on the server" in run.stderr
    assert "To follow it: penstock exports wait 7" in run.stderr
    assert (json.loads(run.stdout) if form else run.stdout) == (EXPORTING if form else "")


@pytest.mark.parametrize(
    ("command", "path", "told"),
    [
        (("exports", "wait", "7"), "/v2/vectordb/jobs/export/describe", "To abort it: penstock exports abort 7"),
        (("indexes", "describe", "docs", "v", "--wait"), "/v2/vectordb/indexes/describe", "Interrupted."),
    ],
)
def test_ctrl_c_ends_what_waits_with_130(command: tuple[str, ...], path: str, told: str) -> None:
    index = {"indexName": "v", "fieldName": "v", "indexState": "InProgress", "totalRows": 9, "pendingRows": 9}
    with recording_server() as server:
        exporting(server)
        server.answer("/v2/vectordb/indexes/describe", {"code": 0, "data": [index]})
        process = subprocess.Popen(
            [sys.executable, "-c", "from penstock.cli.main import main; main()", *command],
            env={**os.environ, "PENSTOCK_URL": server.url},
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            ends = time.monotonic() + 60
            while path not in [request.path for request in server.requests] and time.monotonic() < ends:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert told in errors

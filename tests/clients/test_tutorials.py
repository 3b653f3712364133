"""The guides to bulk import, with released pymilvus, a bucket of an S3 server, and our address."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.clients.conftest import ClientServer
from tests.support.clients import run_client

pytestmark = pytest.mark.clients

PROGRAM = Path(__file__).with_name("bulk_import_tutorial.py")


@pytest.mark.parametrize("version", ["2.4.9", "3.0.2"])
def test_the_guides_run_with_our_address(client_server: ClientServer, version: str, tmp_path: Path) -> None:
    # Its writer keeps files beside the program.
    program = shutil.copy(PROGRAM, tmp_path)
    server = client_server
    results = json.loads(run_client(version, program, server.url, server.key, server.s3.endpoint, server.bucket))

    assert results["guide"] == {
        "states": ["Completed", 500, 100],
        "files": ["1.parquet"],
        "jobs": [["tutorial", "Completed", 100]],
        "rows": 500,
        "nearest": [7, 0.0, {"varchar": "varchar_7", "json": {"dummy": 7, "ok": "name_7"}, "dynamic_1": 7}],
        "binary": 7,
        "half": 8,
        "sparse": 8,
        "json": "Completed",
        "more": 2,
    }
    assert results["quick start"]["found"] == [[]]
    assert "rows come by import jobs: call utility.do_bulk_insert" in results["quick start"]["insert"]

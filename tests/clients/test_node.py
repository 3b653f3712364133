"""Milvus's Node.js client, as npm has it, over gRPC and HTTP on one port: ``node/calls.js``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import ClientServer
from tests.support.clients import ENVIRONMENTS
from tests.support.environments import node_modules

pytestmark = [
    pytest.mark.clients,
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("npm") is None, reason="npm is missing: Debian's packages nodejs and npm have it"
    ),
]

NODE = Path(__file__).with_name("node")
IMPORT = "rows come by import jobs: call utility.do_bulk_insert, or POST /v2/vectordb/jobs/import/create"
RETURNED: dict[str, Any] = {
    "version": "v2.6.0",
    "health": True,
    "missing": False,
    "describeMissing": [100, "CollectionNotExists", "can't find collection[database=default][collection=node_nope]"],
    "create": "Success",
    "described": [
        ["id", "Int64", "100"],
        ["title", "VarChar", "101"],
        ["tags", "Array", "102"],
        ["meta", "JSON", "103"],
        ["vector", "FloatVector", "104"],
        ["words", "SparseFloatVector", "105"],
    ],
    "shown": True,
    "partitions": ["_default", "late"],
    "bulkInsert": ["ImportCompleted", "8"],
    "listImportTasks": [[True, "ImportCompleted"]],
    "importJob": [0, "Completed", 8, ""],
    "listImportJobs": [["node_docs", "Completed", 100], ["node_docs", "Completed", 100]],
    "load": "Success",
    "loadState": "LoadStateLoaded",
    "refresh": "Success",
    "statistics": "16",
    "count": 16,
    "query": [
        {
            "id": str(number),
            "title": f"film {number}",
            "tags": [tag],
            "meta": {"rank": number},
            "vector": [number, 0, 0, 0],
            "words": {"1": number, "5": 1},
            "$meta": {"note": f"note {number}"},
        }
        for number, tag in ((3, "odd"), (12, "even"))
    ],
    "get": [{"id": "4", "title": "film 4"}],
    "template": ["1", "2"],
    "search": [["1", 0.64], ["2", 3.24]],
    "searchFields": [{"score": pytest.approx(23.04), "id": "5", "note": "note 5"}],
    "searchParams": [["2", 3.24], ["3", 7.84]],
    "sparse": [["16", 16]],
    "hybrid": [["1", 0.0164], ["16", 0.0164]],
    "queryIterator": [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12], [13, 14, 15, 16]],
    "searchIterator": [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]],
    "index": [["words_index", "words", "Finished"]],
    "badExpression": [1100, "IllegalArgument"],
    "insert": [10, f"service unimplemented: Insert is not served by Penstock; {IMPORT}"],
    "delete": [
        10,
        (
            f"service unimplemented: Delete is not served by Penstock; {IMPORT}. "
            "To remove rows, drop their partition or collection"
        ),
    ],
    "aliases": ["node_alias"],
    "alias": "node_docs",
    "dropAlias": "Success",
    "databases": ["default"],
    "users": True,
    "flush": "Success",
    "compact": "Success",
    "httpDescribe": "LoadStateLoaded",
    "httpHas": True,
    "httpList": True,
    "httpQuery": [
        {"id": "3", "title": "film 3", "note": "note 3"},
        {"id": "12", "title": "film 12", "note": "note 12"},
    ],
    "httpGet": [{"id": "4", "title": "film 4"}],
    "httpSearch": [
        {"id": "1", "title": "film 1", "distance": pytest.approx(0.64)},
        {"id": "2", "title": "film 2", "distance": pytest.approx(3.24)},
    ],
    "httpHybrid": ["1", "16"],
    "httpStatistics": 16,
    "httpLoadState": "LoadStateLoaded",
    "httpIndexes": ["vector", "words_index"],
    "httpInsert": [
        10,
        (
            "service unimplemented: entities/insert is not served by Penstock; rows are written by import jobs: "
            "use /v2/vectordb/jobs/import/create"
        ),
    ],
    "drop": "Success",
}


def test_every_call(client_server: ClientServer) -> None:
    modules = node_modules(NODE, ENVIRONMENTS / "node")
    done = subprocess.run(
        ["node", str(NODE / "calls.js"), client_server.url, client_server.key, str(client_server.files)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "NODE_PATH": str(modules)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == RETURNED

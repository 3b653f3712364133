"""Our calls send what pymilvus's send: same method, path, body and headers, seen by the same recording server."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest

import penstock
from penstock.sdk import v2_calls
from tests.sdk.recording_server import RecordingServer, Request
from tests.support.clients import run_client

pytestmark = pytest.mark.clients

# Name of the function, then its arguments; "URL" stands for the server.
V1_CALLS: list[tuple[str, dict[str, Any]]] = [
    (
        "bulk_import",
        {
            "url": "URL",
            "api_key": "key",
            "object_url": "s3://bucket/a.parquet",
            "access_key": "a",
            "secret_key": "s",
            "cluster_id": "in03-1",
            "collection_name": "docs",
        },
    ),
    ("get_import_progress", {"url": "URL", "api_key": "key", "job_id": "job-1", "cluster_id": "in03-1"}),
    (
        "list_import_jobs",
        {"url": "URL", "api_key": "key", "cluster_id": "in03-1", "page_size": 10, "current_page": 2},
    ),
]
V2_CALLS: list[tuple[str, dict[str, Any]]] = [
    ("bulk_import", {"url": "URL", "collection_name": "docs", "files": [["a.parquet"], ["x.npy", "y.npy"]]}),
    (
        "bulk_import",
        {
            "url": "URL",
            "collection_name": "docs",
            "db_name": "sales",
            "partition_name": "p",
            "object_urls": [["s3://bucket/a/"]],
            "cluster_id": "in03-1",
            "api_key": "user:password",
            "access_key": "a",
            "secret_key": "s",
            "token": "t",
            "options": {"sep": "|", "timeout": "300s"},
            "timeout": 5,
        },
    ),
    (
        "bulk_import",
        {
            "url": "URL",
            "collection_name": "docs",
            "project_id": "proj-1",
            "region_id": "aws-us-west-2",
            "volume_name": "v",
            "data_paths": [["a.json"]],
        },
    ),
    ("get_import_progress", {"url": "URL", "job_id": "1", "db_name": "sales", "api_key": "key"}),
    ("list_import_jobs", {"url": "URL"}),
    (
        "list_import_jobs",
        {"url": "URL", "collection_name": "docs", "cluster_id": "in03-1", "page_size": 5, "current_page": 3},
    ),
]
PROGRAM = """
import importlib, json, sys
calls = importlib.import_module("pymilvus.bulk_writer.bulk_import")
for name, arguments in json.load(open(sys.argv[1])):
    getattr(calls, name)(**arguments)
"""
PATHS_V1 = [
    "/v1/vector/collections/import",
    "/v1/vector/collections/import/get",
    "/v1/vector/collections/import/list",
]
PATHS_V2 = [f"/v2/vectordb/jobs/import/{name}" for name in ("create", "describe", "list")]


@pytest.mark.parametrize(
    ("version", "calls", "paths", "code"),
    [
        ("2.3.8", V1_CALLS, PATHS_V1, 200),
        ("3.0.2", V2_CALLS, PATHS_V2, 0),
    ],
)
def test_we_send_what_the_released_client_sends(
    server: RecordingServer,
    tmp_path: Any,
    version: str,
    calls: list[tuple[str, dict[str, Any]]],
    paths: list[str],
    code: int,
) -> None:
    for path in paths:
        server.answer(path, {"code": code, "data": {}})
    calls = [(name, {**arguments, "url": server.url}) for name, arguments in calls]
    (tmp_path / "calls.json").write_text(json.dumps(calls))
    run_client(version, PROGRAM, tmp_path / "calls.json")
    theirs, server.requests = server.requests, []

    ours_home: Any = penstock if code == 200 else v2_calls
    for name, arguments in calls:
        call: Callable[..., Any] = getattr(ours_home, name)
        call(**arguments)

    assert [essence(request) for request in server.requests] == [essence(their) for their in theirs]
    assert len(theirs) == len(calls)


def essence(request: Request) -> dict[str, Any]:
    """What of a request means something to a server; an empty key is sent as no header, or as "Bearer"."""
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "body": request.body,
        "key": (request.headers.get("Authorization") or "").removeprefix("Bearer").strip(),
        "database": request.headers.get("DB-Name"),
        "content": request.headers.get("Content-Type"),
    }


def test_the_signatures_are_those_of_pymilvus_3_0_2() -> None:
    program = """
import importlib, inspect, json
calls = importlib.import_module("pymilvus.bulk_writer.bulk_import")
names = ("bulk_import", "get_import_progress", "list_import_jobs")
told = {name: inspect.signature(getattr(calls, name)).parameters.values() for name in names}
print(json.dumps({name: [(p.name, repr(p.default), p.kind.name) for p in told[name]] for name in names}))
"""
    theirs = json.loads(run_client("3.0.2", program))
    for name, parameters in theirs.items():
        ours = inspect.signature(getattr(v2_calls, name)).parameters.values()
        assert [[our.name, repr(our.default), our.kind.name] for our in ours] == parameters

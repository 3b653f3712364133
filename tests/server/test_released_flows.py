"""Released, unchanged pymilvus creates, follows and lists jobs against a running server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.clients import run_client
from tests.support.servers import RunningServer

pytestmark = pytest.mark.clients

# Both programs print one JSON line: what each call returned, and how a refused call looked to the user.
V1_PROGRAM = """
import json, sys, time
from pymilvus import bulk_import, get_import_progress, list_import_jobs

url, name, path = sys.argv[1:]
cluster = "in01-local"
created = bulk_import(url, "key", path, "", "", cluster, name).json()
job_id = created["data"]["jobId"]
while True:
    progress = get_import_progress(url, "key", job_id, cluster).json()
    if progress["data"]["errorMessage"] is not None or progress["data"]["readyPercentage"] == 1:
        break
    time.sleep(0.1)
jobs = list_import_jobs(url, "key", cluster, 10, 1).json()
try:
    list_import_jobs(url, "key", cluster, 3, 1)
    refusal = ""
except Exception as error:
    refusal = str(error)
print(json.dumps({"created": created, "progress": progress, "jobs": jobs, "refusal": refusal}))
"""

V2_PROGRAM = """
import json, sys, time
from pymilvus.bulk_writer import bulk_import, get_import_progress, list_import_jobs

url, name, path = sys.argv[1:]
created = bulk_import(url=url, collection_name=name, files=[[path]]).json()
job_id = created["data"]["jobId"]
while True:
    progress = get_import_progress(url=url, job_id=job_id).json()
    if progress["data"]["state"] in ("Completed", "Failed"):
        break
    time.sleep(0.1)
jobs = list_import_jobs(url=url, collection_name=name).json()
try:
    list_import_jobs(url=url, collection_name="no_such_collection")
    refusal = ""
except Exception as error:
    refusal = str(error)
print(json.dumps({"created": created, "progress": progress, "jobs": jobs, "refusal": refusal}))
"""


def run_flow(server: RunningServer, version: str, program: str, name: str, path: str) -> dict[str, Any]:
    with server.client() as client:
        client.collections.create(name, dimension=2)
    flow: dict[str, Any] = json.loads(run_client(version, program, server.url, name, path))
    return flow


def write_rows(server: RunningServer, file: str) -> str:
    path = server.import_root / file
    path.write_text('{"id": 1, "vector": [0.5, 1.5]}\n{"id": 2, "vector": [2.5, 3.5]}\n')
    return str(path)


def test_pymilvus_2_3_uses_the_v1_calls(server: RunningServer) -> None:
    path = write_rows(server, "v1.jsonl")
    flow = run_flow(server, "2.3.8", V1_PROGRAM, "from_2_3_8", f"file://{path}")
    job_id = flow["created"]["data"]["jobId"]
    assert flow["created"]["code"] == flow["progress"]["code"] == flow["jobs"]["code"] == 200
    data = flow["progress"]["data"]
    assert (data["jobId"], data["collectionName"], data["errorMessage"]) == (job_id, "from_2_3_8", None)
    assert data["completeTime"].endswith("Z")
    row = {"collectionName": "from_2_3_8", "jobId": job_id, "state": "ImportCompleted"}
    assert row in flow["jobs"]["data"]["tasks"]
    assert flow["jobs"]["data"]["tasks"] == flow["jobs"]["data"]["records"]
    assert "80003" in flow["refusal"]


@pytest.mark.parametrize(
    "version", ["2.4.9", *(pytest.param(each, marks=pytest.mark.slow) for each in ("2.5.18", "2.6.17")), "3.0.2"]
)
def test_pymilvus_2_4_and_later_use_the_v2_calls(server: RunningServer, version: str) -> None:
    name = f"from_{version.replace('.', '_')}"
    flow = run_flow(server, version, V2_PROGRAM, name, write_rows(server, f"{name}.jsonl"))
    job_id = flow["created"]["data"]["jobId"]
    assert flow["created"]["code"] == flow["progress"]["code"] == flow["jobs"]["code"] == 0
    data = flow["progress"]["data"]
    assert (data["jobId"], data["state"], data["progress"]) == (job_id, "Completed", 100)
    assert (data["importedRows"], data["totalRows"]) == (2, 2)
    assert flow["jobs"]["data"]["records"] == [
        {"collectionName": name, "jobId": job_id, "progress": 100, "state": "Completed"}
    ]
    assert "100" in flow["refusal"]
    assert "no_such_collection" in flow["refusal"]


def test_a_failed_job_tells_an_unchanged_client_why(server: RunningServer) -> None:
    path = server.import_root / "bad.jsonl"
    path.write_text('{"id": 1, "vector": [0.5, 1.5]}\n{"id": 2, "vector": [2.5]}\n')
    flow = run_flow(server, "3.0.2", V2_PROGRAM, "refused_rows", str(path))
    data = flow["progress"]["data"]
    assert data["state"] == "Failed"
    for word in ("bad.jsonl", "row 1", "'vector'"):
        assert word in data["reason"]
    assert flow["jobs"]["data"]["records"][0]["reason"] == data["reason"]

"""The pages that the project began from, key by key: what goes in, and exactly what comes out."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from penstock.domain.jobs import FileState, ImportFile, JobState
from tests.support.imports import CREATED, FIRST_ID, make_job
from tests.support.wire import Server

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))


@pytest.fixture
def jobs(server: Server) -> Server:
    """One completed, one running and one failed job."""
    one_minute = CREATED + timedelta(minutes=1)
    server.imports.add(
        make_job(JobState.COMPLETED),
        ImportFile(
            ordinal=0,
            name="s3://bucket/night/1.parquet",
            size=26571700,
            state=FileState.COMPLETED,
            progress=100,
            finished_at=one_minute,
        ),
    )
    server.imports.add(
        make_job(JobState.IMPORTING, id=FIRST_ID + 1, progress=50, rows=300, total_rows=1000, stage="reading"),
        ImportFile(
            ordinal=0,
            name="a.json",
            size=1000,
            state=FileState.COMPLETED,
            progress=100,
            rows=300,
            total_rows=300,
            finished_at=one_minute,
        ),
        ImportFile(
            ordinal=1,
            name="set/id.npy set/vector.npy",
            size=2000,
            state=FileState.IMPORTING,
            progress=10,
            total_rows=700,
        ),
    )
    reason = "file 'b.csv', row 7: too long"
    server.imports.add(
        make_job(
            JobState.FAILED,
            id=FIRST_ID + 2,
            collection="books",
            progress=40,
            rows=7,
            total_rows=20,
            reason=reason,
        ),
        ImportFile(
            ordinal=0,
            name="b.csv",
            size=500,
            state=FileState.FAILED,
            progress=40,
            rows=7,
            total_rows=20,
            reason=reason,
        ),
    )
    return server


@pytest.mark.parametrize("page", GOLDEN, ids=lambda page: page.stem)
def test_page(jobs: Server, page: Path) -> None:
    golden = json.loads(page.read_text())
    expected = golden["reply"]
    if expected["code"] == "success":
        expected["code"] = jobs.success_code
    assert _call(jobs, golden["call"]) == expected
    assert _call(jobs, golden["failing"]) == golden["failure"]


def _call(server: Server, call: dict[str, Any]) -> Any:
    reply = server.client.request(call["method"], call["path"], params=call.get("query"), json=call.get("body"))
    assert reply.status_code == 200
    return reply.json()

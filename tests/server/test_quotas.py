"""What an org may have, through a running server: who asks for more is told when to come back."""

from __future__ import annotations

import time
from pathlib import Path

import httpx

from penstock.domain.quotas import Quota
from tests.support.catalogs import migrated_file
from tests.support.many_tenants import tenants

ROW = '{"id": %d, "vector": [0.5, 1.5]}\n'


def test_an_org_with_as_many_live_jobs_as_it_may_is_refused_and_no_other_is(tmp_path: Path, catalog_url: str) -> None:
    with tenants(tmp_path, catalog_url, started=False, max_jobs_per_org=1) as server:
        server.add("ann", "bob")
        (server.files / "a.jsonl").write_text(ROW % 1)
        job = server.create("ann", "a.jsonl").json()["data"]["jobId"]
        refused = server.create("ann", "a.jsonl")
        assert (refused.status_code, refused.json()["code"]) == (200, 1807)
        assert refused.json()["message"] == (
            "request is rejected by limiter, error: 1 jobs of the org ann are unfinished, the limit is 1 "
            "(max_jobs_per_org). Try again when one has finished; one job can import many files"
        )
        assert "retry-after" not in refused.headers, "nobody knows when that will be"
        assert server.create("ann", "a.jsonl", clusterId="in01-ann").json()["code"] == 1807
        v1 = server.v1("ann", objectUrl="a.jsonl")
        assert (v1.status_code, v1.json()["code"]) == (200, 47055)
        assert "max_jobs_per_org" in v1.json()["message"]

        assert server.create("bob", "a.jsonl").json()["code"] == 0
        assert server.v2("ann", "jobs/import/abort", jobId=job).json()["code"] == 0
        assert server.create("ann", "a.jsonl").json()["code"] == 0
        server.catalog.quotas.set("org-ann", Quota(jobs=0))
        assert server.create("ann", "a.jsonl").json()["code"] == 0


def test_an_org_with_no_bytes_left_today_is_told_to_come_back_tomorrow(tmp_path: Path, catalog_url: str) -> None:
    with tenants(tmp_path, catalog_url, max_daily_bytes_per_org=100) as server:
        server.add("ann", "bob")
        (server.files / "small.jsonl").write_text(ROW % 1)
        (server.files / "large.jsonl").write_text("".join(ROW % index for index in range(3)))
        size = (server.files / "small.jsonl").stat().st_size
        first = server.create("ann", "small.jsonl").json()["data"]["jobId"]
        assert server.ended("ann", first)["state"] == "Completed"
        assert server.catalog.quotas.usage("org-ann").daily_bytes == size

        # v2 looks for files after the call: the job fails, and doesn't count. v1 looks at once.
        second = server.ended("ann", server.create("ann", "large.jsonl").json()["data"]["jobId"])
        assert second["state"] == "Failed"
        assert f"has imported {size} bytes today, the limit per day is 100" in second["reason"]
        assert "Try again at" in second["reason"]
        assert server.catalog.quotas.usage("org-ann").daily_bytes == size
        refused = server.v1("ann", objectUrl="large.jsonl")
        assert refused.json()["code"] == 47035
        assert "max_daily_bytes_per_org" in refused.json()["message"]
        assert_until_midnight(refused)

        server.catalog.quotas.set("org-ann", Quota(daily_bytes=size))
        refused = server.create("ann", "small.jsonl")
        assert (refused.status_code, refused.json()["code"]) == (200, 1807)
        assert_until_midnight(refused)
        assert server.v2("ann", "jobs/import/retry", jobId=second["jobId"]).json()["code"] == 1807
        assert server.create("bob", "small.jsonl").json()["code"] == 0

        server.catalog.quotas.set("org-ann", Quota(daily_bytes=1000))
        assert server.v2("ann", "jobs/import/retry", jobId=second["jobId"]).json()["code"] == 0
        assert server.ended("ann", second["jobId"])["state"] == "Completed"


def test_an_org_with_a_long_queue_keeps_no_other_waiting(tmp_path: Path, catalog_url: str) -> None:
    """One worker, one running job per cluster, and files cut into many parts: everything is scarce."""
    with tenants(tmp_path, catalog_url, max_running_jobs=1, split_bytes="64KiB") as server:
        server.add("ann", "bob")
        (server.files / "long.jsonl").write_text("".join(ROW % index for index in range(8_000)))
        (server.files / "short.jsonl").write_text(ROW % 1)
        queue = [server.create("ann", "long.jsonl").json()["data"]["jobId"] for _ in range(6)]
        short = server.create("bob", "short.jsonl").json()["data"]["jobId"]
        assert server.ended("bob", short)["state"] == "Completed"
        states = [server.v2("ann", "jobs/import/describe", jobId=each).json()["data"]["state"] for each in queue]
        assert "Pending" in states, "bob's job was created last, and didn't wait for all of ann's"
        for each in queue:
            server.v2("ann", "jobs/import/abort", jobId=each)


def test_an_org_has_no_more_running_jobs_than_it_may_and_the_others_wait(tmp_path: Path) -> None:
    with tenants(
        tmp_path, f"sqlite:///{tmp_path}/catalog.db", max_running_jobs=4, max_running_jobs_per_org=1
    ) as server:
        server.add("ann")
        (server.files / "a.jsonl").write_text("".join(ROW % index for index in range(2_000)))
        jobs = [server.create("ann", "a.jsonl").json()["data"]["jobId"] for _ in range(4)]
        most = 0
        while server.catalog.quotas.usage("org-ann").jobs:
            most = max(most, server.catalog.quotas.usage("org-ann").running_jobs)
            time.sleep(0.005)
        assert most == 1
        assert {server.ended("ann", job)["state"] for job in jobs} == {"Completed"}


def assert_until_midnight(reply: httpx.Response) -> None:
    assert 0 < int(reply.headers["retry-after"]) <= 24 * 3600
    assert "T00:00Z" in reply.json()["message"]


def test_wrong_passwords_are_told_when_to_come_back(tmp_path: Path) -> None:
    with tenants(tmp_path, f"sqlite:///{migrated_file(tmp_path)}", started=False) as server:
        replies = [server.v2("ann:wrong", "collections/list") for _ in range(11)]
        assert replies[-1].status_code == 429
        assert 0 < int(replies[-1].headers["retry-after"]) <= 60

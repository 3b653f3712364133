"""``list`` and ``describe`` show what the caller may see: not the rest, nor how much of it there is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.tenants import ACME, LOCAL, Callers, two_tenants
from tests.support.wire import V1, V2

HIDDEN, SEEN = 7, 6


@dataclass
class Jobs:
    """Jobs of the cluster :data:`ACME`: ``hidden`` ones in a database that ``clerk`` may not read, ``seen`` ones."""

    callers: Callers
    hidden: list[str]
    seen: list[str]

    def v1(self, who: str, **query: str) -> Any:
        status, code, data = self.callers.get(who, f"{V1}/list", clusterId=ACME, **query)
        assert (status, code) == (200, 200), data
        return data

    def v2(self, who: str, **body: Any) -> Any:
        status, code, data = self.callers.post(who, f"{V2}/list", **body)
        assert (status, code) == (200, 0), data
        return data


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    with two_tenants(tmp_path_factory.mktemp("visibility")) as callers:

        def create(database: str) -> str:
            body = {"collectionName": "docs", "files": [["a.jsonl"]], "dbName": database, "clusterId": ACME}
            job_id: str = callers.post("acme", f"{V2}/create", **body)[2]["jobId"]
            return job_id

        hidden, seen = [], []
        for number in range(max(HIDDEN, SEEN)):  # mixed, so that pages would cut across them
            if number < HIDDEN:
                hidden.append(create("default"))
            if number < SEEN:
                seen.append(create("sales"))
        yield Jobs(callers, hidden[::-1], seen[::-1])


def ids(records: list[dict[str, Any]]) -> list[str]:
    return [record["jobId"] for record in records]


def test_totals_and_pages_of_v1(jobs: Jobs) -> None:
    assert jobs.v1("acme")["count"] == HIDDEN + SEEN
    first, second = (jobs.v1("clerk", pageSize="5", currentPage=page) for page in "12")
    assert (first["count"], second["count"]) == (SEEN, SEEN)
    assert ids(first["tasks"]) + ids(second["tasks"]) == jobs.seen
    assert first["records"] == first["tasks"]
    beyond = jobs.v1("clerk", pageSize="5", currentPage="3")
    assert (beyond["count"], beyond["tasks"]) == (SEEN, [])


def test_totals_and_pages_of_v2(jobs: Jobs) -> None:
    pages = [jobs.v2("clerk", clusterId=ACME, pageSize=4, currentPage=page) for page in (1, 2, 3)]
    assert [page["count"] for page in pages] == [SEEN] * 3
    assert [ids(page["records"]) for page in pages] == [jobs.seen[:4], jobs.seen[4:], []]
    assert jobs.v2("acme", clusterId=ACME, pageSize=100, currentPage=1)["count"] == HIDDEN + SEEN


@pytest.mark.parametrize(
    "only",
    [
        {},
        {"dbName": "sales"},
        {"dbName": "sales", "collectionName": "docs"},
        {"state": "Pending"},
        {"state": ["Pending", "Failed"]},
        {"createdAfter": (datetime.now(UTC) - timedelta(days=1)).isoformat()},
        {"createdBefore": (datetime.now(UTC) + timedelta(days=1)).isoformat()},
        {"dbName": "sales", "state": "Pending", "createdAfter": "2020-01-01T00:00:00Z"},
    ],
)
def test_no_filter_shows_more(jobs: Jobs, only: dict[str, Any]) -> None:
    paged = jobs.v2("clerk", clusterId=ACME, pageSize=100, currentPage=1, **only)
    assert (paged["count"], ids(paged["records"])) == (SEEN, jobs.seen)
    assert ids(jobs.v2("clerk", **only)["records"]) == jobs.seen


def test_nor_does_a_filter_that_finds_nothing_here(jobs: Jobs) -> None:
    for only in ({"state": "Completed"}, {"createdAfter": "2100-01-01T00:00:00Z"}):
        paged = jobs.v2("clerk", clusterId=ACME, pageSize=100, currentPage=1, **only)
        assert (paged["count"], paged["records"]) == (0, [])


def test_a_list_goes_on_before_a_job_that_is_not_shown(jobs: Jobs) -> None:
    for job_id in (jobs.hidden[2], jobs.seen[2]):
        page = jobs.v2("clerk", clusterId=ACME, pageSize=100, currentPage=1, before=int(job_id))
        assert ids(page["records"]) == [each for each in jobs.seen if int(each) < int(job_id)]
        assert page["count"] <= SEEN


def test_what_may_not_be_seen_answers_as_what_is_not_there(jobs: Jobs) -> None:
    """Also to guesses: ids are numbers in the order of time."""
    for who, job_id in [("clerk", jobs.hidden[0]), ("ops", jobs.hidden[0]), ("ops", jobs.seen[0])]:
        there = {"clusterId": ACME} if who == "clerk" else {}
        unknown = str(int(job_id) + 1)
        for action in (
            "describe",
            "get_progress",
            "getProgress",
            "commit",
            "abort",
            "retry",
            "errors",
            "errors/download",
            "replay",
        ):
            found = jobs.callers.post(who, f"{V2}/{action}", jobId=job_id, **there)
            absent = jobs.callers.post(who, f"{V2}/{action}", jobId=unknown, **there)
            assert found == (*absent[:2], absent[2].replace(unknown, job_id))
            assert found[1] == (96026 if there else 2101)
        cluster = ACME if who == "clerk" else LOCAL
        found = jobs.callers.get(who, f"{V1}/get", clusterId=cluster, jobId=job_id)
        assert found == jobs.callers.get(who, f"{V1}/get", clusterId=cluster, jobId=unknown)
        assert found[1] == 90144


def test_databases_and_collections_that_may_not_be_seen_answer_as_those_that_are_not_there(jobs: Jobs) -> None:
    for path, body in [
        ("databases/describe", {}),
        ("collections/list", {}),
        ("collections/describe", {"collectionName": "docs"}),
        ("collections/has", {"collectionName": "docs"}),
        ("collections/get_stats", {"collectionName": "docs"}),
        ("partitions/list", {"collectionName": "docs"}),
        ("indexes/list", {"collectionName": "docs"}),
        ("entities/query", {"collectionName": "docs", "filter": "id > 0"}),
        ("jobs/import/list", {"collectionName": "docs"}),
    ]:
        hidden = jobs.callers.post("clerk", f"/v2/vectordb/{path}", dbName="default", **body)
        absent = jobs.callers.post("clerk", f"/v2/vectordb/{path}", dbName="nowhere", **body)
        assert hidden == (*absent[:2], absent[2].replace("nowhere", "default")), path
        assert hidden[:2] == (403, 65535), path
    assert jobs.callers.post("clerk", "/v2/vectordb/databases/list") == (200, 0, ["sales"])


def test_the_other_tenant_sees_none_of_it(jobs: Jobs) -> None:
    assert jobs.v2("ops")["records"] == []
    assert jobs.v2("ops", clusterId=LOCAL, pageSize=5, currentPage=1)["count"] == 0
    assert jobs.callers.post("ops", "/v2/vectordb/databases/list") == (200, 0, ["default"])

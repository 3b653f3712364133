"""Aliases over a server with tenants: roles, walls between orgs, the audit log, and import jobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.tenants import ACME, Callers, two_tenants
from tests.support.wire import V1, V2

ALIASES = "/v2/vectordb/aliases"


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    with two_tenants(tmp_path_factory.mktemp("aliases")) as running:
        yield running


def test_writers_change_aliases_and_readers_see_them(callers: Callers) -> None:
    sales = {"dbName": "sales", "collectionName": "docs", "aliasName": "deals"}
    for action in ("create", "alter", "drop"):
        status, code, message = callers.post("clerk", f"{ALIASES}/{action}", **sales)
        assert (status, code) == (403, 65535)
        assert "clerk needs the role writer in the database sales" in message
    assert callers.post("acme", f"{ALIASES}/create", **sales)[1] == 0
    assert callers.post("clerk", f"{ALIASES}/list", dbName="sales") == (200, 0, ["deals"])
    assert callers.post("clerk", f"{ALIASES}/describe", dbName="sales", aliasName="deals")[1] == 0
    assert callers.post("clerk", f"{ALIASES}/list")[:2] == (403, 65535)
    assert callers.post("clerk", f"{ALIASES}/describe", dbName="default", aliasName="deals")[:2] == (403, 65535)


def test_another_orgs_aliases_are_out_of_reach(callers: Callers) -> None:
    body = {"collectionName": "docs", "aliasName": "ours"}
    assert callers.post("acme", f"{ALIASES}/create", **body)[1] == 0
    assert callers.post("ops", f"{ALIASES}/list") == (200, 0, [])
    for action in ("list", "describe", "create", "alter", "drop"):
        assert callers.post("ops", f"{ALIASES}/{action}", clusterId=ACME, **body)[1] == 96018
    assert callers.post("ops", f"{ALIASES}/create", **body)[1] == 0, "the same name in its own cluster"


def test_changes_are_in_the_audit_log(callers: Callers) -> None:
    body = {"collectionName": "docs", "aliasName": "seen"}
    for action in ("create", "alter", "drop"):
        assert callers.post("acme", f"{ALIASES}/{action}", **body)[1] == 0
        entry = list(callers.catalog.audit.read())[-1]
        assert (entry.action, entry.subject, entry.outcome) == (f"alias.{action}", "seen", "ok")
        assert (entry.cluster_id, entry.database) == (ACME, "default")


def test_a_job_by_alias_is_one_of_the_collection(callers: Callers) -> None:
    assert callers.post("acme", f"{ALIASES}/create", collectionName="docs", aliasName="inbox")[1] == 0
    _, code, made = callers.post("acme", f"{V2}/create", collectionName="inbox", files=[["a.jsonl"]])
    assert code == 0
    assert callers.post("acme", f"{V2}/describe", jobId=made["jobId"])[2]["collectionName"] == "docs"
    for name in ("inbox", "docs"):
        _, code, listed = callers.post("acme", f"{V2}/list", collectionName=name)
        assert (code, made["jobId"] in str(listed)) == (0, True)
    (record,) = [
        record
        for record in callers.get("acme", f"{V1}/list", clusterId=ACME)[2]["records"]
        if record["jobId"] == made["jobId"]
    ]
    assert record["collectionName"] == "docs"

"""What v1 and v2 calls are told of clusters, with authentication on: the table of docs/access.md, on every call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.tenants import ABROAD, ACME, LOCAL, Callers, two_tenants
from tests.support.wire import V1, V2

OTHER_REGION = {"Host": "controller.api.gcp-us-west1.zillizcloud.com"}
CALLS = ("create", "get", "list")


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    with two_tenants(tmp_path_factory.mktemp("clusters")) as callers:
        yield callers


def v1(callers: Callers, who: str, call: str, cluster_id: str | None, headers: dict[str, str] | None = None) -> int:
    """The code that one of the three v1 calls answers; HTTP 200 always."""
    cluster = {} if cluster_id is None else {"clusterId": cluster_id}
    headers = callers.headers(who) | (headers or {})
    if call == "create":
        body = {**cluster, "collectionName": "docs", "objectUrl": "a.jsonl"}
        reply = callers.client.post(V1, json=body, headers=headers)
    else:
        reply = callers.client.get(f"{V1}/{call}", params={**cluster, "jobId": "1"}, headers=headers)
    assert reply.status_code == 200
    code: int = reply.json()["code"]
    return code


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("who", "cluster_id", "code"),
    [
        ("ops", "malformed", 80020),
        ("ops", "in01", 80020),
        ("ops", "in01-" + "x" * 300, 80020),
        ("ops", "in01-a'; DROP TABLE job; --", 80020),
        ("ops", "in01-unknown", 80020),
        ("ops", ACME, 80020),
        ("ops", ABROAD, 80020),
        ("clerk", LOCAL, 80020),
        ("acme", ABROAD, 40022),
        ("owner", ABROAD, 90102),
        ("owner", "", 90104),
        ("owner", "  ", 90104),
        ("", ACME, 80001),
        ("nonsense", ACME, 80001),
        ("nobody", ACME, 80002),
        ("clerk:wrong horse", ACME, 80002),
    ],
)
def test_v1_tells_of_clusters(callers: Callers, call: str, who: str, cluster_id: str, code: int) -> None:
    assert v1(callers, who, call, cluster_id) == code


@pytest.mark.parametrize("call", CALLS)
def test_v1_of_calls_without_a_cluster(callers: Callers, call: str) -> None:
    assert v1(callers, "owner", call, None) == (90104 if call == "list" else 90103)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("who", ["owner", "nobody", ""])
def test_v1_by_the_host_name_of_another_region(callers: Callers, call: str, who: str) -> None:
    assert v1(callers, who, call, ACME, OTHER_REGION) == 90117
    assert v1(callers, "owner", call, ACME, {"Host": "controller.api.local.zillizcloud.com"}) in (
        83001,
        90144,
        200,
    ), "it got past the host"


def test_v1_wants_a_writer_for_create_and_a_reader_for_the_rest(callers: Callers) -> None:
    assert v1(callers, "clerk", "create", ACME) == 40022
    assert v1(callers, "clerk", "list", ACME) == 200
    assert v1(callers, "clerk", "get", ACME) == 90144


def test_of_other_orgs_the_texts_tell_no_more_than_the_codes(callers: Callers) -> None:
    told = {
        callers.get("ops", f"{V1}/list", clusterId=each)[2] for each in ("malformed", "in01-unknown", ACME, ABROAD)
    }
    assert len(told) == 1
    told = {callers.post("ops", f"{V2}/list", clusterId=each)[2] for each in ("in01-unknown", ACME, ABROAD)}
    assert len(told) == 1


@pytest.mark.parametrize("action", ["create", "list", "describe", "get_progress", "getProgress", "commit", "abort"])
@pytest.mark.parametrize(
    ("who", "cluster_id", "status", "code"),
    [
        ("ops", "malformed", 200, 96036),
        ("ops", "in01-unknown", 200, 96018),
        ("ops", ACME, 200, 96018),
        ("ops", " ", 200, 96025),
        ("nobody", ACME, 200, 21119),
        ("nonsense", ACME, 200, 21119),
        ("", ACME, 200, 21119),
        ("clerk:wrong horse", ACME, 200, 21119),
        ("nonsense", None, 401, 1800),
        ("", None, 401, 1800),
    ],
)
def test_v2_tells_of_clusters(
    callers: Callers, action: str, who: str, cluster_id: str | None, status: int, code: int
) -> None:
    body: dict[str, Any] = {"collectionName": "docs", "files": [["a.jsonl"]], "jobId": "1"}
    if cluster_id is not None:
        body["clusterId"] = cluster_id
    assert callers.post(who, f"{V2}/{action}", **body)[:2] == (status, code)


def test_v2_acts_on_the_cluster_named_else_the_callers_only_one_else_the_servers_own(
    callers: Callers,
) -> None:
    made = "/v2/vectordb/collections/create"
    listed = "/v2/vectordb/collections/list"
    assert callers.post("owner", made, collectionName="named", dimension=2, clusterId=ACME)[1] == 0
    assert callers.post("acme", listed) == (200, 0, ["docs", "named"])
    assert callers.post("ops", listed) == (200, 0, ["docs"])
    assert callers.post("owner", listed)[1] == 96018, "roles in every cluster of the org: none is the only one"

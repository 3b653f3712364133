"""Who doesn't belong there tries every call that the server has: without a key, with another's, with odd values."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import httpx
import pytest

from docs.generate import all_routes
from penstock.wire.http import Route
from tests.support.tenants import ACME, LOCAL, Callers, two_tenants

# OPTIONS tells of the protocol of uploads, and nothing else.
ROUTES = {
    f"{route.method} {route.path}": route
    for route in all_routes()
    if route.operation.tag != "not served" and route.method != "OPTIONS"
}
JOBS = {name: each for name, each in ROUTES.items() if "jobId" in {**each.operation.body, **each.operation.query}}
V2_JOBS = "/v2/vectordb/jobs/import"
V1 = "/v1/vector/collections/import"

UNKNOWN = "in01-nowhere"
PLAIN: Mapping[str, Any] = {
    "collectionName": "docs",
    "dbName": "default",
    "partitionName": "p",
    "partitionNames": ["_default"],
    "jobId": "1",
    "files": [["a.json"]],
    "objectUrl": "a.json",
    "data": [[1, 2]],
    "filter": "id > 1",
    "id": [1],
    "dimension": 2,
    "indexName": "vector",
    "indexParams": [{"fieldName": "vector", "indexName": "vector", "metricType": "COSINE"}],
    "userName": "somebody",
    "password": "aB1!long-enough",
    "roleName": "reader",
}


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    with two_tenants(tmp_path_factory.mktemp("intruders")) as callers:
        callers.client.timeout = httpx.Timeout(60)
        yield callers


@pytest.fixture(scope="module")
def unhurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    """Another server, at which nobody has tried so many wrong credentials that no password is looked at."""
    with two_tenants(tmp_path_factory.mktemp("unhurried")) as callers:
        yield callers


def call(callers: Callers, who: str, route: Route, **values: Any) -> httpx.Response:
    """With plain values for every key that the call has, but for those that are given."""
    keys = {**route.operation.body, **route.operation.query}
    asked = {key: value for key, value in PLAIN.items() if key in keys} | values
    headers = callers.headers(who)
    path = route.path.replace("{id}", "0" * 32)
    if route.method in ("GET", "HEAD"):
        return callers.client.request(route.method, path, params=asked, headers=headers)
    return callers.client.request(route.method, path, content=json.dumps(asked), headers=headers)


def succeeded(reply: httpx.Response) -> bool:
    return reply.is_success and (not reply.content or reply.json()["code"] in (0, 200))


@pytest.mark.parametrize("name", ROUTES)
def test_nobody_gets_in(callers: Callers, name: str) -> None:
    for who in ("", "nobody", "nonsense", ":", "clerk:wrong", "clerk:"):
        for cluster in ({}, {"clusterId": LOCAL}, {"clusterId": ACME}, {"projectId": "proj-1"}):
            reply = call(callers, who, ROUTES[name], **cluster)
            assert not succeeded(reply)
            if ROUTES[name].method == "HEAD":
                assert reply.status_code in (401, 403, 404, 429)
                continue
            # 1800 and 21119, 80001 and 80002; the v1 calls look at the cluster's spelling first.
            assert reply.json()["code"] in (1800, 21119, 80001, 80002, 90104), (who, reply.text)


@pytest.mark.parametrize("name", [each for each in ROUTES if "clusterId" in str(ROUTES[each].operation)])
def test_a_cluster_of_another_is_as_one_that_is_not_there(unhurried: Callers, name: str) -> None:
    for who, others in (("ops", ACME), ("acme", LOCAL), ("owner", LOCAL), ("clerk", LOCAL)):
        there = call(unhurried, who, ROUTES[name], clusterId=others)
        nowhere = call(unhurried, who, ROUTES[name], clusterId=UNKNOWN)
        assert not succeeded(there)
        assert there.status_code == nowhere.status_code
        assert there.text.replace(others, "?") == nowhere.text.replace(UNKNOWN, "?")


@pytest.mark.parametrize("name", [each for each in ROUTES if "/v2/" in each])
def test_v2_calls_take_a_cluster_whether_they_show_it_or_not(unhurried: Callers, name: str) -> None:
    assert not succeeded(call(unhurried, "acme", ROUTES[name], clusterId=LOCAL))


@pytest.mark.parametrize("name", JOBS)
def test_a_job_of_another_is_as_one_that_is_not_there(unhurried: Callers, name: str) -> None:
    created = unhurried.post("acme", f"{V2_JOBS}/create", collectionName="docs", files=[["a.json"]])[2]["jobId"]
    missing = str(int(created) + 4096)
    for who, place in (("ops", {}), ("ops", {"clusterId": LOCAL}), ("clerk", {"clusterId": ACME})):
        there = call(unhurried, who, JOBS[name], jobId=created, **place)
        nowhere = call(unhurried, who, JOBS[name], jobId=missing, **place)
        assert not succeeded(there)
        assert there.text.replace(created, "?") == nowhere.text.replace(missing, "?")
    assert unhurried.post("acme", f"{V2_JOBS}/describe", jobId=created)[2]["state"] == "Pending"


def test_a_key_of_repetition_is_each_tenants_own(callers: Callers) -> None:
    made = []
    for who in ("ops", "acme", "ops"):
        headers = callers.headers(who) | {"idempotency-key": "nightly"}
        body = json.dumps({"collectionName": "docs", "files": [["a.json"]]})
        made.append(callers.client.post(f"{V2_JOBS}/create", content=body, headers=headers).json()["data"]["jobId"])
    assert made[0] == made[2] != made[1]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"[]", b'"x"', b"1", b"{", b'{"a":1', b"\xff\xfe", b"\xef\xbb\xbf{}", b"[" * 100_000),
        *(
            b'{"a":' * 1000 + b"1" + b"}" * 1000,
            b'{"\\ud800": 1}',
            b'{"collectionName": "\\ud800"}',
            b'{"jobId": 1e400}',
        ),
        *(b'{"jobId": ' + b"9" * 5000 + b"}", b'{"jobId": -0}', b'{"dbName": "a\\u0000b", "collectionName": "docs"}'),
        *(b'{"clusterId": "in01-local", "CLUSTERID": "in01-acme"}', b'{"clusterId": "in01-acme", "clusterid": null}'),
    ],
)
def test_odd_bodies_never_break_the_server(callers: Callers, body: bytes) -> None:
    for route in ROUTES.values():
        if route.method == "POST":
            reply = callers.client.post(route.path, content=body, headers=callers.headers("owner"))
            assert reply.status_code < 500, (route.path, reply.text)


def test_a_cluster_named_twice_opens_no_other(callers: Callers) -> None:
    """Keys are read without regard to case: whichever counts, it is judged by the caller's own rights."""
    for body in ({"clusterId": ACME, "CLUSTERID": LOCAL}, {"clusterId": LOCAL, "clusterid": ACME}):
        for who, own in (("acme", ACME), ("ops", LOCAL)):
            reply = callers.client.post(
                f"{V2_JOBS}/list",
                content=json.dumps(body | {"pageSize": 10, "currentPage": 1}),
                headers=callers.headers(who),
            )
            counted = list(body.values())[-1]
            assert succeeded(reply) == (counted == own), reply.text


@pytest.mark.parametrize(
    "authorization",
    [
        *(b"", b"Bearer", b"Basic", b"Basic !!!", b"Digest x", b"Bearer psk_", b"Bearer \xe9:\xe9", b"Bearer ,"),
        *(b"Basic " + base64.b64encode(each) for each in (b":", b"clerk", b"\xff:x", b"clerk:\0", b"psk_x:")),
        *(b"Bearer " + b":" * 10_000, b"Bearer clerk:" + b"x" * 20_000, b"Bearer psk_" + b"x" * 20_000),
    ],
)
def test_odd_credentials(callers: Callers, authorization: bytes) -> None:
    reply = callers.client.post(
        "/v2/vectordb/collections/list", content=b"{}", headers={b"authorization": authorization}
    )
    assert reply.status_code in (401, 429)
    assert reply.json()["code"] == 1800


@pytest.mark.parametrize(
    "headers",
    [
        *({"db-name": each} for each in ("sales", "../sales", "x" * 5000)),
        *({"host": each} for each in ("evil.example", "controller.api.local.zillizcloud.com")),
        *({"request-timeout": each} for each in ("9" * 4000, "-1", "nan", "1e9")),
        *({"x-forwarded-for": "127.0.0.1"}, {"x-real-ip": "127.0.0.1"}, {"x-http-method-override": "GET"}),
        *({"traceparent": "00-" + "f" * 32 + "-" + "f" * 16 + "-01"}, {"traceparent": "x" * 9000}, {"cookie": "a=b"}),
    ],
)
def test_headers_give_no_rights(unhurried: Callers, headers: dict[str, str]) -> None:
    for who, code in (("nobody", 1800), ("clerk", 65535)):
        asked = unhurried.headers(who) | headers
        reply = unhurried.client.post(
            "/v2/vectordb/collections/list", content=b'{"clusterId":"in01-acme"}', headers=asked
        )
        if headers.get("db-name") == "sales" and who == "clerk":
            assert reply.json()["data"] == ["docs"]  # that one the clerk may read
        else:
            assert reply.json()["code"] in (code, 21119, 96012), reply.text


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/v2/vectordb/../../etc/passwd",
            "/assets/x/../../../../../../etc/passwd",
            "/assets/x/%2e%2e/%2e%2e/x",
        ),
        *(
            "/assets/x/..%2f..%2f..%2fetc%2fpasswd",
            "/assets/x//etc/passwd",
            "/assets/x/\\..\\x",
            "/%00",
            "/..;/",
        ),
        *("/v2/vectordb/collections/list%00", "/v2/vectordb/collections/LIST", "/v2/vectordb/collections/list;x=1"),
        *(
            "/metrics/../v2/vectordb/collections/list",
            "//evil.example/v2/vectordb/collections/list",
            "/data/secret.key",
        ),
    ],
)
def test_odd_paths_lead_nowhere(callers: Callers, path: str) -> None:
    url = callers.client.base_url
    for method in ("GET", "POST"):
        # Not by the client, which would tidy the path up.
        with closing(HTTPConnection(url.host, url.port, timeout=60)) as connection:
            connection.putrequest(method, path)
            for name, value in {**callers.headers("owner"), "content-length": "2"}.items():
                connection.putheader(name, value)
            connection.endheaders(b"{}")
            reply = connection.getresponse()
            assert reply.status in (400, 404, 405), reply.read()
            assert b"root:" not in reply.read()

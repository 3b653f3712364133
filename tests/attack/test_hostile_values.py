"""Every key of every call, and every place within the bodies of those that have deep ones, with every hostile value.

Whatever a body holds is taken or refused: never an internal error, and no answer repeats it at length. The values are
JSON as it is sent, so that there are some among them that no encoder would write. ``make test`` sends each value to a
share of the places, the same in every run; ``make attack`` sends all to all.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from docs.generate import all_routes
from penstock.errors import MAX_MESSAGE
from penstock.wire.http import Route
from tests.attack.test_intruders import PLAIN
from tests.attack.test_nested_bodies import GOOD, places
from tests.support.postgres import PostgresServer
from tests.support.tenants import ACME, Callers, two_tenants

SHARE = 1 if int(os.environ.get("PENSTOCK_ATTACK_BODIES", "0")) else 41
"""Of the values, each place gets one in so many."""
MOST_BYTES = 300_000

VALUES: tuple[str, ...] = (
    *("null", "true", "-1", "0", "0.5", "-0", "1e308", "9223372036854775808", "18446744073709551616", "1e400"),
    *("9" * 400, "9" * 5000, "-9223372036854775809", '""', '"0"', '"-1"', '"1e400"', '"１２"', '"NaN"', '"inf"'),
    *(
        '"\\u0000"',
        '"a\\u0000b"',
        '"\\ud800"',
        '"\\udc00x"',
        '"\\u202e"',
        '"\\ufeff"',
        '"\U0001f600"',
        '"\\ud83d\\ude00"',
    ),
    *(json.dumps("x" * 70_000), json.dumps("é" * 300), json.dumps("9" * 5000), json.dumps("9" * 400 + "h")),
    *('"../.."', '"\'; drop table jobs; --"', '"%00"', '"%ff"', '"\\\\"', '"\\n"', '"$meta"', '"__part"', '"true"'),
    *('"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-14:00"', '"9" ', '" "', '","', '"*"', '"count(*)"'),
    *("[]", "{}", "[[]]", "[null]", "[{}]", "[true]", '[""]', '["\\u0000"]', "[1e400]", "[[null]]", '[["\\u0000"]]'),
    *(
        "[" * 900 + "]" * 900,
        '{"a":' * 900 + "1" + "}" * 900,
        "[" * 2000 + "]" * 2000,
        '[{"a":' * 450 + "1" + "}]" * 450,
    ),
    *('{"a": {}}', '{"": ""}', '{"\\u0000": "\\u0000"}', '{"params": ' + "[" * 500 + "]" * 500 + "}", '{"$meta": 1}'),
    *(
        json.dumps(["a"] * 2000),
        json.dumps({f"k{number}": number for number in range(2000)}),
        json.dumps([["a"] * 2000]),
    ),
    *(
        '{"metric_type": {"a": 1}}',
        '{"radius": "9e999"}',
        '{"indices": [[1]], "values": [1]}',
        '[{"1": "x"}]',
        '["AAAA"]',
    ),
)
MARK = "@hostile@"
ROUTES = {f"{route.method} {route.path}": route for route in all_routes() if route.operation.tag != "not served"}


def bodies(route: Route) -> Iterator[tuple[str, str]]:
    """Where a value is put, and the body with :data:`MARK` there."""
    keys = dict.fromkeys([*route.operation.body, "clusterId", "dbName"])
    plain = {key: value for key, value in PLAIN.items() if key in keys}
    # A name of its own: what is dropped here is needed by others.
    plain |= {"collectionName": "odd", "clusterId": ACME}
    for key in keys:
        yield key, json.dumps({**plain, key: MARK})
    good = GOOD.get(route.path.removeprefix("/v2/vectordb/"))
    if good is not None:
        for place in places(good):
            body: Any = copy.deepcopy(good)
            inner = body
            for step in place[:-1]:
                inner = inner[step]
            inner[place[-1]] = MARK
            yield str(place), json.dumps({**body, "clusterId": ACME})


def cases(route: Route, values: Sequence[str], share: int) -> Iterator[tuple[str, str, str]]:
    """Place, value, body."""
    for number, ((place, body), value) in enumerate(product(bodies(route), values)):
        if number % share == 0:
            yield place, value, body.replace(json.dumps(MARK), value)


def check(reply: httpx.Response, *facts: str) -> None:
    assert reply.status_code in (200, 401, 403, 404, 429), (*(fact[:100] for fact in facts), reply.text[:2000])
    assert len(reply.content) < MOST_BYTES
    told: Mapping[str, Any] = reply.json()
    if told["code"] not in (0, 200):
        assert len(told["message"]) <= MAX_MESSAGE + 200, facts[0]


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    with two_tenants(tmp_path_factory.mktemp("hostile")) as callers:
        yield callers


@pytest.fixture(scope="module")
def on_postgresql(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    with postgres.database() as url, two_tenants(tmp_path_factory.mktemp("hostile"), url) as callers:
        yield callers


@pytest.mark.parametrize("name", [name for name, route in ROUTES.items() if route.method == "POST"])
def test_any_value_of_any_key_is_taken_or_refused(callers: Callers, name: str) -> None:
    send_all(callers, ROUTES[name], VALUES, SHARE)


@pytest.mark.parametrize("name", [name for name, route in ROUTES.items() if route.method == "POST"])
def test_postgresql_keeps_no_nul_and_no_wide_numbers(on_postgresql: Callers, name: str) -> None:
    values = [value for value in VALUES if "u0000" in value or value.strip("-").isdigit() or "-01-01" in value]
    send_all(on_postgresql, ROUTES[name], values, min(SHARE, 11))


def send_all(callers: Callers, route: Route, values: Sequence[str], share: int) -> None:
    headers = callers.headers("owner")
    for place, value, body in cases(route, values, share):
        reply = callers.client.post(route.path, content=body.encode(), headers=headers, timeout=60)
        check(reply, place, value)


@pytest.mark.parametrize("name", [name for name, route in ROUTES.items() if route.method == "GET"])
def test_any_value_of_a_query_is_taken_or_refused(callers: Callers, name: str) -> None:
    route = ROUTES[name]
    raw = (
        "%00",
        "%ff",
        "%ed%a0%80",
        "%c0%ae",
        "%",
        "%zz",
        "",
        "9" * 5000,
        "+",
        "%F0%9F%98%80",
        "1e9",
        "-1",
        "%2e%2e",
    )
    for key in route.operation.query:
        for value in (*raw, *(quote(value[:3000]) for value in VALUES)):
            query = "&".join(f"{other}={value if other == key else ACME}" for other in route.operation.query)
            check(callers.client.get(f"{route.path}?{query}", headers=callers.headers("owner")), key, value)


@pytest.mark.parametrize("value", ["x" * 20_000, "\udc80", "é", "../x", "'"])
def test_any_name_of_a_database_in_the_header(callers: Callers, value: str) -> None:
    header = value.encode("utf-8", "surrogateescape")
    for path in ("collections/list", "jobs/import/list", "entities/query"):
        reply = callers.client.post(
            f"/v2/vectordb/{path}",
            content=b'{"collectionName": "docs"}',
            headers={b"db-name": header, b"authorization": callers.headers("owner")["Authorization"].encode()},
        )
        check(reply, path, value)

"""Good bodies of the calls that have deep ones, with odd values somewhere within: refused or taken, never a failure.

The same bodies in every run; ``make attack`` sends more of them.
"""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.tenants import ACME, Callers, two_tenants

BODIES = int(os.environ.get("PENSTOCK_ATTACK_BODIES", "0")) or 400
ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 0.5, 1e308, 2**31, 2**63, 10**400, "", "9" * 5000, "9" * 400 + "h", "1e400s", "-1s", "１２"),
    *("\0", "\u202e", "x" * 70_000, "../..", "NaN", "inf", "true", "%", ",", '"', "\n", "é", "$meta", "id", "vector"),
    *([], {}, [[]], [None], [{}], ["a"] * 300, {"a": {}}, {"": ""}, {"params": {"params": {}}}, "Array", "JSON"),
)
DOCS = {"collectionName": "docs"}
GOOD: Mapping[str, dict[str, Any]] = {
    "collections/create": {
        "collectionName": "nested",
        "schema": {
            "autoID": False,
            "enableDynamicField": True,
            "fields": [
                {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
                {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
                {
                    "fieldName": "t",
                    "dataType": "VarChar",
                    "elementTypeParams": {"max_length": 9},
                    "nullable": True,
                    "defaultValue": "x",
                },
                {
                    "fieldName": "a",
                    "dataType": "Array",
                    "elementDataType": "Int8",
                    "elementTypeParams": {"max_capacity": 3},
                },
            ],
        },
        "indexParams": [
            {"fieldName": "v", "indexName": "i", "metricType": "L2", "params": {"index_type": "IVF_FLAT", "nlist": 9}}
        ],
        "params": {"shardsNum": 1, "consistencyLevel": "Strong", "ttlSeconds": 10},
        "properties": {"timezone": "UTC"},
    },
    "jobs/import/create": {
        **DOCS,
        "files": [["a.json"]],
        "options": {"timeout": "10s", "sep": ";", "nullkey": "x", "auto_commit": "false"},
        "accessKey": "k",
        "secretKey": "s",
    },
    "jobs/import/list": {
        **DOCS,
        "pageSize": 10,
        "currentPage": 1,
        "state": ["Failed"],
        "before": "5",
        "createdAfter": "2024-01-01T00:00:00Z",
    },
    "entities/search": {
        **DOCS,
        "data": [[1, 2]],
        "annsField": "vector",
        "limit": 3,
        "offset": 0,
        "filter": "id in {l} and k == 1",
        "exprParams": {"l": [1, 2]},
        "outputFields": ["*", "k"],
        "partitionNames": ["_default"],
        "searchParams": {"metric_type": "COSINE", "params": {"radius": 0.5, "range_filter": 0.9, "nprobe": 3}},
    },
    "entities/hybrid_search": {
        **DOCS,
        "search": [
            {
                "data": [[1, 2]],
                "annsField": "vector",
                "limit": 3,
                "filter": "id in {l}",
                "exprParams": {"l": [1, 2]},
                "params": {"metric_type": "COSINE", "params": {"nprobe": 3}},
            }
        ],
        "rerank": {"strategy": "weighted", "params": {"weights": [0.5], "norm_score": True}},
        "limit": 3,
        "outputFields": ["*"],
    },
    "entities/query": {
        **DOCS,
        "filter": 'id in {l} or k["a"] == 1',
        "exprParams": {"l": [1, 2]},
        "outputFields": ["id", "k"],
        "limit": 3,
    },
    "indexes/create": {
        "collectionName": "bare",
        "indexParams": [
            {
                "fieldName": "v",
                "indexName": "i",
                "metricType": "L2",
                "indexType": "HNSW",
                "params": {"M": 3, "efConstruction": 10},
            }
        ],
    },
}
Place = tuple[str | int, ...]


def places(value: Any, before: Place = ()) -> Iterator[Place]:
    """Where something stands, at any depth."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*before, key)
        yield from places(each, (*before, key))


def broken(random_: random.Random, body: Mapping[str, Any]) -> dict[str, Any]:
    made: Any = copy.deepcopy(dict(body))
    for _ in range(random_.choice([1, 1, 2, 3])):
        *outer, last = random_.choice([*places(made)])
        inner = made
        for key in outer:
            inner = inner[key]
        inner[last] = copy.deepcopy(random_.choice(ODD))
    return {**made, "clusterId": ACME}


@contextmanager
def tenants(folder: Path) -> Iterator[Callers]:
    """With one more collection, that has no index yet."""
    with two_tenants(folder) as callers:
        body = {key: value for key, value in GOOD["collections/create"].items() if key != "indexParams"}
        bare = {**body, "collectionName": "bare", "clusterId": ACME}
        assert callers.post("owner", "/v2/vectordb/collections/create", **bare)[1] == 0
        yield callers


def test_odd_values_at_any_depth(tmp_path: Path) -> None:
    random_ = random.Random(1)
    codes = set()
    with tenants(tmp_path) as callers:
        for number in range(BODIES):
            call = [*GOOD][number % len(GOOD)]
            body = broken(random_, GOOD[call])
            reply = callers.client.post(
                f"/v2/vectordb/{call}", content=json.dumps(body), headers=callers.headers("owner"), timeout=60
            )
            assert reply.status_code == 200, (call, str(body)[:2000], reply.text)
            assert len(reply.content) < 300_000
            codes.add(reply.json()["code"])
    assert {0, 1801, 1802, 1100} < codes


def test_the_bodies_are_good_before_they_are_broken(tmp_path: Path) -> None:
    with tenants(tmp_path) as callers:
        for call, body in GOOD.items():
            assert callers.post("owner", f"/v2/vectordb/{call}", **body, clusterId=ACME)[1] == 0, call

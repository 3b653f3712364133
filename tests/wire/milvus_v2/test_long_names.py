"""Errors repeat what a call names at most in part: a body has room for megabytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from penstock.server.http.routes import dialect_routes
from penstock.wire.http import Route
from penstock.wire.milvus_v2.dialect import PREFIX
from tests.support.data_planes import DataPlane
from tests.support.http import make_services

LONG = "x" * 3000
REPEATED = "x" * 301
"""A valid name has 255 characters."""
QUOTED = {"filter", "files", "objectUrl", "objectUrls", "target"}
"""Filters and paths are quoted up to the length of a message."""


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[Route]:
    with make_services(tmp_path_factory.mktemp("routes")) as services:
        return [
            route
            for route in dialect_routes(services)
            if route.path.startswith(PREFIX) and route.method == "POST" and route.open_body is None
        ]


def test_no_error_repeats_a_long_name(plane: DataPlane, routes: list[Route]) -> None:
    docs = plane.collection(
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
        {"fieldName": "tag", "dataType": "VarChar", "elementTypeParams": {"max_length": 9}},
    )
    known = {
        "collectionName": docs,
        "dbName": "default",
        "partitionName": "_default",
        "indexName": "v",
        "fieldName": "tag",
        "id": [1],
        "jobId": "1",
        "data": [[1, 2]],
        "search": [{"data": [[1, 2]], "annsField": "v", "limit": 1}],
        "text": ["a text"],
        "files": [["a.json"]],
    }
    repeated = {}
    for route in routes:
        action = route.path.removeprefix(f"{PREFIX}/")
        required = {key: known.get(key, "a_name") for key in route.operation.required}
        for key, value in long_values(route.operation.body):
            answer = plane.post(action, {**required, key: value})
            assert answer.status_code < 500, f"{action} {key}"
            told = answer.json()
            if REPEATED in told.get("message", ""):
                repeated[f"{action} {key} {str(value)[:30]}"] = told["message"].replace(LONG, "LONG")[:300]
    assert repeated == {}


def long_values(body: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Long values of each key of a body, in the forms that its type has."""
    for key, schema in body.items():
        if key in QUOTED:
            continue
        kind = schema.get("type")
        if kind in (None, "string"):
            yield key, LONG
        if kind in (None, "array"):
            yield from ((key, [LONG]), (key, [[LONG]]), (key, [{"fieldName": LONG}]))
        if kind in (None, "object", "array"):
            yield key, {LONG: LONG}
        if kind in ("integer", "boolean", "number"):
            yield key, LONG


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("collections/create", {"schema": {"fields": [{"fieldName": LONG, "dataType": "Int64"}]}}),
        ("collections/create", {"schema": {"fields": [{"fieldName": LONG, "dataType": LONG}]}}),
        (
            "collections/create",
            {"schema": {"fields": [{"fieldName": LONG, "dataType": "Int64", "defaultValue": "x"}]}},
        ),
        (
            "collections/create",
            {"schema": {"fields": [{"fieldName": LONG, "dataType": "Int64", "elementTypeParams": {LONG: 1}}]}},
        ),
        (
            "collections/create",
            {
                "schema": {
                    "fields": [{"fieldName": LONG, "dataType": "VarChar", "elementTypeParams": {"max_length": "x"}}]
                }
            },
        ),
        (
            "collections/create",
            {"schema": {"fields": [{"fieldName": "a", "dataType": "Array", "elementDataType": LONG}]}},
        ),
        ("collections/create", {"schema": {"fields": [{"fieldName": LONG, "dataType": "Int64", "autoID": True}]}}),
        ("collections/create", {"schema": {"structFields": [{"fieldName": LONG, "fields": [{"fieldName": LONG}]}]}}),
        (
            "collections/create",
            {
                "schema": {
                    "fields": [{"fieldName": "id", "dataType": "Int64", "isPrimary": True}],
                    "functions": [
                        {"name": LONG, "type": "BM25", "inputFieldNames": [LONG], "outputFieldNames": [LONG]}
                    ],
                }
            },
        ),
        ("collections/create", {"dimension": 2, "metricType": LONG}),
        ("collections/create", {"dimension": 2, "primaryFieldName": LONG}),
        ("collections/create", {"dimension": 2, "properties": {"timezone": LONG}}),
        ("collections/create", {"dimension": 2, "params": {"ttlSeconds": LONG}}),
        ("collections/create", {"dimension": 2, "indexParams": [{"fieldName": LONG}]}),
    ],
)
def test_no_error_of_a_new_collection_repeats_a_long_name(
    plane: DataPlane, action: str, body: Mapping[str, Any]
) -> None:
    code, text = plane.error(action, **{"collectionName": plane.name(), **body})
    assert code != 0
    assert REPEATED not in text


def test_search_parameters(plane: DataPlane) -> None:
    docs = plane.quick()
    for body in (
        {"annsField": LONG},
        {"annsField": f"s[{LONG}]"},
        {"searchParams": {"metricType": LONG}},
        {"searchParams": {"params": {"radius": LONG}}},
        {"searchParams": {LONG: 1}},
        {"groupingField": LONG},
        {"outputFields": [f"max({LONG})"]},
        {"partitionNames": [LONG]},
        {"consistencyLevel": LONG},
    ):
        _, text = plane.error("entities/search", collectionName=docs, **{"data": [[1, 2]], **body})
        assert REPEATED not in text, body.keys()

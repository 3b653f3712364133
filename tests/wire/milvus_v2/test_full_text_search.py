"""Full-text search over REST: BM25 functions in schemas, texts as queries, and analyzers."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.analyzers.term_vectors import term_id
from tests.support.bm25_oracle import bm25
from tests.support.data_planes import DataPlane

PK = {"fieldName": "id", "dataType": "Int64", "isPrimary": True}
ANALYZED = {"max_length": 99, "enable_analyzer": True, "enable_match": True, "analyzer_params": {"type": "english"}}
BM25 = {"name": "bm25", "type": "BM25", "inputFieldNames": ["text"], "outputFieldNames": ["terms"], "params": {}}
EXACT = {"Accept-Type-Allow-Int64": "true"}
TEXTS = {1: "cats and dogs", 2: "dog", 3: "the bird", 4: "dog dog cat mouse"}


def schema(text: Any = (), terms: Any = (), **function: Any) -> dict[str, Any]:
    fields = [
        PK,
        {"fieldName": "text", "dataType": "VarChar", "elementTypeParams": ANALYZED, **dict(text)},
        {"fieldName": "terms", "dataType": "SparseFloatVector", **dict(terms)},
    ]
    return {"fields": fields, "functions": [{**BM25, **function}]}


@pytest.fixture(scope="module")
def docs(plane: DataPlane) -> str:
    name = plane.name()
    index = {"fieldName": "terms", "indexName": "terms", "metricType": "BM25"}
    plane.call("collections/create", collectionName=name, schema=schema(), indexParams=[index])
    plane.put(name, [{"id": key, "text": text} for key, text in TEXTS.items()])
    return name


def test_the_function_is_described(plane: DataPlane, docs: str) -> None:
    described = plane.call("collections/describe", collectionName=docs)
    assert described["functions"] == [
        {
            "name": "bm25",
            "id": 100,
            "type": 1,
            "description": "",
            "inputFieldNames": ["text"],
            "outputFieldNames": ["terms"],
            "params": [],
        }
    ]
    _, text, terms = described["fields"]
    assert terms["isFunctionOutput"] is True
    assert "isFunctionOutput" not in text
    assert {param["key"]: param["value"] for param in text["params"]} == {
        "max_length": "99",
        "enable_analyzer": "true",
        "enable_match": "true",
        "analyzer_params": '{"type":"english"}',
    }
    assert described["indexes"] == [{"fieldName": "terms", "indexName": "terms", "metricType": "BM25"}]


def test_texts_are_queries(plane: DataPlane, docs: str) -> None:
    words = {1: ["cat", "dog"], 2: ["dog"], 3: ["bird"], 4: ["dog", "dog", "cat", "mous"]}
    answer = plane.reply(
        "entities/search",
        {"collectionName": docs, "data": ["A dog", "mice or mouse"], "annsField": "terms", "outputFields": ["text"]},
        EXACT,
    )
    hits = answer["data"]
    assert answer["topks"] == [3, 1]
    first = bm25(words, ["dog"])
    assert {hit["id"]: hit["distance"] for hit in hits[:3]} == pytest.approx(first, rel=1e-5)
    assert hits[3]["distance"] == pytest.approx(bm25(words, ["mous"])[4], rel=1e-5)
    assert hits[3]["text"] == TEXTS[4]
    found = plane.call(
        "entities/search",
        EXACT,
        collectionName=docs,
        data=["dog"],
        filter="text_match(text, 'cats') and id > 1",
        searchParams={"metricType": "BM25", "params": {"drop_ratio_search": 0.2}},
    )
    assert [hit["id"] for hit in found] == [4]
    everything = plane.call("entities/query", EXACT, collectionName=docs, filter="id == 3", outputFields=["*"])
    assert everything == [{"id": 3, "text": "the bird"}]


@pytest.mark.parametrize(
    ("action", "body", "text"),
    [
        ("search", {"data": [{"1": 0.5}]}, "please provide varchar/text for BM25 Function based search, got dict"),
        ("search", {"data": [[0.5]]}, "please provide varchar/text for BM25 Function based search, got list"),
        ("search", {"data": ["a"], "outputFields": ["terms"]}, "not allowed to retrieve raw data of field terms"),
        ("search", {"ids": [1]}, "not allowed to retrieve raw data of field terms"),
        ("query", {"filter": "id > 0", "outputFields": ["terms"]}, "not allowed to retrieve raw data of field terms"),
        ("get", {"id": [1], "outputFields": ["terms"]}, "not allowed to retrieve raw data of field terms"),
    ],
)
def test_refused_reads(plane: DataPlane, docs: str, action: str, body: dict[str, Any], text: str) -> None:
    code, message = plane.error(f"entities/{action}", collectionName=docs, **body)
    assert (code, text in message) == (1100, True), message


@pytest.mark.parametrize(
    ("parts", "code", "text"),
    [
        ({"name": ""}, 1101, "function name cannot be empty: missing parameter"),
        ({"inputFieldNames": ["id"]}, 1100, "must be a VARCHAR/TEXT field, got 1 field with type Int64: invalid"),
        ({"terms": {"nullable": True}}, 1100, "function output field cannot be nullable: function bm25, field terms"),
        (
            {"text": {"elementTypeParams": {"max_length": 9}}},
            1100,
            "BM25 function input field must set enable_analyzer to true",
        ),
        (
            {"text": {"elementTypeParams": {**ANALYZED, "analyzer_params": {"type": "chinese"}}}},
            1100,
            "the analyzer chinese is not supported by this server; use english, standard, field name = text",
        ),
        (
            {"text": {"elementTypeParams": {**ANALYZED, "multi_analyzer_params": {}}}},
            1100,
            "multi_analyzer_params",
        ),
    ],
)
def test_refused_schemas(plane: DataPlane, parts: dict[str, Any], code: int, text: str) -> None:
    found, message = plane.error("collections/create", collectionName=plane.name(), schema=schema(**parts))
    assert (found, text in message) == (code, True), message


def test_refused_indexes(plane: DataPlane, docs: str) -> None:
    def refused(**index: Any) -> tuple[int, str]:
        param = {"fieldName": "terms", "indexName": "other", "indexType": "SPARSE_INVERTED_INDEX", **index}
        return plane.error("indexes/create", collectionName=docs, indexParams=[param])

    assert refused(metricType="IP")[1].startswith(
        "index metric type of BM25 function output field must be BM25, got IP"
    )
    code, message = refused(metricType="BM25", params={"bm25_k1": 9})
    assert (code, "param 'bm25_k1' (9) should be in range [0.0, 3.0]" in message) == (1100, True)


def test_analyzers_can_be_run(plane: DataPlane, docs: str) -> None:
    answer = plane.call("common/run_analyzer", text=["Two Words", ""], analyzerParams="")
    assert answer == {"results": [{"tokens": [{"token": "two"}, {"token": "words"}]}, {"tokens": []}]}
    params = {"tokenizer": "standard", "filter": ["lowercase"]}
    answer = plane.call("common/run_analyzer", text=["É b"], analyzerParams=params, withDetail=True, withHash=True)
    assert answer["results"][0]["tokens"][1] == {
        "token": "b",
        "startOffset": 3,
        "endOffset": 4,
        "position": 1,
        "positionLength": 1,
        "hash": term_id("b"),
    }
    answer = plane.call("common/run_analyzer", text=["Dogs"], collectionName=docs, fieldName="text")
    assert answer == {"results": [{"tokens": [{"token": "dog"}]}]}


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ({}, 1802, "'Text'"),
        ({"text": "a"}, 1801, "cannot unmarshal string"),
        ({"text": ["a"], "analyzerParams": {"tokenizer": "jieba"}}, 1100, "use standard, whitespace"),
        ({"text": ["a"], "analyzerParams": "{"}, 1100, "can't be parsed as JSON"),
        ({"text": ["a"], "collectionName": "nope", "fieldName": "text"}, 100, "collection not found"),
        ({"text": ["a"], "collectionName": "docs"}, 1101, "field_name must be set"),
        ({"text": ["a"], "collectionName": "docs", "fieldName": "nope"}, 1700, "field nope not exist"),
        ({"text": ["a"], "collectionName": "docs", "fieldName": "id"}, 1100, "field id has no analyzer"),
        ({"text": ["a"], "analyzerNames": ["en"]}, 1100, "a field has one analyzer"),
        ({"text": ["a" * 600_000] * 2}, 1100, "the texts have 1,200,000 characters, more than 1,048,576"),
    ],
)
def test_analyses_that_are_refused(plane: DataPlane, docs: str, body: dict[str, Any], code: int, text: str) -> None:
    if body.get("collectionName") == "docs":
        body = {**body, "collectionName": docs}
    found, message = plane.error("common/run_analyzer", **body)
    assert (found, text in message) == (code, True), message

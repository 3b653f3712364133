"""Full-text search by pymilvus's client: BM25 functions, analyzers, and filters on words."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from pymilvus import (
    AnnSearchRequest,
    DataType,
    Function,
    FunctionType,
    MilvusClient,
    MilvusException,
    RRFRanker,
    WeightedRanker,
)

from tests.support.bm25_oracle import bm25
from tests.support.data_planes import DataPlane

WORDS = ["milvus", "vector", "search", "engine", "lance", "import", "table", "word", "text", "zebra"]
WEIGHTS = [9, 8, 7, 6, 5, 4, 3, 2, 2, 1]


def make(client: MilvusClient, name: str, analyzer: dict[str, Any] | None = None, **index: Any) -> None:
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    options = {} if analyzer is None else {"analyzer_params": analyzer}
    schema.add_field("text", DataType.VARCHAR, max_length=1000, enable_analyzer=True, enable_match=True, **options)
    schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(
        Function(
            name="bm25",
            function_type=FunctionType.BM25,
            input_field_names=["text"],
            output_field_names=["sparse"],
        )
    )
    params = client.prepare_index_params()
    params.add_index("sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25", **index)
    client.create_collection(name, schema=schema, index_params=params)


@pytest.fixture(scope="module")
def texts() -> dict[int, str]:
    chance = random.Random(7)
    return {key: " ".join(chance.choices(WORDS, WEIGHTS, k=chance.randint(0, 12))) for key in range(300)}


@pytest.fixture(scope="module")
def docs(served: tuple[DataPlane, MilvusClient], texts: dict[int, str]) -> str:
    """Random texts, in two jobs."""
    plane, client = served
    name = plane.name()
    make(client, name, params={"bm25_k1": 1.5, "bm25_b": 0.5, "inverted_index_algo": "DAAT_MAXSCORE"})
    plane.put(name, [{"id": key, "text": text} for key, text in texts.items() if key < 100])
    plane.put(name, [{"id": key, "text": text} for key, text in texts.items() if key >= 100])
    return name


def scores_of(hits: Any) -> dict[int, float]:
    return {hit["id"]: hit["distance"] for hit in hits}


def expected(texts: dict[int, str], query: str, **params: float) -> dict[int, float]:
    return bm25({key: text.split() for key, text in texts.items()}, query.lower().split(), **params)


def test_the_function_is_described(client: MilvusClient, docs: str) -> None:
    described = client.describe_collection(docs)
    (function,) = described["functions"]
    assert {key: function[key] for key in ("name", "type", "input_field_names", "output_field_names")} == {
        "name": "bm25",
        "type": FunctionType.BM25,
        "input_field_names": ["text"],
        "output_field_names": ["sparse"],
    }
    outputs = {field["name"]: field.get("is_function_output", False) for field in described["fields"]}
    assert outputs == {"id": False, "text": False, "sparse": True}
    index = client.describe_index(docs, "sparse")
    assert (index["metric_type"], index["params"]["bm25_k1"], index["params"]["bm25_b"]) == ("BM25", "1.5", "0.5")


@pytest.mark.parametrize("query", ["zebra", "milvus Zebra word", "engine engine lance", "zebra unknown"])
def test_scores_are_those_of_the_formula(client: MilvusClient, docs: str, texts: dict[int, str], query: str) -> None:
    (hits,) = client.search(docs, [query], anns_field="sparse", limit=300)
    assert scores_of(hits) == pytest.approx(expected(texts, query, k1=1.5, b=0.5), rel=1e-5)
    order = [(-hit["distance"], hit["id"]) for hit in hits]
    assert order == sorted(order)


def test_options_of_a_search(client: MilvusClient, docs: str, texts: dict[int, str]) -> None:
    """The statistics are those of all rows, whatever the filter."""
    everything = expected(texts, "table word", k1=1.5, b=0.5)
    ranked = sorted(everything, key=lambda key: (-everything[key], key))
    search: dict[str, Any] = {"anns_field": "sparse", "search_params": {"metric_type": "BM25"}}
    first, second, none = client.search(docs, ["table word", "zebra", "nothing of it"], limit=5, **search)
    assert [hit["id"] for hit in first] == ranked[:5]
    assert len(second) == 5
    assert not none
    (hits,) = client.search(docs, ["table word"], limit=5, offset=3, output_fields=["text"], **search)
    assert [(hit["id"], hit["entity"]["text"]) for hit in hits] == [(key, texts[key]) for key in ranked[3:8]]
    (hits,) = client.search(docs, ["table word"], filter="id < 50", limit=300, **search)
    assert scores_of(hits) == pytest.approx({key: score for key, score in everything.items() if key < 50}, rel=1e-5)
    bounds = {"metric_type": "BM25", "params": {"radius": 1.0, "range_filter": 2.0}}
    (hits,) = client.search(docs, ["table word"], anns_field="sparse", search_params=bounds, limit=300)
    assert set(scores_of(hits)) == {key for key, score in everything.items() if 1.0 < score <= 2.0}
    (hits,) = client.search(docs, ["zebra"], limit=1, output_fields=["*"], **search)
    assert hits[0]["entity"].keys() == {"id", "text"}


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (
            lambda client, docs: client.search(docs, [{1: 0.5}], anns_field="sparse", limit=1),
            "please provide varchar/",
        ),
        (
            lambda client, docs: client.search(docs, ["a"], limit=1, search_params={"metric_type": "IP"}),
            r"metric type not match: invalid \[expected=BM25\]\[actual=IP\]",
        ),
        (
            lambda client, docs: client.query(docs, "id < 3", output_fields=["sparse"]),
            "not allowed to retrieve raw data of field sparse",
        ),
        (
            lambda client, docs: client.search(docs, ids=[1], anns_field="sparse", limit=1),
            "not allowed to retrieve raw data of field sparse",
        ),
        (
            lambda client, docs: client.search(docs, ["a" * 70_000], anns_field="sparse", limit=1),
            "a query text has 70,000 characters, more than 65,535",
        ),
    ],
)
def test_refused_searches(client: MilvusClient, docs: str, call: Any, problem: str) -> None:
    with pytest.raises(MilvusException, match=problem):
        call(client, docs)


@pytest.mark.parametrize(
    ("filter", "keep"),
    [
        ("text_match(text, 'Zebra lance')", lambda words: {"zebra", "lance"} & {*words}),
        ("not TEXT_MATCH(text, 'milvus vector')", lambda words: not {"milvus", "vector"} & {*words}),
        (
            "text_match(text, 'zebra lance word', minimum_should_match=2)",
            lambda words: len({"zebra", "lance", "word"} & {*words}) >= 2,
        ),
        ("phrase_match(text, 'vector search')", lambda words: " vector search " in f" {' '.join(words)} "),
        ("text_match(text, {words}) and id >= 100", None),
        ("text_match(text, '')", lambda words: False),
    ],
)
def test_filters_on_words(client: MilvusClient, docs: str, texts: dict[int, str], filter: str, keep: Any) -> None:
    rows = client.query(docs, filter, output_fields=["id"], filter_params={"words": "zebra"}, limit=1000)
    if keep is None:
        assert {row["id"] for row in rows} == {
            key for key, text in texts.items() if key >= 100 and "zebra" in text.split()
        }
    else:
        assert {row["id"] for row in rows} == {key for key, text in texts.items() if keep(text.split())}


def test_analyzers(client: MilvusClient, plane: DataPlane) -> None:
    result = client.run_analyzer("The running foxes, and a café!", {"type": "english"})
    assert result.tokens == ["run", "fox", "café"]
    custom = {"tokenizer": "standard", "filter": ["lowercase", "asciifolding", {"type": "length", "max": 5}]}
    detailed = client.run_analyzer(["Über Cafés everywhere"], custom, with_detail=True, with_hash=True)
    tokens = [token.dict for token in detailed[0].tokens]
    hashes = [token.pop("hash") for token in tokens]
    assert all(0 < number < 2**32 for number in hashes)
    assert tokens == [
        {"token": "uber", "start_offset": 0, "end_offset": 5, "position": 0, "position_length": 1},
        {"token": "cafes", "start_offset": 6, "end_offset": 12, "position": 1, "position_length": 1},
    ]
    name = plane.name()
    make(client, name, {"type": "english"})
    plane.put(name, [{"id": 1, "text": "He runs"}, {"id": 2, "text": "A walk"}])
    assert client.run_analyzer("Walked", collection_name=name, field_name="text").tokens == ["walk"]
    (hits,) = client.search(name, ["running"], anns_field="sparse", limit=9)
    assert [hit["id"] for hit in hits] == [1]
    assert [row["id"] for row in client.query(name, "text_match(text, 'walking')")] == [2]
    with pytest.raises(MilvusException, match="the tokenizer jieba is not supported by this server; use standard"):
        client.run_analyzer("文", {"tokenizer": "jieba"})
    with pytest.raises(
        MilvusException, match="the analyzer chinese is not supported by this server; use english, st"
    ):
        make(client, plane.name(), {"type": "chinese"})


def test_a_dense_vector_beside_the_texts(client: MilvusClient, plane: DataPlane) -> None:
    """An index of a BM25 field can be missing; then the score has the default parameters."""
    name = plane.name()
    schema = client.create_schema(enable_dynamic_field=True)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=99, enable_analyzer=True, nullable=True)
    schema.add_field("dense", DataType.FLOAT_VECTOR, dim=2)
    schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(Function("f", FunctionType.BM25, ["text"], "sparse"))
    client.create_collection(name, schema=schema)
    rows: list[dict[str, Any]] = [
        {"id": 1, "text": "one two", "dense": [0, 1]},
        {"id": 2, "text": None, "dense": [1, 1], "k": 5},
        {"id": 3, "text": "two two two", "dense": [1, 0]},
    ]
    plane.put(name, rows)
    (hits,) = client.search(name, ["two"], anns_field="sparse", limit=9, output_fields=["$meta"])
    words = {row["id"]: (row["text"] or "").split() for row in rows}
    assert scores_of(hits) == pytest.approx(bm25(words, ["two"]), rel=1e-5)

    dense = AnnSearchRequest([[0.0, 1.0]], "dense", {}, limit=9)
    sparse = AnnSearchRequest(["two"], "sparse", {}, limit=9)
    (fused,) = client.hybrid_search(name, [dense, sparse], RRFRanker(), limit=9)
    assert [hit["id"] for hit in fused] == [1, 3, 2]
    (fused,) = client.hybrid_search(name, [dense, sparse], WeightedRanker(0.25, 0.5), limit=9)
    words_scores = {key: 2 * math.atan(score) / math.pi for key, score in bm25(words, ["two"]).items()}
    cosines = {1: 1.0, 2: math.sqrt(0.5), 3: 0.0}
    assert scores_of(fused) == pytest.approx(
        {key: 0.25 * (1 + cosine) / 2 + 0.5 * words_scores.get(key, 0) for key, cosine in cosines.items()}, rel=1e-5
    )

"""What analyzers make of texts, and which of Milvus's parameters they take."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.analyzers import Token, analyzer_from_params, build_analyzer, field_analyzer
from penstock.domain.deadline import DeadlineExceeded, deadline
from penstock.domain.schema import DataType, Field
from penstock.errors import InvalidParameter, Unsupported


def terms(text: str, params: Any = None) -> list[str]:
    return analyzer_from_params("" if params is None else json.dumps(params)).terms(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  ,.-_ !", []),
        (
            "The Milvus vector-database is built for scale!",
            ["the", "milvus", "vector", "database", "is", "built", "for", "scale"],
        ),
        ("snake_case don't 3.14", ["snake", "case", "don", "t", "3", "14"]),
        ("Zürich, Ωμέγα und 東京タワー", ["zürich", "ωμέγα", "und", "東京タワー"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("cafe\u0301_x", ["cafe\u0301", "x"]),
        ("x² ½ Ⅷ", ["x²", "½", "ⅷ"]),
        ("a\u0000b\u200bc", ["a", "b", "c"]),
        ("😀 ok", ["ok"]),
    ],
)
def test_the_standard_analyzer(text: str, expected: list[str]) -> None:
    assert terms(text) == terms(text, {}) == terms(text, {"type": "standard"}) == expected
    assert terms(text, {"tokenizer": "standard", "filter": ["lowercase"]}) == expected


def test_the_english_analyzer_stems_before_it_drops_stop_words() -> None:
    text = "The runners were running in their databases, as it happens"
    assert terms(text, {"type": "english"}) == ["runner", "were", "run", "databas", "happen"]
    assert terms("one two ofs", {"type": "english", "stop_words": ["two"]}) == ["one"]
    assert terms("A cat", {"type": "standard", "stop_words": ["_english_", "dog"]}) == ["cat"]


@pytest.mark.parametrize(
    ("filters", "text", "expected"),
    [
        (None, "Ab cD", ["Ab", "cD"]),
        ([], "Ab", ["Ab"]),
        (["lowercase"], "ÄB", ["äb"]),
        (["asciifolding"], "Ævar naïve straße Łódź 東é", ["AEvar", "naive", "strasse", "Lodz", "東e"]),
        (["alphanumonly"], "a1 é b", ["a1", "b"]),
        ([{"type": "lowercase"}], "A", ["a"]),
        ([{"type": "length", "max": 3}], "abc abcd éa ééa", ["abc", "éa"]),
        ([{"type": "stop", "stop_words": "the"}], "the The", ["The"]),
        (["lowercase", {"type": "stop", "stop_words": ["_english_"]}], "The dog", ["dog"]),
        ([{"type": "stemmer", "language": "German"}], "Häuser laufen", ["Haus", "lauf"]),
    ],
)
def test_filters_apply_in_their_order(filters: Any, text: str, expected: list[str]) -> None:
    params = {"tokenizer": {"type": "standard"}} | ({} if filters is None else {"filter": filters})
    assert terms(text, params) == expected


def test_the_whitespace_tokenizer() -> None:
    assert terms("a_b, c-d\te\u00a0f", {"tokenizer": "whitespace"}) == ["a_b,", "c-d", "e\u00a0f"]


def test_tokens_have_their_places_in_bytes_and_words() -> None:
    analyzer = analyzer_from_params(json.dumps({"type": "standard", "stop_words": ["und"]}))
    assert analyzer.tokens("Über und_Köln!") == [
        Token(term="über", position=0, start=0, end=5),
        Token(term="köln", position=2, start=10, end=15),
    ]
    assert analyzer.positions("Über und Köln") == ["über", None, "köln"]


@given(text=st.text(alphabet="aZ09_ é-'\u0301²K\t", max_size=30))
def test_all_ways_to_split_a_text_agree(text: str) -> None:
    for params in ("", '{"tokenizer": "whitespace"}', '{"type": "english"}'):
        analyzer = analyzer_from_params(params)
        tokens = analyzer.tokens(text)
        assert [token.term for token in tokens] == analyzer.terms(text)
        assert [analyzer.positions(text)[token.position] for token in tokens] == analyzer.terms(text)
        for token in tokens:
            (whole,) = analyzer_from_params(params).split(text.encode()[token.start : token.end].decode())
            assert analyzer.term(whole) == token.term


def test_many_and_long_tokens_do_not_stay_in_memory() -> None:
    analyzer = analyzer_from_params('{"type": "standard", "stop_words": ["a"]}')
    assert len(analyzer.terms(" ".join(map(str, range(200_000))))) == 200_000
    assert analyzer.terms("X" * 60_000) == ["x" * 60_000]
    cache: Any = analyzer.term.__self__  # type: ignore[attr-defined]
    assert len(cache) <= 65_536
    assert "X" * 60_000 not in cache


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"type": "chinese"}, "the analyzer chinese is not supported by this server; use english, standard"),
        ({"tokenizer": "jieba"}, "the tokenizer jieba is not supported by this server; use standard, whitespace"),
        ({"tokenizer": {"type": "lindera", "dict_kind": "ipadic"}}, "the tokenizer lindera is not supported"),
        ({"tokenizer": "icu"}, "the tokenizer icu is not supported"),
        ({"tokenizer": {"type": "standard", "uax29": True}}, "uax29 of the tokenizer standard is not supported"),
        ({"tokenizer": "standard", "filter": ["cnalphanumonly"]}, "the filter cnalphanumonly is not supported"),
        (
            {"tokenizer": "standard", "filter": [{"type": "regex", "expr": "a"}]},
            "the filter regex is not supported by this server; use alphanumonly, asciifolding, length, lowercase, st",
        ),
        ({"tokenizer": "standard", "filter": [{"type": "stemmer", "language": "klingon"}]}, "filter stemmer klingon"),
        ({"tokenizer": "standard", "filter": [{"type": "length", "min": 1}]}, "min of the filter length is not"),
        ({"tokenizer": "standard", "char_filter": []}, "char_filter of analyzer_params is not supported"),
        ({"type": "standard", "stop_words": ["_german_"]}, "the list of stop words _german_ is not supported"),
        ({"type": "english", "filter": []}, "filter of the analyzer english is not supported"),
    ],
)
def test_what_is_not_served_is_named(params: Any, text: str) -> None:
    with pytest.raises(Unsupported) as raised:
        analyzer_from_params(json.dumps(params))
    assert text in raised.value.message


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ("{", "can't be parsed as JSON"),
        ("[]", "should be a JSON object"),
        ('{"filter": []}', "tokenizer name or type must be set"),
        ('{"type": 5}', "the analyzer should be named by a string, but got 5"),
        ('{"tokenizer": {}}', "the tokenizer should be named by a string"),
        ('{"tokenizer": "standard", "filter": "lowercase"}', "filter of analyzer_params should be a list"),
        ('{"tokenizer": "standard", "filter": ["stop"]}', "the filter stop of analyzer_params needs stop_words"),
        ('{"tokenizer": "standard", "filter": [{"type": "length", "max": "3"}]}', "a whole number of bytes"),
        ('{"tokenizer": "standard", "filter": [{"type": "stemmer", "language": 1}]}', "named by a string"),
        ('{"type": "standard", "stop_words": [1]}', "stop_words should be a list of strings"),
        (json.dumps({"tokenizer": "standard", "filter": ["lowercase"] * 33}), "33 filters, more than 32"),
        (json.dumps({"type": "standard", "stop_words": ["x" * 70_000]}), "characters, more than 65,536"),
    ],
)
def test_parameters_of_another_form(params: str, text: str) -> None:
    with pytest.raises(InvalidParameter) as raised:
        analyzer_from_params(params)
    assert not isinstance(raised.value, Unsupported)
    assert text in raised.value.message


def test_an_error_names_the_field() -> None:
    field = Field(name="body", type=DataType.VARCHAR, params={"analyzer_params": '{"type": "x"}'})
    with pytest.raises(Unsupported, match=r"the analyzer x is not supported .* field name = body"):
        field_analyzer(field)


ASCII_FOLDING = {"tokenizer": "standard", "filter": ["asciifolding"]}


@pytest.mark.parametrize(
    ("params", "token"),
    [
        (ASCII_FOLDING, "a" + "\u0345\u0300" * 50_000),
        *(
            ({"tokenizer": "standard", "filter": [{"type": "stemmer", "language": language}]}, word * 200_000)
            for language, word in (("english", "ay"), ("italian", "qu"))
        ),
    ],
    ids=["asciifolding", "english", "italian"],
)
def test_a_token_as_long_as_a_text_takes_no_longer_than_its_characters(params: Any, token: str) -> None:
    started = time.process_time()
    terms(token, params)
    assert time.process_time() - started < 1  # quadratic time was eight seconds for each


def test_a_long_token_is_folded_and_not_stemmed() -> None:
    assert terms("é" + "e\u0301\u0327" * 3000, ASCII_FOLDING) == ["e" * 3001]
    stems = {"tokenizer": "standard", "filter": [{"type": "stemmer", "language": "english"}]}
    assert terms("x" * 1017 + "running " + "x" * 1018 + "running", stems) == [
        "x" * 1017 + "run",
        "x" * 1018 + "running",
    ]


def test_the_analysis_of_one_text_ends_at_the_deadline() -> None:
    text = " ".join(f"running{number}" for number in range(100_000))
    with deadline(0.1), pytest.raises(DeadlineExceeded):
        build_analyzer('{"type": "english"}').tokens(text)

"""Conditions on the words of texts select what the reference evaluator says, for odd texts and analyzers."""

from __future__ import annotations

import json
from typing import Any

import lance
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.lance.read.batch_filter import matching
from penstock.engines.lance.read.filter_pushdown import NEAREST_WEIGHT, split
from penstock.engines.lance.read.filter_sql import to_sql
from penstock.filters import parse
from tests.support.examples import examples
from tests.support.filter_oracle import evaluate

ANALYZERS: dict[str, Any] = {
    "plain": {},
    "english": {"type": "english"},
    "folded": {"tokenizer": "standard", "filter": ["lowercase", "asciifolding"]},
    "spaced": {"tokenizer": "whitespace", "filter": [{"type": "stop", "stop_words": ["b"]}]},
}
SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        *(
            Field(
                name=name,
                type=DataType.VARCHAR,
                max_length=999,
                nullable=True,
                params={
                    "enable_analyzer": "true",
                    "enable_match": "true",
                    "analyzer_params": json.dumps(params),
                },
            )
            for name, params in ANALYZERS.items()
        ),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2),
    ),
)
WORDS = [
    "a",
    "b",
    "A",
    "the",
    "running",
    "Runs",
    "run",
    "é",
    "E",
    "\u212a",
    "k",
    "İ",
    "i",
    "ß",
    "ss",
    "a_b",
    "b-a",
    ".",
]
TEXTS = [
    None,
    "",
    " ",
    "a a b a b b a",
    "b the a",
    *WORDS,
    *(" ".join(WORDS[start::step]) for start in range(5) for step in (1, 2, 3, 5)),
]
ROWS = [{"id": index, **dict.fromkeys(ANALYZERS, text)} for index, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> lance.LanceDataset:
    rows = pa.table({name: pa.array([row[name] for row in ROWS]) for name in ("id", *ANALYZERS)})
    return lance.write_dataset(rows, str(tmp_path_factory.mktemp("texts") / "rows"), max_rows_per_file=20)


def selected(dataset: lance.LanceDataset, text: str, params: dict[str, Any]) -> list[int]:
    pushed, rest = split(parse(text, SCHEMA, params), NEAREST_WEIGHT)
    where = None if pushed is None else to_sql(pushed, SCHEMA)
    assert rest is not None
    found: list[Any] = []
    for batch in matching(dataset, where, rest, {"id": "id"}):
        found += batch["id"].to_pylist()
    return sorted(found)


FIELDS = st.sampled_from(list(ANALYZERS))
PHRASES = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)
CONDITIONS = st.one_of(
    st.builds("text_match({}, {{}})".format, FIELDS),
    st.builds("text_match({}, {{}}, minimum_should_match={})".format, FIELDS, st.integers(1, 3)),
    st.builds("phrase_match({}, {{}})".format, FIELDS),
    st.builds("phrase_match({}, {{}}, {})".format, FIELDS, st.integers(0, 4)),
)


@given(
    parts=st.lists(st.tuples(CONDITIONS, PHRASES, st.booleans()), min_size=1, max_size=3),
    word=st.sampled_from([" and ", " or "]),
    most=st.integers(0, 30),
)
@settings(max_examples=examples(50, 150), deadline=None)
def test_lance_agrees_with_the_oracle(
    dataset: lance.LanceDataset, parts: list[tuple[str, str, bool]], word: str, most: int
) -> None:
    conditions, params = [f"id < {most}"], {}
    for number, (condition, phrase, negated) in enumerate(parts):
        params[f"p{number}"] = phrase
        conditions.append(("not " if negated else "") + condition.replace("{}", f"{{p{number}}}"))
    text = word.join(conditions)
    tree = parse(text, SCHEMA, params)
    assert tree is not None
    expected = [row["id"] for row in ROWS if evaluate(tree, row) is True]
    assert selected(dataset, text, params) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("phrase_match(plain, 'a b c')", "x a b c"),
        ("phrase_match(plain, 'a b c', 1)", "a x b c"),
        ("phrase_match(plain, 'a b c', 1)", "a b x c"),
        ("phrase_match(plain, 'a b', 2)", "b a"),
        ("phrase_match(english, 'end of the world')", "End: in a world"),
        ("text_match(english, 'universities')", "my university"),
    ],
)
def test_examples(text: str, expected: str) -> None:
    tree = parse(text, SCHEMA)
    assert tree is not None
    assert evaluate(tree, dict.fromkeys(ANALYZERS, expected)) is True


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("phrase_match(plain, 'a b c')", "a c b"),
        ("phrase_match(plain, 'a b c', 1)", "a x b x c"),
        ("phrase_match(plain, 'a b', 1)", "b a"),
        ("phrase_match(english, 'end of the world')", "the end world"),
        ("text_match(plain, 'universities')", "my university"),
        ("text_match(plain, '.')", "."),
    ],
)
def test_counterexamples(text: str, other: str) -> None:
    tree = parse(text, SCHEMA)
    assert tree is not None
    assert evaluate(tree, dict.fromkeys(ANALYZERS, other)) is False

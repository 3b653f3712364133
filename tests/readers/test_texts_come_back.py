"""Any text that a type allows comes back as it was: from JSON, JSON Lines and CSV, through the engine.

Texts with NUL are common among the examples: libraries written in C end at it.
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.base import Engine
from penstock.engines.lance import LanceEngine
from penstock.readers.csv.reader import CSV
from penstock.readers.json.array_reader import JSON
from penstock.readers.json.lines_reader import JSON_LINES
from tests.support.examples import examples
from tests.support.round_trip import round_trip

SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2),
        Field(name="text", type=DataType.VARCHAR, max_length=400),
        Field(name="long_text", type=DataType.TEXT),
        Field(name="tags", type=DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=4, max_length=400),
        Field(name="json", type=DataType.JSON),
        Field(
            name="parts",
            type=DataType.ARRAY_OF_STRUCT,
            max_capacity=4,
            fields=(
                Field(name="word", type=DataType.VARCHAR, max_length=400),
                Field(name="place", type=DataType.FLOAT_VECTOR, dim=2),
            ),
        ),
    ),
    dynamic=True,
)
SETTINGS = settings(max_examples=examples(10, 25), deadline=None, suppress_health_check=list(HealthCheck))

texts = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from('\0\0\0x"\\\r\n\ufeff\u2028,{}[]'), max_size=12
)
keys = texts.filter(lambda key: key not in SCHEMA.names and key != "$meta")
values = st.recursive(
    texts | st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)
rows = st.fixed_dictionaries(
    {
        "text": texts,
        "long_text": texts,
        "tags": st.lists(texts, max_size=3),
        "json": st.dictionaries(texts, values, max_size=3),
        "parts": st.lists(texts, max_size=2).map(lambda words: [{"word": word, "place": [1, 2]} for word in words]),
        "$meta": st.dictionaries(keys, values, max_size=3),
    }
)
FOUND = {"text": "a\0b", "long_text": "\0", "tags": ["\0", ""], "parts": [{"word": "\0x", "place": [1, 2]}]}
NUL_KEYS = [
    FOUND | {"json": {"x\0y": 1, "x": 2}, "$meta": {"x\0y": 1, "x": 2}},
    FOUND | {"json": {"k\0": 1}, "$meta": {"k\0": 1}},
    FOUND | {"json": {"id\0": 1}, "$meta": {"id\0": [1], "text\0": "\0"}},
]
"""The first gave the other key's value, the second ended in a KeyError, the third gave a field's value."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    engine = LanceEngine(str(tmp_path_factory.mktemp("texts")))
    engine.check()
    return engine


def whole(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": number, "vector": [number, 1], **row} for number, row in enumerate(given)]


def outside(row: dict[str, Any]) -> dict[str, Any]:
    """Dynamic values as keys of the row."""
    return {**{key: value for key, value in row.items() if key != "$meta"}, **row["$meta"]}


def same(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    assert [json.dumps(row, sort_keys=True) for row in found] == [
        json.dumps(
            row | {"vector": list(map(float, row["vector"]))} | {"parts": floats(row["parts"])}, sort_keys=True
        )
        for row in wanted
    ]


def floats(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**part, "place": list(map(float, part["place"]))} for part in parts]


@SETTINGS
@given(st.lists(rows, min_size=1, max_size=8), st.booleans(), st.booleans())
@example(NUL_KEYS, True, True)
@example(NUL_KEYS, True, False)
def test_json(engine: Engine, given: list[dict[str, Any]], flat: bool, ascii_only: bool) -> None:
    wanted = whole(given)
    content = json.dumps(list(map(outside, wanted)) if flat else wanted, ensure_ascii=ascii_only)
    found, _ = round_trip(engine, JSON, {"rows.json": content.encode()}, SCHEMA, split_bytes=200)
    same(found, wanted)


@SETTINGS
@given(st.lists(rows, min_size=1, max_size=8), st.booleans(), st.booleans(), st.sampled_from(["\n", "", ","]))
@example(NUL_KEYS, True, True, "\n")
@example(NUL_KEYS, True, False, "")
def test_json_lines(engine: Engine, given: list[dict[str, Any]], flat: bool, ascii_only: bool, between: str) -> None:
    wanted = whole(given)
    lines = [json.dumps(outside(row) if flat else row, ensure_ascii=ascii_only) for row in wanted]
    content = between.join(lines).encode()
    found, _ = round_trip(engine, JSON_LINES, {"rows.jsonl": content}, SCHEMA, split_bytes=200)
    same(found, wanted)


@SETTINGS
@given(st.lists(rows, min_size=1, max_size=8), st.dictionaries(keys, texts, max_size=3))
@example(NUL_KEYS, {"x\0y": "1\0", "x": "\0", "k\0": "", "id\0": "\0\0"})
def test_csv(engine: Engine, given: list[dict[str, Any]], extra: dict[str, str]) -> None:
    wanted = whole([row | {"$meta": extra} for row in given])
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow([*SCHEMA.names, *extra])
    for row in wanted:
        cells = [row[name] if name in ("id", "text", "long_text") else json.dumps(row[name]) for name in SCHEMA.names]
        writer.writerow([*cells, *extra.values()])
    content = out.getvalue().encode()
    found, _ = round_trip(engine, CSV, {"rows.csv": content}, SCHEMA, split_bytes=200)
    same(found, wanted)

"""Samples whose columns are mapped: what an inference sees is what an import would fill."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from penstock.errors import ImportRefused
from penstock.imports.mapped_samples import SampleMapping, columns_of_pattern, mapped_sample
from penstock.readers.base import Sample
from tests.support.inference import parquet, sample

ROWS = [
    {"key": 1, "x0": 0.5, "x1": 1, "doc": {"title": "One", "tags": ["a"]}, "more": True},
    {"key": 2, "x0": 1.5, "x1": 2, "doc": {"title": "Two", "tags": []}, "more": False},
]
MAPPING = {
    "id": "key",
    "vector": {"columns": ["x0", "x1"]},
    "title": {"path": "doc.title"},
    "first_tag": {"path": "doc.tags[0]"},
    "source": {"value": "crawl"},
}


def samples() -> dict[str, Sample]:
    texts = [{**row, "doc": json.dumps(row["doc"])} for row in ROWS]
    cells = [[json.dumps(row[name]) for name in row] for row in ROWS]
    table = pa.Table.from_pylist(ROWS)
    return {
        "jsonl": sample({"a.jsonl": "\n".join(map(json.dumps, ROWS)).encode()}),
        "csv": sample(
            {"a.csv": "\n".join(["key;x0;x1;doc;more", *(";".join(row) for row in _quoted(cells))]).encode()},
            options={"sep": ";"},
        ),
        "parquet": sample({"a.parquet": parquet(table)}),
        "parquet with JSON texts": sample({"a.parquet": parquet(pa.Table.from_pylist(texts))}),
    }


def _quoted(rows: list[list[str]]) -> list[list[str]]:
    return [[f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row] for row in rows]


def values(found: Sample, name: str) -> list[Any]:
    column = found.columns[name]
    rows = column.to_pylist() if not isinstance(column, list) else column
    return [
        json.loads(value) if isinstance(value, str) and value and value[0] in "[0123456789" else value
        for value in rows
    ]


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet", "parquet with JSON texts"])
def test_columns_become_those_of_the_fields(format: str) -> None:
    mapping = SampleMapping(sources=MAPPING, dropped=frozenset({"more"}))
    found = mapped_sample(samples()[format], mapping, "a")
    assert list(found.columns) == ["id", "vector", "title", "first_tag", "source"]
    assert values(found, "id") == [1, 2]
    assert values(found, "vector") == [[0.5, 1], [1.5, 2]]
    assert values(found, "title") == ["One", "Two"]
    assert values(found, "first_tag")[0] == "a"
    assert not values(found, "first_tag")[1]
    assert values(found, "source") == ["crawl", "crawl"]


def test_a_column_that_is_missing_is_named_with_the_nearest() -> None:
    mapping = SampleMapping(sources={"id": "Key"}, dropped=frozenset())
    with pytest.raises(ImportRefused, match=r"field 'id' the column 'Key', which 'a\.jsonl' does not have.*'key'\?"):
        mapped_sample(samples()["jsonl"], mapping, "a.jsonl")


def test_patterns_take_the_columns_in_the_order_of_their_numbers() -> None:
    wide = sample({"a.jsonl": json.dumps({f"emb_{number}": 1 for number in (10, 9, 1)} | {"emb_x": 1}).encode()})
    assert columns_of_pattern("emb_*", [wide]) == ("emb", ["emb_1", "emb_9", "emb_10"])
    assert columns_of_pattern("*", [sample({"a.jsonl": b'{"0": 1, "1": 2}'})]) == ("vector", ["0", "1"])
    with pytest.raises(ImportRefused, match="0 columns match 'v_"):
        columns_of_pattern("v_*", [wide])
    with pytest.raises(ImportRefused, match="'e1' and 'e01' have the same number"):
        columns_of_pattern("e*", [sample({"a.jsonl": b'{"e1": 1, "e01": 2}'})])

"""A few bad rows don't hide the vector column of a file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from penstock.domain.data_types import DataType
from penstock.domain.schema import Field
from penstock.errors import ImportRefused
from tests.support.inference import infer, parquet

EMBEDDING = Field(name="embedding", type=DataType.FLOAT_VECTOR, dim=4)
NOTE = (
    "rows have no vector of 4 numbers in embedding (row 7 holds {}): the import refuses them; with on_error=skip_row"
)


def rows(count: int, bad: dict[int, Any]) -> list[dict[str, Any]]:
    return [{"id": number, "embedding": bad.get(number, [number, 0.5, 1, 2])} for number in range(count)]


def csv(rows: list[dict[str, Any]]) -> dict[str, bytes]:
    buffer = io.StringIO()
    texts = [
        {**row, "embedding": row["embedding"] if isinstance(row["embedding"], str) else json.dumps(row["embedding"])}
        for row in rows
    ]
    pd.DataFrame(texts).to_csv(buffer, index=False)
    return {"rows.csv": buffer.getvalue().encode()}


def jsonl(rows: list[dict[str, Any]]) -> dict[str, bytes]:
    return {"rows.jsonl": "\n".join(map(json.dumps, rows)).encode()}


@pytest.mark.parametrize("files", [csv, jsonl])
@pytest.mark.parametrize(
    ("bad", "shown"),
    [([1, 2, 3], "a list of 3 elements"), ("[1, 2, oops]", "'[1, 2, oops]'"), ("none", "'none'")],
)
def test_a_few_rows_without_a_vector(
    files: Callable[[list[dict[str, Any]]], dict[str, bytes]], bad: Any, shown: str
) -> None:
    inferred = infer(files(rows(100, {7: bad, 50: bad})))
    assert EMBEDDING in inferred.schema.fields
    assert [note for note in inferred.notes if NOTE.format(shown) in note], inferred.notes
    [field] = [field for field in inferred.fields if field.field == EMBEDDING]
    assert field.reason == "lists of 4 numbers, all of one length but for 2 rows"


def test_lists_of_another_length_in_parquet() -> None:
    table = pa.Table.from_pylist(rows(100, {7: [1.0, 2], 8: None}))
    inferred = infer({"rows.parquet": parquet(table)})
    assert Field(name="embedding", type=DataType.FLOAT_VECTOR, dim=4, nullable=True) in inferred.schema.fields
    assert inferred.notes[0].startswith("1 of 100 " + NOTE.format("a list of 2 elements"))


def test_files_with_bad_rows_and_without() -> None:
    good, bad = csv(rows(100, {})), csv(rows(100, {7: "none"}))
    names = ("one.csv", "two.csv", "three.csv")
    inferred = infer(*({name: (bad if name == "two.csv" else good)["rows.csv"]} for name in names))
    assert EMBEDDING in inferred.schema.fields
    assert inferred.notes[0].startswith("1 of 300 " + NOTE.format("'none' in two.csv"))


@pytest.mark.parametrize("files", [csv, jsonl])
def test_more_than_a_few_are_no_misfits(files: Callable[[list[dict[str, Any]]], dict[str, bytes]]) -> None:
    bad = dict.fromkeys(range(6), "none")
    with pytest.raises(ImportRefused, match="no vector column"):
        infer(files(rows(100, bad)))


def test_a_file_with_another_vector_keeps_lists_of_several_lengths_as_they_are() -> None:
    """Every row fits then, and none would be refused."""
    table = [{**row, "vector": [0.5, 0.25]} for row in rows(100, {7: [1, 2, 3]})]
    inferred = infer(jsonl(table))
    kinds = {field.field.name: field.field.type for field in inferred.fields}
    assert (kinds["vector"], kinds["embedding"]) == (DataType.FLOAT_VECTOR, DataType.ARRAY)
    assert not any("on_error" in note for note in inferred.notes)
    chosen = infer(jsonl(table), vector="embedding")
    assert chosen.schema.fields[1] == EMBEDDING

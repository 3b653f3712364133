"""Struct arrays in text formats and NumPy sets."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.readers.base import Reader
from penstock.readers.csv.reader import CSV
from penstock.readers.json.array_reader import JSON
from penstock.readers.json.lines_reader import JSON_LINES
from penstock.readers.numpy import NUMPY
from tests.support.reading import read_all, request_for
from tests.support.text_files import schema_of

CHUNKS = Field(
    name="chunks",
    type=DataType.ARRAY_OF_STRUCT,
    max_capacity=3,
    nullable=True,
    fields=(
        Field(name="n", type=DataType.INT64),
        Field(name="text", type=DataType.VARCHAR, max_length=8),
        Field(name="v", type=DataType.FLOAT_VECTOR, dim=2),
        Field(name="bits", type=DataType.BINARY_VECTOR, dim=8),
    ),
)
SCHEMA = schema_of(CHUNKS)
READERS: dict[str, Reader] = {"json": JSON.reader, "jsonl": JSON_LINES.reader, "csv": CSV.reader}


def chunk(**changes: Any) -> dict[str, Any]:
    return {"n": 2**53 + 1, "text": "a[[{", "v": [0.5, 1.0], "bits": [170], **changes}


def written(folder: Path, kind: str, values: list[Any]) -> Path:
    """Rows with these values of ``chunks``."""
    file = folder / f"rows.{kind}"
    rows = [{"id": number, "vector": [0, 1], "chunks": value} for number, value in enumerate(values)]
    if kind == "json":
        file.write_text(json.dumps(rows))
    elif kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with file.open("w", newline="") as stream:
            lines = csv.writer(stream)
            lines.writerow(["id", "vector", "chunks"])
            for row in rows:
                chunks = "" if row["chunks"] is None else json.dumps(row["chunks"])
                lines.writerow([row["id"], "[0,1]", chunks])
    return file


def read(folder: Path, kind: str, values: list[Any]) -> list[Any]:
    reader = READERS[kind]
    table = read_all(reader, request_for([written(folder, kind, values)], SCHEMA))
    found: list[Any] = table["chunks"].to_pylist()
    return found


@pytest.mark.parametrize("kind", READERS)
def test_lists_of_objects(tmp_path: Path, kind: str) -> None:
    values = [[chunk(), chunk(n=-1, v=[1, 2])], None, [], [chunk(text="")]]
    assert read(tmp_path, kind, values) == values


@pytest.mark.parametrize("kind", READERS)
def test_keys_may_come_in_any_order(tmp_path: Path, kind: str) -> None:
    assert read(tmp_path, kind, [[dict(reversed(chunk().items()))]]) == [[chunk()]]


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    ("bad", "field", "rule"),
    [
        ({}, "chunks", "the value is object, the field is ArrayOfStruct"),
        ([1], "chunks", "the value is number, the field is ArrayOfStruct"),
        ([chunk()] * 4, "chunks", "array capacity(4) for field chunks exceeds max_capacity(3)"),
        ([chunk(), {"n": 1}], "chunks", "inconsistent field count in StructArray element: position=1"),
        ([chunk(more=1)], "chunks", "unexpected field in StructArray element: more"),
        ([chunk(n=1.5)], "chunks[n]", "1.5 is not a whole number"),
        ([chunk(n=None)], "chunks[n]", "not allowed to be null"),
        ([chunk(n=2**63)], "chunks[n]", "out of range for Int64"),
        (
            [chunk(text="far too long")],
            "chunks[text]",
            "value length(12) for field chunks[text] exceeds max_length(8)",
        ),
        ([chunk(text={"a": 1})], "chunks[text]", "the value is object, the field is VarChar(8)"),
        ([chunk(v=[1])], "chunks[v]", "the vector has 1 dimensions, the field has 2"),
        ([chunk(v=[[1, 2]])], "chunks[v]", "element 0 should be a number, got array"),
        ([chunk(v="x")], "chunks[v]", "the value is string, the field is FloatVector(2)"),
        ([chunk(v=[1, 1e39])], "chunks[v]", "out of range"),
        ([chunk(bits=[256])], "chunks[bits]", "out of range"),
    ],
)
def test_what_is_refused(tmp_path: Path, kind: str, bad: Any, field: str, rule: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, kind, [[chunk()] * 2, None, [chunk()], bad, [chunk()]])
    error = caught.value
    assert (error.row, error.field) == (3, field)
    assert rule in error.rule


def test_numpy_sets_hold_none(tmp_path: Path) -> None:
    for name, values in (("id", np.arange(2)), ("vector", np.zeros((2, 2))), ("chunks", np.arange(2))):
        np.save(tmp_path / f"{name}.npy", values)
    files = [tmp_path / f"{name}.npy" for name in ("id", "vector", "chunks")]
    with pytest.raises(DataError, match=r"unsupported importing numpy files .* ArrayOfStruct"):
        read_all(NUMPY.reader, request_for(files, SCHEMA))
    assert read_all(NUMPY.reader, request_for(files[:2], SCHEMA)).num_rows == 2

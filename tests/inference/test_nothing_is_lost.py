"""Rows of any columns, written in each format, are imported by the schema inferred from them, with every value."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.domain.schema import META_FIELD, CollectionSchema
from penstock.readers.base import ReadRequest, plan_at_once
from penstock.readers.formats import format_named
from penstock.readers.input_files import detect
from penstock.validation import Conformer
from tests.support.examples import examples
from tests.support.in_memory import BytesSource
from tests.support.inference import infer, npy, parquet

SETTINGS = settings(max_examples=examples(8, 20), deadline=None, suppress_health_check=list(HealthCheck))
NAMES = ["a", "b_id", "uuid", "emb", "first name", "ärger", "tags", "_x", "key"]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["", "007", "1e400", "-0", "12", "1.5", "true", "[1, 2]", '{"a": 1}', "null", " 3", "NaN", "[0.5 1.5]", "+1"]
)
integers = st.integers(-(2**63), 2**63 - 1)
doubles = st.floats(allow_nan=False, allow_infinity=False)
objects = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), texts | integers, max_size=3)
weights = st.floats(0, 1, width=32)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "integer": integers,
    "double": doubles,
    "text": texts,
    "integers": st.lists(integers, max_size=4),
    "doubles": st.lists(doubles, max_size=4),
    "texts": st.lists(texts, max_size=4),
    "bools": st.lists(st.booleans(), max_size=4),
    "object": objects,
    "sparse": st.dictionaries(st.integers(0, 2**32 - 2).map(str), weights, min_size=1, max_size=3),
    "mixed": texts | integers | st.booleans() | objects,
    "nested": st.lists(st.lists(integers, max_size=2) | st.none(), max_size=2),
    "nothing": st.none(),
}
NUMPY_KINDS = ("bool", "integer", "double")


@st.composite
def tables(draw: st.DrawFn, kinds: list[str], *, nulls: bool) -> dict[str, tuple[str, list[Any]]]:
    """Columns by name, each with its kind; ``vec`` is always a vector."""
    rows = draw(st.integers(1, 5))
    dim = draw(st.integers(8, 12))
    columns: dict[str, tuple[str, list[Any]]] = {}
    if draw(st.booleans()):
        columns["id"] = ("integer", draw(st.lists(integers, min_size=rows, max_size=rows, unique=True)))
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=5)):
        kind = draw(st.sampled_from(kinds))
        values = KINDS[kind] | st.none() if nulls and draw(st.booleans()) else KINDS[kind]
        columns[name] = (kind, draw(st.lists(values, min_size=rows, max_size=rows)))
    floats = st.lists(st.floats(-1, 1, width=32), min_size=dim, max_size=dim)
    columns["vec"] = ("vector", draw(st.lists(floats, min_size=rows, max_size=rows)))
    return columns


def read(files: dict[str, bytes]) -> tuple[CollectionSchema, list[dict[str, Any]]]:
    """The rows as an import with the inferred schema stores them."""
    schema = infer(files).schema
    sources = [BytesSource(name, content) for name, content in files.items()]
    request = ReadRequest(sources=sources, schema=schema, batch_bytes=1 << 20)
    reader = format_named(detect(list(files)).name).reader
    conformer = Conformer(schema, [1], 1 if schema.auto_id else None)
    rows: list[dict[str, Any]] = []
    for plan in plan_at_once(reader, request, 1 << 30):
        for batch in reader.read(request, plan.spec):
            rows += conformer.conform(batch).to_pylist()
    return schema, rows


def check(columns: dict[str, tuple[str, list[Any]]], files: dict[str, bytes], *, as_text: bool = False) -> None:
    schema, rows = read(files)
    assert len(rows) == len(columns["vec"][1])
    for name, (kind, values) in columns.items():
        for number, value in enumerate(values):
            row = rows[number]
            if name in schema.names:
                found = row[name]
                if found is not None and schema[name].type == "JSON":
                    found = orjson.loads(found)
            else:
                found = orjson.loads(row[META_FIELD]).get(name)
            assert is_same(kind, value, found, as_text=as_text), (name, kind, value, found, schema)


def is_same(kind: str, value: Any, found: Any, *, as_text: bool) -> bool:
    """Whether the value came back. ``as_text``: the file had its text only, and any reading of that text is right."""
    if value is None or found is None:
        # A CSV cell without text is null where the other cells are numbers.
        return value is found or (as_text and value == "" and found is None)
    if kind == "sparse" and isinstance(found, dict) and "indices" in found:
        return {int(index): weight for index, weight in value.items()} == dict(
            zip(found["indices"], found["values"], strict=True)
        )
    if found == value and isinstance(found, bool) == isinstance(value, bool):
        return True
    if isinstance(found, list) and kind in ("vector", "integers", "doubles"):
        return np.array_equal(np.array(value, np.float32), np.array(found, np.float32))
    if not as_text:
        return False
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(found, str):
        return found in (text, json.dumps(value))
    if isinstance(found, bool):
        return text.strip().lower() == json.dumps(found)
    if isinstance(found, int | float):
        return math.isclose(float(text), found, rel_tol=0) and not text.startswith(("00", "+"))
    parsed = json.loads(text)
    if isinstance(parsed, dict) and isinstance(found, dict) and "indices" in found:
        return is_same("sparse", parsed, found, as_text=False) or parsed == found
    return bool(parsed == found)


@SETTINGS
@given(tables(list(KINDS), nulls=True), st.sampled_from(["json", "jsonl"]))
def test_json(columns: dict[str, tuple[str, list[Any]]], suffix: str) -> None:
    names = list(columns)
    values = [values for _, values in columns.values()]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    if suffix == "json":
        content = json.dumps(rows, ensure_ascii=False)
    else:
        content = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    check(columns, {f"rows.{suffix}": content.encode()})


@SETTINGS
@given(tables(list(KINDS), nulls=True))
def test_csv(columns: dict[str, tuple[str, list[Any]]]) -> None:
    def cell(value: Any) -> str:
        if value is None:
            return ""
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return '"' + text.replace('"', '""') + '"'

    lines = [",".join(map(cell, columns))]
    lines += [",".join(map(cell, row)) for row in zip(*(values for _, values in columns.values()), strict=True)]
    check(columns, {"rows.csv": "\n".join(lines).encode()}, as_text=True)


@SETTINGS
@given(tables([kind for kind in KINDS if kind not in ("mixed", "nested")], nulls=True))
def test_parquet(columns: dict[str, tuple[str, list[Any]]]) -> None:
    def array(kind: str, values: list[Any]) -> pa.Array[Any]:
        if kind == "vector":
            return pa.array(values, pa.list_(pa.float32()))
        if kind in ("object", "sparse"):
            texts = [None if value is None else json.dumps(value) for value in values]
            return pa.array(texts, pa.string())
        plain: pa.Array[Any] = pa.array(values)
        return plain

    table = {name: array(kind, values) for name, (kind, values) in columns.items()}
    # Text that holds objects may become JSON.
    check(columns, {"rows.parquet": parquet(table)}, as_text=True)


@SETTINGS
@given(tables(list(NUMPY_KINDS), nulls=False))
def test_numpy(columns: dict[str, tuple[str, list[Any]]]) -> None:
    types = {"bool": np.bool_, "integer": np.int64, "double": np.float64, "vector": np.float32}
    check(columns, {f"{name}.npy": npy(np.array(values, types[kind])) for name, (kind, values) in columns.items()})


@pytest.mark.parametrize("text", ["007", "1e400", "-0", "+1", "9" * 30])
def test_digits_that_mean_more_than_their_number_stay_text(text: str) -> None:
    rows = f'vec,code\n"{json.dumps([0.5] * 8)}",{text}\n'.encode()
    columns: dict[str, tuple[str, list[Any]]] = {"vec": ("vector", [[0.5] * 8]), "code": ("text", [text])}
    schema, (row,) = read({"rows.csv": rows})
    assert row["code"] == text
    check(columns, {"rows.csv": rows}, as_text=True)
    assert schema["code"].type == "VarChar"

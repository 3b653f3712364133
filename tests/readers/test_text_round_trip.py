"""Whatever rows are written, the text readers give the same rows back, wherever blocks and splits end."""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.domain.schema import CollectionSchema
from penstock.errors import DataError
from penstock.readers.base import Reader
from penstock.readers.csv.reader import CsvReader
from penstock.readers.json.array_reader import JsonReader
from penstock.readers.json.lines_reader import JsonLinesReader
from tests.support.examples import examples
from tests.support.text_files import ALL_TYPES, Found, read_file

DYNAMIC = CollectionSchema(fields=ALL_TYPES.fields, dynamic=True)
FLOAT32_MAX = 3.4028234663852886e38

floats = st.floats(allow_nan=False, allow_infinity=False)
singles = st.floats(-FLOAT32_MAX, FLOAT32_MAX, width=32)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=16)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def pairs(elements: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(elements, min_size=2, max_size=2)


sparse_maps = st.dictionaries(st.integers(0, 2**32 - 2), st.floats(0, 2.0**100, width=32), max_size=4)

rows = st.fixed_dictionaries(
    {
        "id": st.integers(-(2**63), 2**63 - 1),
        "vector": pairs(singles),
        "bool": st.booleans(),
        "int8": st.integers(-128, 127),
        "int16": st.integers(-(2**15), 2**15 - 1),
        "int32": st.integers(-(2**31), 2**31 - 1),
        "float": singles,
        "text": texts,
        "tags": st.lists(st.text(st.characters(codec="ascii"), max_size=16), max_size=4),
        "half": pairs(st.floats(width=16, allow_nan=False, allow_infinity=False)),
        "brain": pairs(st.floats(-(2.0**127), 2.0**127)),
        "bytes": pairs(st.integers(-128, 127)),
        "bits": pairs(st.integers(0, 255)),
        "sparse": sparse_maps,
    },
    optional={
        "int64": st.none() | st.integers(-(2**63), 2**63 - 1),
        "double": st.none() | floats,
        "json": st.none() | st.dictionaries(texts, values, max_size=3) | st.lists(values, max_size=3),
        "counts": st.none() | st.lists(st.integers(-(2**15), 2**15 - 1), max_size=4),
        "$meta": st.dictionaries(st.sampled_from("abc"), values),
    },
)


def brain(number: float) -> float:
    return float(np.float32(number).astype(ml_dtypes.bfloat16).astype(np.float32))


def expected(row: dict[str, Any]) -> dict[str, Any]:
    """The row as canonical types hold it, JSON parsed."""
    order = sorted(row["sparse"])
    return {
        **row,
        "brain": [brain(each) for each in row["brain"]],
        "sparse": {"indices": order, "values": [row["sparse"][index] for index in order]},
        "int64": row.get("int64"),
        "double": 0.5 if row.get("double") is None else row["double"],
        "json": row.get("json"),
        "counts": row.get("counts"),
        "$meta": row.get("$meta", {}),
    }


def found_rows(found: Found) -> list[dict[str, Any]]:
    return [
        {**row, "json": None if row["json"] is None else json.loads(row["json"]), "$meta": json.loads(row["$meta"])}
        for row in found.rows
    ]


def check(reader: Reader, content: str, name: str, wanted: list[dict[str, Any]], **options: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_text(content, encoding="utf-8", newline="")
        found = read_file(reader, path, DYNAMIC, **options)
    assert [str(row) for row in sorted_keys(found_rows(found))] == [str(row) for row in sorted_keys(wanted)]


def sorted_keys(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By their text -0.0 and 0.0, 1 and 1.0 differ, so nothing may be mixed up."""
    return [dict(sorted(row.items())) for row in rows]


def json_row(row: dict[str, Any], index: int) -> dict[str, Any]:
    """A row as a writer may put it: sparse as map or lists, ``$meta`` inside, outside or as text."""
    sparse = {"indices": list(row["sparse"]), "values": list(row["sparse"].values())} if index % 2 else row["sparse"]
    row = {**row, "sparse": sparse}
    if "$meta" in row and index % 3 == 1:
        row.update(row.pop("$meta"))
    elif "$meta" in row and index % 3 == 2:
        row["$meta"] = json.dumps(row["$meta"])
    return row


EXAMPLES = examples(30, 100)
LARGE_INPUT = [HealthCheck.filter_too_much, HealthCheck.data_too_large, HealthCheck.too_slow]

block_sizes = st.integers(1, 400)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=LARGE_INPUT)
@given(st.lists(rows, max_size=4), block_sizes, st.sampled_from([None, 0, 2]), st.booleans(), st.booleans())
def test_json(rows: list[dict[str, Any]], block: int, indent: int | None, ascii_only: bool, wrapped: bool) -> None:
    content: Any = [json_row(row, index) for index, row in enumerate(rows)]
    text = json.dumps({"rows": content} if wrapped else content, indent=indent, ensure_ascii=ascii_only)
    check(JsonReader(block_bytes=block), text, "rows.json", [expected(row) for row in rows], batch_bytes=500)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=LARGE_INPUT)
@given(st.lists(rows, min_size=1, max_size=4), block_sizes, st.integers(20, 2000), st.booleans())
def test_json_lines(rows: list[dict[str, Any]], block: int, split_bytes: int, ascii_only: bool) -> None:
    text = "\n".join(json.dumps(json_row(row, index), ensure_ascii=ascii_only) for index, row in enumerate(rows))
    wanted = [expected(row) for row in rows]
    check(JsonLinesReader(block_bytes=block), text, "rows.jsonl", wanted, split_bytes=split_bytes, batch_bytes=500)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=LARGE_INPUT)
@given(st.lists(rows, min_size=1, max_size=4), block_sizes, st.sampled_from(["", ",", "\n", " ,\n"]))
def test_objects_one_after_the_other(rows: list[dict[str, Any]], block: int, between: str) -> None:
    text = between.join(json.dumps(json_row(row, index), indent=1) for index, row in enumerate(rows))
    check(JsonLinesReader(block_bytes=block), text, "rows.jsonl", [expected(row) for row in rows])


def csv_cell(value: Any, null_key: str) -> str:
    if value is None:
        return null_key
    if isinstance(value, dict):
        return json.dumps({str(key): each for key, each in value.items()})
    return json.dumps(value) if isinstance(value, list) else str(value)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=LARGE_INPUT)
@given(
    st.lists(rows, min_size=1, max_size=4),
    st.integers(1, 3000),
    st.sampled_from(",;\t|"),
    st.sampled_from(["", "NULL", r"\N"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_csv(
    rows: list[dict[str, Any]], block: int, separator: str, null_key: str, line_end: str, all_quoted: bool
) -> None:
    names = [*DYNAMIC.names, "$meta"]
    # Python's writer leaves a lone carriage return unquoted; to a reader that is a line end.
    all_quoted = all_quoted or any("\r" in row["text"] for row in rows)
    out = io.StringIO(newline="")
    writer = csv.writer(
        out,
        delimiter=separator,
        lineterminator=line_end,
        quoting=csv.QUOTE_ALL if all_quoted else csv.QUOTE_MINIMAL,
    )
    writer.writerow(names)
    for row in rows:
        writer.writerow([csv_cell(row.get(name), null_key) for name in names])
    largest = max(map(len, out.getvalue().encode().splitlines(keepends=True))) * 40
    options = {"sep": separator, "nullkey": null_key}
    wanted = [expected(row) for row in rows]
    check(
        CsvReader(block_bytes=block + largest), out.getvalue(), "rows.csv", wanted, options=options, batch_bytes=500
    )


SAMPLE = {
    "rows.json": json.dumps([json_row({"id": 1, "vector": [1, 2.5], "sparse": {1: 2}, "text": 'a"\\'}, 0)] * 2),
    "rows.jsonl": 2 * (json.dumps({"id": 1, "vector": [1, 2.5], "json": {"a": [1]}, "text": 'a"\\'}) + "\n"),
    "rows.csv": 'id,vector,text\r\n1,"[1, 2.5]","a""b"\r\n2,"[1, 2.5]",\r\n',
}


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=LARGE_INPUT)
@given(
    st.sampled_from(
        [("rows.json", JsonReader(7)), ("rows.jsonl", JsonLinesReader(7)), ("rows.csv", CsvReader(4096))]
    ),
    st.lists(
        st.tuples(st.integers(0, 200), st.binary(max_size=3) | st.sampled_from(list(b'{}[]",:\\\n'))), max_size=4
    ),
    st.integers(0, 300),
)
def test_a_damaged_file_gives_rows_or_a_data_error(
    target: tuple[str, Reader], changes: list[tuple[int, bytes | int]], end: int
) -> None:
    name, reader = target
    problem: DataError | None = None
    content = bytearray(SAMPLE[name].encode())
    for position, change in changes:
        content[position : position + 1] = change if isinstance(change, bytes) else bytes([change])
    schema = CollectionSchema(
        fields=tuple(DYNAMIC[name] for name in ("id", "vector", "text", "json"))
        if "csv" not in name
        else tuple(DYNAMIC[name] for name in ("id", "vector", "text")),
        dynamic=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content[:end])
        try:
            found = read_file(reader, path, schema, split_bytes=40)
        except DataError as error:
            problem = error
    if problem is not None:
        assert problem.file == name
        return
    for row in found.rows:
        assert all(math.isfinite(each) for each in row["vector"])

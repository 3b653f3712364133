"""Bad rows are left out with their reasons, in every format, however a file is cut into splits and batches."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError
from penstock.imports.good_rows import BatchConformer
from penstock.imports.mapped_batches import MappedBatches
from penstock.imports.mapping_options import column_mapping_of
from penstock.readers.base import ReadRequest, plan_at_once
from penstock.readers.formats import format_of
from penstock.readers.origins import text_of_origin
from penstock.validation import Conformer
from tests.support.column_files import COLUMN_FILES, VECTOR_FILES, table_of
from tests.support.in_memory import BytesSource

SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2),
        Field(name="text", type=DataType.VARCHAR, max_length=8, nullable=True),
    )
)
LONG, INFINITE = "too long for the field", float("inf")
ROWS = 60


@dataclass(frozen=True)
class Found:
    """The rows of a file that were kept and rejected: by row number the key, and the bad fields."""

    kept: Mapping[int, Any]
    rejected: Mapping[int, list[str | None]]
    origins: Mapping[int, str | None]
    rules: Mapping[int, list[str]]


def read(
    name: str,
    content: bytes,
    schema: CollectionSchema = SCHEMA,
    *,
    split_bytes: int = 1 << 30,
    batch_bytes: int = 1 << 20,
    **options: str,
) -> Found:
    """Read a file as the workers of a job that skips bad rows do."""
    options = {"on_error": "skip_row", **options}
    source = BytesSource(name, content)
    mapping = column_mapping_of(options, schema)
    request = ReadRequest(
        sources=[source],
        schema=mapping.source_schema(schema),
        batch_bytes=batch_bytes,
        options=options,
        excluded_columns=mapping.excluded,
        required_columns=mapping.required({}),
        field_names=schema.names,
    )
    spec = format_of(name)
    assert spec is not None
    kept: dict[int, Any] = {}
    rejected: dict[int, list[str | None]] = {}
    origins: dict[int, str | None] = {}
    rules: dict[int, list[str]] = {}
    first_row = 0
    for file_range in plan_at_once(spec.reader, request, split_bytes):
        conformer = Conformer(schema, [1], 1000 + first_row if schema.auto_id else None)
        steps = BatchConformer(
            schema=schema,
            values={},
            mapping=mapping,
            mapped=MappedBatches(mapping, schema),
            conformer=conformer,
            skips_bad_rows=True,
        )
        rows = done = 0
        for batch in steps.batches(iter(spec.reader.read(request, file_range.spec))):
            assert done <= batch.bytes_read
            done = batch.bytes_read
            numbers = list(range(rows, rows + batch.row_count))
            bad = {reject.row for reject in batch.rejects}
            assert [reject.row for reject in batch.rejects] == sorted(bad)
            keys = batch.batch.column(schema.primary.name).to_pylist()
            good = [number for number in numbers if number not in bad]
            kept |= {first_row + number: key for number, key in zip(good, keys, strict=True)}
            for reject in batch.rejects:
                assert all(error.row == reject.row for error in reject.errors)
                rejected[first_row + reject.row] = [error.field for error in reject.errors]
                rules[first_row + reject.row] = [error.rule_id for error in reject.errors]
                origins[first_row + reject.row] = text_of_origin(reject.origin)
            rows += batch.row_count
        assert rows <= file_range.max_rows, "the next range's ids begin behind these"
        first_row += rows
    return Found(kept, rejected, origins, rules)


def table_with(long: set[int], infinite: set[int], rows: int = ROWS) -> pa.Table:
    """A table whose rows ``long`` have a text that is too long, and those of ``infinite`` a vector that is."""
    table = table_of(rows)
    texts = [LONG if row in long else f"é{row}" for row in range(rows)]
    vectors = np.stack([np.arange(rows), np.arange(rows) / 2], axis=1).astype(np.float32)
    vectors[sorted(infinite), 1] = INFINITE
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 2)
    return table.set_column(1, "vector", lists).set_column(2, "text", pa.array(texts))


def _parquet(table: pa.Table, batch_rows: int) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=batch_rows)
    return sink.getvalue()


def _vector_in_text(vector: list[float]) -> list[float]:
    """JSON has no infinity: a vector of another length instead."""
    return vector if INFINITE not in vector else [*vector, 1.0][:1]


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    return [{**row, "vector": _vector_in_text(row["vector"])} for row in table.to_pylist()]


def _json_lines(table: pa.Table, batch_rows: int) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in _rows(table))


def _json(table: pa.Table, batch_rows: int) -> bytes:
    return orjson.dumps(_rows(table))


def _csv(table: pa.Table, batch_rows: int) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(table.column_names)
    for row in _rows(table):
        writer.writerow([json.dumps(value) if isinstance(value, list) else value for value in row.values()])
    return text.getvalue().encode()


FILES: Mapping[str, Callable[[pa.Table, int], bytes]] = {
    **COLUMN_FILES,
    "parquet": _parquet,
    "jsonl": _json_lines,
    "json": _json,
    "csv": _csv,
}


@pytest.mark.parametrize("extension", FILES)
def test_every_format_leaves_out_its_bad_rows_and_only_those(extension: str) -> None:
    content = FILES[extension](table_with({3, 4, 40}, {4, 17}), 16)

    found = read(f"rows.{extension}", content)

    # A row of JSON is refused at its first bad vector.
    both = ["vector"] if extension in ("json", "jsonl") else ["vector", "text"]
    assert found.rejected == {3: ["text"], 4: both, 17: ["vector"], 40: ["text"]}
    assert found.kept == {row: row for row in range(ROWS) if row not in found.rejected}
    origin = json.loads(found.origins[3] or "")
    assert int(origin["id"]) == 3
    assert origin["text"] == LONG
    assert found.rules[3] == ["text_length"]


@settings(max_examples=25, deadline=None)
@given(
    extension=st.sampled_from(["parquet", "jsonl", "json", "csv", "arrow"]),
    long=st.sets(st.integers(0, ROWS - 1)),
    infinite=st.sets(st.integers(0, ROWS - 1)),
    split_bytes=st.sampled_from([200, 1000, 1 << 30]),
    batch_bytes=st.sampled_from([64, 700, 1 << 20]),
)
def test_kept_and_rejected_rows_are_all_rows_however_a_file_is_cut(
    extension: str, long: set[int], infinite: set[int], split_bytes: int, batch_bytes: int
) -> None:
    content = FILES[extension](table_with(long, infinite), 7)

    found = read(f"rows.{extension}", content, split_bytes=split_bytes, batch_bytes=batch_bytes)

    assert set(found.rejected) == long | infinite
    assert {row for row, fields in found.rejected.items() if "text" in fields} >= long - infinite
    assert found.kept == {row: row for row in range(ROWS) if row not in long | infinite}


@pytest.mark.parametrize("extension", ["fvecs", "fbin"])
def test_files_of_vectors_leave_out_rows_too(extension: str) -> None:
    schema = CollectionSchema(
        fields=(
            Field(name="id", type=DataType.INT64, primary=True),
            Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2),
        ),
        auto_id=True,
    )
    vectors = np.arange(20, dtype=np.float32).reshape(10, 2)
    vectors[6, 0] = INFINITE

    found = read(f"rows.{extension}", VECTOR_FILES[extension](vectors), schema)

    assert found.rejected == {6: ["vector"]}
    assert found.kept == {row: 1000 + row for row in range(10) if row != 6}


def test_ids_of_kept_rows_are_those_of_their_places_in_the_file() -> None:
    schema = CollectionSchema(
        fields=(Field(name="key", type=DataType.INT64, primary=True), *SCHEMA.fields[1:]), auto_id=True
    )
    content = _json_lines(table_with({0, 9}, {1}).drop_columns(["id"]), 1)

    found = read("rows.jsonl", content, schema, split_bytes=300, batch_bytes=100)

    assert found.kept == {row: 1000 + row for row in range(ROWS) if row not in (0, 1, 9)}


def test_lines_that_are_no_json_are_rejected_rows() -> None:
    lines = _json_lines(table_with(set(), set(), 6), 1).splitlines(keepends=True)
    lines[0] = b'{"id": 0, "vector": [0, \n'
    lines[2] = b"not JSON at all\n"
    lines[4] = b'{"id": 4, "text": "x"}\n'

    found = read("rows.jsonl", b"".join(lines))

    assert found.kept == {1: 1, 3: 3, 5: 5}
    assert found.rejected == {0: [None], 2: [None], 4: ["vector"]}
    assert found.origins[2] == "not JSON at all"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.jsonl", "1\n" * 500 + '{"vector": [0, 0]}\n' * 3),
        ("rows.jsonl", "{}" * 500 + '{"vector": [0, 0]}\n' * 3),
        ("rows.json", "[" + "{}," * 500 + '{"vector": [0, 0]}]'),
        ("rows.csv", "vector,text\n" + "x\n" * 500 + '"[0, 0]",a\n' * 3),
        ("rows.jsonl.gz", "1\n" * 500 + '{"vector": [0, 0]}\n' * 3),
    ],
)
def test_ids_are_reserved_for_the_shortest_bad_rows(name: str, text: str) -> None:
    schema = CollectionSchema(
        fields=(Field(name="key", type=DataType.INT64, primary=True), *SCHEMA.fields[1:]), auto_id=True
    )
    content = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()

    for split_bytes in (100, 1 << 30):
        found = read(name, content, schema, split_bytes=split_bytes)
        assert len(found.rejected) == 500


def test_rows_of_csv_with_too_many_or_too_few_cells_are_rejected() -> None:
    text = 'id,vector,text\n0,"[0, 0]",a\n1,"[0, 0]"\n\n2,"[0, 0]","b,\nc",d\n3,"[0, 0]",e\n4,"[0]",f\n'

    found = read("rows.csv", text.encode())

    assert found.kept == {0: 0, 3: 3}
    assert found.rejected == {1: [None], 2: [None], 4: ["vector"]}
    assert found.rules[1] == ["row_width"]
    assert found.origins[1] == '1,"[0, 0]"'
    assert found.origins[4] == '{"id":4,"vector":[0],"text":"f"}'


@pytest.mark.parametrize(
    ("field", "cell", "value"),
    [
        (Field(name="x", type=DataType.INT64), "+007", 7),
        (Field(name="x", type=DataType.INT64), " -0 ", 0),
        (Field(name="x", type=DataType.INT64), "9007199254740993", 9007199254740993),
        (Field(name="x", type=DataType.DOUBLE), ".5", 0.5),
        (Field(name="x", type=DataType.DOUBLE), "-5.e1", -50.0),
        (Field(name="x", type=DataType.BOOL), " T ", True),
        (Field(name="x", type=DataType.TIMESTAMPTZ), " 2024-05-18 ", "2024-05-18"),
        (Field(name="x", type=DataType.TIMESTAMPTZ, nullable=True), "", None),
        (Field(name="x", type=DataType.TIMESTAMPTZ, nullable=True), '""', None),
        (Field(name="x", type=DataType.VARCHAR, max_length=8, nullable=True), "", None),
        (Field(name="x", type=DataType.VARCHAR, max_length=8, nullable=True), '""', ""),
        (Field(name="x", type=DataType.VARCHAR, max_length=8), "", ""),
        (Field(name="x", type=DataType.VARCHAR, max_length=8), '" a,""b"" "', ' a,"b" '),
        (Field(name="x", type=DataType.JSON), '"{""a"": [1, ""b""]}"', {"a": [1, "b"]}),
        (Field(name="x", type=DataType.FLOAT_VECTOR, dim=20_000), f'"{[0.123456] * 20_000}"', [0.123456] * 20_000),
    ],
)
def test_the_good_cells_of_a_rejected_row_of_csv_are_good_in_its_object(field: Field, cell: str, value: Any) -> None:
    schema = CollectionSchema(fields=(*SCHEMA.fields, field))
    text = f'x,id,vector,text\n{cell},1,"[0, 0]",{LONG}\n{cell},1,"[0, 0]",a\n'

    found = read("rows.csv", text.encode(), schema)

    assert (found.kept, found.rejected) == ({1: 1}, {0: ["text"]})
    row = json.loads(found.origins[0] or "")
    assert row.get("x") == value
    again = read("rows.jsonl", json.dumps({**row, "text": "a"}).encode(), schema)
    assert again.kept == {0: 1}


def test_a_null_key_that_is_text_stays_in_the_object_of_a_rejected_row() -> None:
    schema = CollectionSchema(fields=(*SCHEMA.fields, Field(name="x", type=DataType.VARCHAR, max_length=8)))

    found = read("rows.csv", b'x,id,vector,text\nNA,1,"[0]",NA\n', schema, nullkey="NA")

    assert json.loads(found.origins[0] or "") == {"x": "NA", "id": 1, "vector": [0]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.parquet", b"PAR1 is cut off", "cut off"),
        ("rows.json", b'[{"id": 1, "vector": [0, 0]} {"id": 2}]', "comma is missing"),
        ("rows.csv", b'id,vector,text\n0,"[0, 0]","open\n', "never closed"),
        ("rows.csv", b"id,text\n0,a\n", "vector"),
    ],
)
def test_a_file_whose_structure_is_broken_is_an_error(name: str, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(name, content)


def test_a_column_of_the_wrong_type_is_an_error_of_the_file() -> None:
    table = table_of(ROWS).set_column(0, "id", pa.array([f"{row}" for row in range(ROWS)]))

    with pytest.raises(DataError, match="column is string") as refused:
        read("rows.parquet", _parquet(table, 20))

    assert refused.value.is_of_column


def test_casts_of_a_mapping_reject_rows() -> None:
    schema = CollectionSchema(fields=(*SCHEMA.fields, Field(name="year", type=DataType.INT16, nullable=True)))
    table = table_of(ROWS, born=pa.array(["1999" if row % 10 else "long ago" for row in range(ROWS)]))
    mapping = json.dumps({"year": {"column": "born", "cast": "VarChar"}})

    for extension in ("parquet", "jsonl"):
        found = read(f"rows.{extension}", FILES[extension](table, 20), schema, mapping=mapping)

        assert set(found.rejected) == set(range(0, ROWS, 10))
        assert len(found.kept) == ROWS - 6

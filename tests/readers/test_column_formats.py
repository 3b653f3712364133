"""The formats of columns besides Parquet: rows come back in order however a file is cut, and errors say where."""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars
import pyarrow as pa
import pytest

from penstock.domain.jobs import JobWarning
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.errors import DataError, SourceUnavailable
from penstock.inference.infer import infer_schema
from penstock.readers.arrow_ipc import ARROW_IPC
from penstock.readers.base import ReadRequest, SampleRequest, plan_at_once
from penstock.readers.formats import format_of
from penstock.readers.origins import rejected_rows, text_of_origin
from penstock.readers.unknown_columns import UnknownColumns
from penstock.sources.base import Source
from penstock.sources.opening import open_source, unchanged
from penstock.sources.roots import ImportRoots
from penstock.validation import Conformer
from tests.readers.test_shared_values import runs_of
from tests.support.column_files import COLUMN_FILES, table_of
from tests.support.in_memory import BytesSource
from tests.support.inference import parquet
from tests.support.s3 import S3Server

ROWS = 1000
SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2),
        Field(name="text", type=DataType.VARCHAR, max_length=20, nullable=True),
    )
)
DYNAMIC = replace(SCHEMA, dynamic=True)


@dataclass(frozen=True)
class Reading:
    """What a file gave: its canonical rows, its warnings and the number of its file ranges."""

    rows: list[dict[str, Any]]
    warnings: list[JobWarning]
    ranges: int


def read(source: Source, schema: CollectionSchema, split_bytes: int = 1 << 30, **options: Any) -> Reading:
    """Read a file as a job does; what readers promise of batches and ranges is checked."""
    request = ReadRequest(sources=[source], schema=schema, batch_bytes=1 << 12, **options)
    spec = format_of(source.name, request.options.get("from_format", ""))
    assert spec is not None
    plans = plan_at_once(spec.reader, request, split_bytes)
    rows: list[dict[str, Any]] = []
    for plan in plans:
        conformer = Conformer(schema, [1], 1 if schema.auto_id else None)
        count = done = 0
        for batch in spec.reader.read(request, plan.spec):
            assert batch.first_row == count
            assert done <= batch.bytes_read <= plan.size
            assert batch.batch.num_rows
            rows += conformer.conform(batch).to_pylist()
            count, done = count + batch.batch.num_rows, batch.bytes_read
        assert count <= plan.max_rows
        if spec.counts_rows:
            assert count == plan.max_rows
    if rows:
        assert sum(plan.size for plan in plans) == source.size
    return Reading(rows, request.warnings, len(plans))


def read_bytes(name: str, content: bytes, schema: CollectionSchema = SCHEMA, **options: Any) -> Reading:
    return read(BytesSource(name, content), schema, **options)


def failure(name: str, content: bytes, schema: CollectionSchema = SCHEMA, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        read_bytes(name, content, schema, **options)
    assert caught.value.file is not None
    assert caught.value.file.startswith(name)
    return caught.value


def values(rows: list[dict[str, Any]], *names: str) -> list[list[Any]]:
    return [[row[name] for name in names] for row in rows]


EXPECTED = [[number, [number, number / 2], f"é{number}"] for number in range(ROWS)]


@pytest.mark.parametrize("extension", COLUMN_FILES)
@pytest.mark.parametrize("split_bytes", [1 << 30, 4000])
def test_rows_come_back_in_order(extension: str, split_bytes: int) -> None:
    content = COLUMN_FILES[extension](table_of(ROWS), 100)
    found = read_bytes(f"a.{extension}", content, split_bytes=split_bytes)
    assert values(found.rows, "id", "vector", "text") == EXPECTED
    assert found.warnings == []
    assert found.ranges == 1 or split_bytes == 4000


class _FailingFile(io.BytesIO):
    """A file whose disk fails where its middle is read."""

    def read(self, size: int | None = -1, /) -> bytes:
        start = self.tell()
        data = super().read(size)
        if start <= len(self.getbuffer()) // 2 < self.tell():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return data


@dataclass(frozen=True, slots=True)
class _FailingSource(BytesSource):
    def open_arrow(self) -> pa.NativeFile:
        return pa.PythonFile(_FailingFile(self.content), mode="r")


@pytest.mark.parametrize("extension", ["arrow", "arrows", "feather", "npz", "h5", "parquet"])
def test_a_disk_that_fails_is_not_taken_for_a_broken_file(extension: str) -> None:
    """The job tries again, and leaves out neither the file nor its rows."""
    table = table_of(ROWS)
    content = parquet(table) if extension == "parquet" else COLUMN_FILES[extension](table, 100)
    source = _FailingSource(f"a.{extension}", content)
    expected = f"file 'a.{extension}' cannot be read: Input/output error"
    with pytest.raises(SourceUnavailable, match=expected), unchanged([source]):
        read(source, SCHEMA)


@pytest.mark.parametrize("extension", ["arrow", "feather", "orc", "npz"])
def test_files_are_cut(extension: str) -> None:
    content = COLUMN_FILES[extension](table_of(ROWS), 100)
    assert read_bytes(f"a.{extension}", content, split_bytes=2000).ranges > 1


@pytest.mark.parametrize("extension", COLUMN_FILES)
def test_other_columns_are_dynamic_dropped_or_refused(extension: str) -> None:
    content = COLUMN_FILES[extension](table_of(3, more=[1, 2, 3]), 2)
    found = read_bytes(f"a.{extension}", content, DYNAMIC)
    assert [json.loads(row[META_FIELD]) for row in found.rows] == [{"more": number} for number in (1, 2, 3)]
    found = read_bytes(f"a.{extension}", content)
    assert [(warning.code, warning.count) for warning in found.warnings] == [("column_dropped", 3)]
    error = failure(f"a.{extension}", content, unknown_columns=UnknownColumns.ERROR)
    assert error.field == "more"


@pytest.mark.parametrize("extension", COLUMN_FILES)
def test_a_missing_column_is_named(extension: str) -> None:
    content = COLUMN_FILES[extension](table_of(3).rename_columns(["ID", "vector", "text"]), 2)
    error = failure(f"a.{extension}", content)
    assert (error.rule, error.field) == ("value of field 'id' is missed", "id")
    assert error.remedy is not None


@pytest.mark.parametrize("extension", COLUMN_FILES)
def test_a_bad_value_has_its_row(extension: str) -> None:
    longer = table_of(ROWS).set_column(2, "text", pa.array(["a"] * 700 + ["x" * 21] + ["a"] * 299))
    content = COLUMN_FILES[extension](longer, 100)
    error = failure_of_row(extension, content)
    assert (error.row, error.field) == (700, "text")


def failure_of_row(extension: str, content: bytes) -> DataError:
    with pytest.raises(DataError) as caught:
        read_bytes(f"a.{extension}", content)
    return caught.value


@pytest.mark.parametrize("extension", COLUMN_FILES)
def test_what_is_not_of_the_format_is_refused(extension: str) -> None:
    name = f"a.{extension}"
    content = COLUMN_FILES[extension](table_of(ROWS), 100)
    assert failure(name, b"").rule == "the file is empty (0 bytes)"
    for other in (b"id,vector\n1,2\n" * 100, b"PAR1" * 100, content[: len(content) // 2], content[:-9]):
        error = failure(name, other)
        assert error.remedy is not None


@pytest.mark.parametrize("encoding", ["dictionary", "views", "runs"])
def test_rows_that_share_their_values_are_read_together(encoding: str) -> None:
    """Such columns write pandas (categories) and Polars (views): a slice of them is as large as all of it."""
    texts = pa.array([f"{row:010}" for row in range(ROWS)])
    columns: dict[str, Any] = {
        "dictionary": texts.dictionary_encode(),
        "views": pa.array([f"{row:020}" for row in range(ROWS)], pa.string_view()),
        "runs": runs_of(texts),
    }
    table = table_of(ROWS).set_column(2, "text", columns[encoding])
    source = BytesSource("a.arrow", COLUMN_FILES["arrow"](table, ROWS))
    request = ReadRequest(sources=[source], schema=SCHEMA, batch_bytes=1 << 14)
    [plan] = plan_at_once(ARROW_IPC.reader, request, 1 << 30)
    sizes = [each.batch.num_rows for each in ARROW_IPC.reader.read(request, plan.spec)]
    assert sum(sizes) == ROWS
    assert len(sizes) <= 8
    sample = ARROW_IPC.reader.sample(SampleRequest(sources=[source], max_rows=100, max_bytes=1 << 12))
    assert sample.rows > 20


def test_long_texts_of_a_dictionary_are_counted_for_each_row() -> None:
    texts: Any = pa.DictionaryArray.from_arrays(pa.array([0] * ROWS, pa.int32()), pa.array(["a" * 1_000]))
    source = BytesSource("a.arrow", COLUMN_FILES["arrow"](table_of(ROWS).set_column(2, "text", texts), ROWS))
    request = ReadRequest(sources=[source], schema=SCHEMA, batch_bytes=1 << 16)
    [plan] = plan_at_once(ARROW_IPC.reader, request, 1 << 30)
    sizes = [each.batch.num_rows for each in ARROW_IPC.reader.read(request, plan.spec)]
    assert sum(sizes) == ROWS
    assert max(sizes) <= 65


def test_all_that_polars_writes_is_read() -> None:
    """Its texts are views, and so are the values of its categories."""
    rows = 10
    frame = polars.DataFrame(
        {
            "id": range(rows),
            "vector": polars.Series([[row, 0.5] for row in range(rows)], dtype=polars.Array(polars.Float32, 2)),
            "text": [f"é{row}" for row in range(rows)],
            "category": polars.Series(["x", "y"] * 5, dtype=polars.Categorical),
            "tags": [["a", "b"]] * rows,
            "object": [{"key": "a"}] * rows,
        }
    )
    sink = io.BytesIO()
    frame.write_ipc(sink)
    source = BytesSource("a.arrow", sink.getvalue())
    found = read(source, DYNAMIC).rows[1]
    assert (found["vector"], found["text"]) == ([1.0, 0.5], "é1")
    assert json.loads(found[META_FIELD]) == {"category": "y", "tags": ["a", "b"], "object": {"key": "a"}}
    schema = infer_schema({source.name: ARROW_IPC.reader.sample(SampleRequest(sources=[source]))}).schema
    assert schema["category"].type is DataType.VARCHAR
    assert read(source, schema).rows[1]["category"] == "y"


@pytest.mark.parametrize("encoding", ["views", "runs"])
def test_bad_rows_are_found_among_shared_values(encoding: str) -> None:
    texts = pa.array(["a" * (30 if row in (3, 7) else row) for row in range(10)])
    column: Any = texts.cast(pa.string_view()) if encoding == "views" else runs_of(texts)
    lists: Any = pa.array([["b"]] * 10, pa.large_list(pa.string_view()))
    table = table_of(10, more=lists).set_column(2, "text", column)
    source = BytesSource("a.arrow", COLUMN_FILES["arrow"](table, 10))
    request = ReadRequest(sources=[source], schema=DYNAMIC, batch_bytes=1 << 20)
    [plan] = plan_at_once(ARROW_IPC.reader, request, 1 << 30)
    [batch] = ARROW_IPC.reader.read(request, plan.spec)
    bad = Conformer(DYNAMIC, [1]).bad_rows(batch)
    assert bad.rows.tolist() == [3, 7]
    rejects = rejected_rows(bad, 0, batch.batch)
    assert [json.loads(text_of_origin(reject.origin) or "")["text"] for reject in rejects] == ["a" * 30] * 2


@pytest.mark.parametrize("extension", COLUMN_FILES)
def test_a_file_without_rows_has_none(extension: str) -> None:
    assert read_bytes(f"a.{extension}", COLUMN_FILES[extension](table_of(0), 10)).rows == []


def test_all_are_read_from_an_object_store(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    roots = ImportRoots([f"s3://{bucket}"], s3.stores)
    files: Mapping[str, bytes] = {
        f"a.{extension}": write(table_of(ROWS), 100) for extension, write in COLUMN_FILES.items()
    }
    for name, content in files.items():
        s3.put(bucket, name, content)
        [location] = roots.locate(name)
        found = read(open_source(location), SCHEMA, split_bytes=4000)
        assert values(found.rows, "id", "vector", "text") == EXPECTED

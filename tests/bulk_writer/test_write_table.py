"""Existing files and data sets, converted piece by piece."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from penstock.bulk_writer import BulkFileType, LocalBulkWriter, WriteProgress
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError, FileMissing, InvalidParameter, Unsupported
from tests.support.bulk_files import read_files

SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2),
        Field(name="tag", type=DataType.VARCHAR, max_length=8),
    )
)


def table(start: int, stop: int) -> pa.Table:
    numbers = range(start, stop)
    columns: dict[str, Any] = {
        "id": list(numbers),
        "vector": [[float(number), 0.5] for number in numbers],
        "tag": [f"t{number}" for number in numbers],
    }
    return pa.table(columns)


def ids(writer: LocalBulkWriter) -> list[int]:
    return [row["id"] for row in read_files(writer.batch_files, SCHEMA)]


def test_a_folder_as_hugging_face_lays_it_out(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text("A data set.")
    (folder / "dataset_infos.json").write_text("{}")
    pq.write_table(table(0, 3), folder / "data" / "train-00000-of-00002.parquet", row_group_size=1)
    pq.write_table(table(3, 5), folder / "data" / "train-00001-of-00002.parquet")
    told: list[WriteProgress] = []
    with LocalBulkWriter(SCHEMA, tmp_path / "out", progress=told.append) as writer:
        assert writer.write_table(folder) == 5
    assert ids(writer) == [0, 1, 2, 3, 4]
    assert told[0].total_rows == 5


@pytest.mark.parametrize("kind", list(BulkFileType))
def test_import_files_of_every_kind_can_be_converted(tmp_path: Path, kind: BulkFileType) -> None:
    with LocalBulkWriter(SCHEMA, tmp_path / "first", file_type=kind) as first:
        first.append_batch(table(0, 4))
        first.commit()
        first.append_batch(table(4, 6))
    with LocalBulkWriter(SCHEMA, tmp_path / "second", file_type=BulkFileType.JSONL) as second:
        assert second.write_table(str(first.data_path)) == 6
    assert read_files(second.batch_files, SCHEMA) == read_files(first.batch_files, SCHEMA)


def test_arrow_files_and_data_sets(tmp_path: Path) -> None:
    pyarrow.feather.write_feather(table(0, 2), tmp_path / "a.feather")
    with LocalBulkWriter(SCHEMA, tmp_path / "out") as writer:
        writer.write_table(tmp_path / "a.feather")
        writer.write_table(ds.dataset(table(2, 4)))
    assert ids(writer) == [0, 1, 2, 3]


def test_columns_are_chosen_and_renamed(tmp_path: Path) -> None:
    source = table(0, 2).rename_columns(["key", "emb", "tag"]).append_column("more", pa.array([1, 2]))
    pq.write_table(source, tmp_path / "a.parquet")
    with LocalBulkWriter(SCHEMA, tmp_path / "out") as writer:
        with pytest.raises(DataError, match="'key' is not defined in schema") as caught:
            writer.write_table(tmp_path / "a.parquet")
        assert caught.value.file == str(tmp_path / "a.parquet")
        with pytest.raises(DataError, match="there is no column 'embedding'"):
            writer.write_table(tmp_path / "a.parquet", columns={"vector": "embedding"})
        writer.write_table(tmp_path / "a.parquet", columns={"id": "key", "vector": "emb", "tag": "tag"})
    assert ids(writer) == [0, 1]


def test_a_bad_row_is_named_with_its_file(tmp_path: Path) -> None:
    pq.write_table(table(0, 5), tmp_path / "1.parquet")
    bad = table(0, 5).set_column(2, "tag", pa.array(["a", "b", "c", "much too long", "e"]))
    pq.write_table(bad, tmp_path / "2.parquet")
    with LocalBulkWriter(SCHEMA, tmp_path / "out") as writer, pytest.raises(DataError) as caught:
        writer.write_table(tmp_path)
    assert (caught.value.file, caught.value.row, caught.value.field) == (str(tmp_path / "2.parquet"), 3, "tag")


def with_more(tmp_path: Path, kind: str) -> Path:
    """Rows of the schema, with a column more from the second row on (from the first, where rows can't differ)."""
    path = tmp_path / f"in.{kind}"
    rows = [{"id": 1, "vector": [0, 1], "tag": "a"}, {"id": 2, "vector": [0, 1], "tag": "b", "more": 5}]
    if kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif kind == "json":
        path.write_text(json.dumps({"rows": rows}))
    elif kind == "csv":
        path.write_text('id,vector,tag,more\n1,"[0,1]",a,5\n2,"[0,1]",b,5\n')
    else:
        path.mkdir()
        columns: dict[str, Any] = {
            "id": np.arange(1, 3),
            "vector": np.zeros((2, 2), np.float32),
            "tag": ["a", "b"],
            "more": [5, 5],
        }
        for name, values in columns.items():
            np.save(path / f"{name}.npy", values)
    return path


@pytest.mark.parametrize(("kind", "row"), [("jsonl", 1), ("json", 1), ("csv", 0), ("npy", None)])
def test_columns_of_row_formats_that_have_no_field_are_refused(tmp_path: Path, kind: str, row: int | None) -> None:
    path = with_more(tmp_path, kind)
    with LocalBulkWriter(SCHEMA, tmp_path / "out") as writer:
        with pytest.raises(DataError, match="'more' is not defined in schema") as caught:
            writer.write_table(path)
        assert (caught.value.file, caught.value.row, caught.value.field) == (str(path), row, "more")
        assert writer.write_table(path, columns=["id", "vector", "tag"]) == 2
    assert ids(writer) == [1, 2]


def test_a_dynamic_field_keeps_columns_of_row_formats(tmp_path: Path) -> None:
    collection = CollectionSchema(fields=SCHEMA.fields, dynamic=True)
    with LocalBulkWriter(collection, tmp_path / "out") as writer:
        writer.write_table(with_more(tmp_path, "jsonl"))
    assert [row["$meta"] for row in read_files(writer.batch_files, collection)] == ["{}", '{"more":5}']


def test_columns_of_row_formats_are_renamed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('key,vector,tag,more\n7,"[0,1]",a,5\n')
    with LocalBulkWriter(SCHEMA, tmp_path / "out") as writer:
        with pytest.raises(InvalidParameter, match="'colour', which is not a field"):
            writer.write_table(tmp_path / "a.csv", columns={"colour": "more"})
        writer.write_table(tmp_path / "a.csv", columns={"id": "key", "vector": "vector", "tag": "tag"})
    assert ids(writer) == [7]


def test_data_sets_of_hugging_face(tmp_path: Path) -> None:
    class Dataset:
        """The part of ``datasets.Dataset`` that is used."""

        def with_format(self, name: str) -> Dataset:
            assert name == "arrow"
            return self

        def iter(self, batch_size: int) -> Any:
            return iter([table(0, 2), table(2, 3)])

        def __len__(self) -> int:
            return 3

    with LocalBulkWriter(SCHEMA, tmp_path) as writer:
        assert writer.write_table(Dataset()) == 3
    assert ids(writer) == [0, 1, 2]


def test_memory_does_not_grow_with_the_source(tmp_path: Path) -> None:
    wide = CollectionSchema(fields=(SCHEMA.fields[0], Field(name="v", type=DataType.FLOAT_VECTOR, dim=512)))
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(512 * 50_000, np.float32)), 512)
    pq.write_table(pa.table([pa.array(np.arange(50_000)), vectors], ["id", "v"]), tmp_path / "a.parquet")
    before = pa.total_allocated_bytes()
    del vectors
    peaks: list[int] = []
    with LocalBulkWriter(
        wide, tmp_path / "out", progress=lambda _: peaks.append(pa.total_allocated_bytes())
    ) as writer:
        writer.write_table(tmp_path / "a.parquet")
    assert max(peaks) - before < 64 << 20


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda folder: folder / "nothing.parquet", FileMissing),
        (lambda folder: folder, Unsupported),
        (lambda folder: 5, InvalidParameter),
    ],
)
def test_sources_that_cannot_be_read(tmp_path: Path, make: Any, error: type[Exception]) -> None:
    (tmp_path / "in").mkdir()
    with LocalBulkWriter(SCHEMA, tmp_path / "out") as writer, pytest.raises(error):
        writer.write_table(make(tmp_path / "in"))


@pytest.mark.parametrize("kind", list(BulkFileType))
def test_times_and_geometries_of_every_kind_of_file_can_be_converted(tmp_path: Path, kind: BulkFileType) -> None:
    schema = CollectionSchema(
        fields=(
            *SCHEMA.fields,
            Field(name="at", type=DataType.TIMESTAMPTZ, timezone="Asia/Tokyo"),
            Field(name="place", type=DataType.GEOMETRY),
        )
    )
    row = {"id": 1, "vector": [0.5, 1.0], "tag": "a", "at": "2024-05-18T12:00:00", "place": "POINT (1 2)"}
    with LocalBulkWriter(schema, tmp_path / "first", file_type=kind) as first:
        first.append_row(row)
    with LocalBulkWriter(schema, tmp_path / "second", file_type=BulkFileType.JSONL) as second:
        assert second.write_table(str(first.data_path)) == 1
    [[file]] = second.batch_files
    assert json.loads(Path(file).read_text()) == row

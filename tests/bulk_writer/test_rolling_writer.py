"""Chunks: where they end, how their files are called, and what the writer tells about itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.bulk_writer import BulkFileType, LocalBulkWriter, WriteProgress
from penstock.domain.schema import CollectionSchema, DataType, Field
from tests.support.bulk_files import read_files

DIM = 4
ROW_BYTES = 8 + 4 * DIM + 3
"""Key, vector, and a tag of three characters, as they are counted."""

SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=DIM),
        Field(name="tag", type=DataType.VARCHAR, max_length=9),
    )
)


def columns(rows: int) -> dict[str, Any]:
    ids = np.arange(rows)
    return {
        "id": ids,
        "vector": np.repeat(ids, DIM).reshape(-1, DIM).astype(np.float32),
        "tag": [f"{row % 1000:03}" for row in range(rows)],
    }


def row(number: int) -> dict[str, Any]:
    return {"id": number, "vector": [float(number)] * DIM, "tag": f"{number % 1000:03}"}


def rows_of(writer: LocalBulkWriter) -> list[int]:
    return [pq.ParquetFile(group[0]).metadata.num_rows for group in writer.batch_files]


@pytest.mark.parametrize("way", ["rows", "batch"])
def test_a_chunk_ends_after_the_row_that_exceeds_its_size(tmp_path: Path, way: str) -> None:
    with LocalBulkWriter(SCHEMA, tmp_path, chunk_size=10 * ROW_BYTES) as writer:
        if way == "batch":
            writer.append_batch(columns(25))
        else:
            for number in range(25):
                writer.append_row(row(number))
        assert writer.buffer_row_count == 3
        assert writer.buffer_size == 3 * ROW_BYTES
    assert rows_of(writer) == [11, 11, 3]
    assert [file["id"] for file in read_files(writer.batch_files, SCHEMA)] == list(range(25))


@pytest.mark.parametrize(
    ("file_type", "ending"),
    [
        (BulkFileType.PARQUET, "parquet"),
        (BulkFileType.JSON, "json"),
        (BulkFileType.JSONL, "jsonl"),
        (BulkFileType.CSV, "csv"),
    ],
)
def test_names_of_files(tmp_path: Path, file_type: BulkFileType, ending: str) -> None:
    with LocalBulkWriter(SCHEMA, str(tmp_path / "new" / "folder"), file_type=file_type) as writer:
        for _ in range(2):
            writer.append_batch(columns(2))
            writer.commit()
    folder = tmp_path / "new" / "folder" / writer.uuid
    assert writer.data_path == folder
    assert writer.batch_files == [[str(folder / f"1.{ending}")], [str(folder / f"2.{ending}")]]
    assert sorted(path.name for path in folder.iterdir()) == [f"1.{ending}", f"2.{ending}"]


def test_names_of_numpy_files(tmp_path: Path) -> None:
    collection = CollectionSchema(fields=SCHEMA.fields, dynamic=True)
    with LocalBulkWriter(collection, tmp_path, file_type=BulkFileType.NUMPY) as writer:
        writer.append_row({**row(1), "colour": "red"})
    folder = writer.data_path / "1"
    assert writer.batch_files == [[str(folder / name) for name in ("id.npy", "vector.npy", "tag.npy", "$meta.npy")]]
    assert np.load(folder / "vector.npy").tolist() == [[1.0] * DIM]
    assert np.load(folder / "$meta.npy").tolist() == ['{"colour":"red"}']


def test_a_commit_without_rows_counts_but_writes_nothing(tmp_path: Path) -> None:
    with LocalBulkWriter(SCHEMA, tmp_path) as writer:
        writer.commit()
        assert writer.batch_files == []
        writer.append_row(row(1))
        writer.commit()
    assert [Path(batch_file[0]).name for batch_file in writer.batch_files] == ["2.parquet"]


def test_a_writer_without_rows_leaves_no_folder(tmp_path: Path) -> None:
    with LocalBulkWriter(SCHEMA, tmp_path / "data") as writer:
        pass
    assert writer.batch_files == []
    assert list((tmp_path / "data").iterdir()) == []


def test_an_error_in_the_block_leaves_complete_files_only(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="mine"), LocalBulkWriter(SCHEMA, tmp_path) as writer:
        writer.append_batch(columns(3))
        writer.commit(_async=True)
        writer.append_batch(columns(20_000))
        raise RuntimeError("mine")
    assert rows_of(writer) == [3]
    assert [path.name for path in writer.data_path.iterdir()] == ["1.parquet"]


def test_a_forgotten_writer_cleans_up(tmp_path: Path) -> None:
    writer = LocalBulkWriter(SCHEMA, tmp_path)
    writer.append_batch(columns(3))
    del writer
    assert list(tmp_path.iterdir()) == []


def test_call_backs_get_the_names_of_files(tmp_path: Path) -> None:
    told: list[list[str]] = []
    with LocalBulkWriter(SCHEMA, tmp_path) as writer:
        writer.append_row(row(1))
        writer.commit(call_back=told.append)
        writer.append_row(row(2))
        writer.commit(_async=True, call_back=told.append)
    assert told == writer.batch_files


def test_counters_and_repr(tmp_path: Path) -> None:
    with LocalBulkWriter(SCHEMA, tmp_path, segment_size=12345) as writer:
        assert writer.chunk_size == 12345
        writer.append_batch(columns(5))
        writer.append_row(row(5))
        assert (writer.total_row_count, writer.buffer_row_count) == (6, 6)
        assert writer.buffer_size == 6 * ROW_BYTES
        writer.commit()
        assert (writer.total_row_count, writer.buffer_row_count, writer.buffer_size) == (6, 0, 0)
        writer.append_row(row(6))
        size = Path(writer.batch_files[0][0]).stat().st_size
        told = "7 rows, 1 of them pending; 1 chunks,"
        assert repr(writer) == f"<LocalBulkWriter PARQUET at '{writer.data_path}': {told} {size} bytes written>"


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[WriteProgress] = []
    with LocalBulkWriter(SCHEMA, tmp_path, progress=told.append, progress_bar=True) as writer:
        writer.append_batch(columns(5))
    assert told[-1].rows == 5
    assert told[-1].files == 1
    assert told[-1].file_bytes == Path(writer.batch_files[0][0]).stat().st_size


def test_dynamic_values_are_written_before_they_fill_the_memory(tmp_path: Path) -> None:
    told: list[WriteProgress] = []
    collection = CollectionSchema(fields=SCHEMA.fields, dynamic=True)
    with LocalBulkWriter(collection, tmp_path, progress=told.append) as writer:
        for number in range(200):
            writer.append_row({**row(number), "note": "x" * 60_000})
        assert [progress.rows for progress in told] == [140]  # the first with more than 8 MiB


def test_rows_and_batches_keep_their_order(tmp_path: Path) -> None:
    with LocalBulkWriter(SCHEMA, tmp_path) as writer:
        writer.append_row(row(0))
        writer.append_batch(pa.table({"id": [1], "vector": [[1.0] * DIM], "tag": ["001"]}))
        writer.append_row(row(2))
    assert [file["id"] for file in read_files(writer.batch_files, SCHEMA)] == [0, 1, 2]


def test_arrays_may_change_after_append_batch(tmp_path: Path) -> None:
    data = columns(5)
    with LocalBulkWriter(SCHEMA, tmp_path) as writer:
        writer.append_batch(data)
        data["id"][:] = 99
        data["vector"][:] = 99
    read = read_files(writer.batch_files, SCHEMA)
    assert [each["id"] for each in read] == [0, 1, 2, 3, 4]
    assert read[4]["vector"] == [4.0] * DIM


def test_many_small_batches_of_arrays_that_change(tmp_path: Path) -> None:
    """Over several row groups, some of which are still being written when the next arrays come."""
    wide = CollectionSchema(fields=(SCHEMA.fields[0], Field(name="v", type=DataType.FLOAT_VECTOR, dim=2048)))
    ids, vectors = np.empty(500, np.int64), np.empty((500, 2048), np.float32)
    with LocalBulkWriter(wide, tmp_path) as writer:
        for number in range(16):
            ids[:] = np.arange(500 * number, 500 * (number + 1))
            vectors[:] = number
            writer.append_batch({"id": ids, "v": vectors})
        ids[:], vectors[:] = -1, -1
    file = pq.ParquetFile(writer.batch_files[0][0])
    assert file.metadata.num_row_groups > 1
    read: Any = file.read()
    assert read.column("id").to_pylist() == list(range(8_000))
    firsts = np.asarray(read.column("v").combine_chunks().flatten()).reshape(8_000, 2048)[:, 0]
    assert np.array_equal(firsts, np.repeat(np.arange(16), 500))


def as_arrow(rows: int) -> pa.Table:
    data = columns(rows)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(data["vector"].reshape(-1)), DIM)
    return pa.table({"id": data["id"], "vector": vectors, "tag": data["tag"]})


def as_pandas(rows: int) -> pd.DataFrame:
    data = columns(rows)
    return pd.DataFrame({"id": data["id"], "vector": list(data["vector"]), "tag": data["tag"]})


@pytest.mark.parametrize(
    "data",
    [
        columns(9),
        {**columns(9), "vector": columns(9)["vector"].astype(np.float64)},
        {**columns(9), "vector": list(columns(9)["vector"])},
        {**columns(9), "vector": np.asfortranarray(columns(9)["vector"])},
        {**columns(9), "id": columns(9)["id"].astype(">i8"), "tag": np.array(columns(9)["tag"])},
        as_arrow(9),
        as_arrow(9).to_batches()[0],
        as_arrow(9).to_reader(max_chunksize=4),
        [as_arrow(9).slice(0, 5), as_arrow(9).slice(5)],
        iter(as_arrow(9).to_batches(max_chunksize=2)),
        as_pandas(9),
        pl.from_arrow(as_arrow(9)),
        pl.LazyFrame(pl.from_arrow(as_arrow(9))),
    ],
    ids=lambda data: type(data).__name__,
)
def test_what_append_batch_takes(tmp_path: Path, data: Any) -> None:
    with LocalBulkWriter(SCHEMA, tmp_path) as writer:
        writer.append_batch(data)
    assert read_files(writer.batch_files, SCHEMA) == [row(number) for number in range(9)]


def test_frames_with_objects(tmp_path: Path) -> None:
    collection = CollectionSchema(
        fields=(
            *SCHEMA.fields[:2],
            Field(name="tag", type=DataType.VARCHAR, max_length=9, nullable=True),
            Field(name="info", type=DataType.JSON, nullable=True),
            Field(name="sparse", type=DataType.SPARSE_FLOAT_VECTOR),
            Field(name="size", type=DataType.INT32, nullable=True),
        ),
        dynamic=True,
    )
    frame = pd.DataFrame(
        {
            "id": [1, 2],
            "vector": [np.ones(DIM), [2.0] * DIM],
            "tag": ["a", None],
            "info": [{"a": [1, None]}, None],
            "sparse": [{3: 0.5, 1: 2}, {"indices": [7], "values": [1.5]}],
            "size": [5, None],
            "colour": ["red", None],
        }
    )
    with LocalBulkWriter(collection, tmp_path) as writer:
        writer.append_batch(frame)
    assert read_files(writer.batch_files, collection) == [
        {
            "id": 1,
            "vector": [1.0] * DIM,
            "tag": "a",
            "info": '{"a":[1,null]}',
            "sparse": {"indices": [1, 3], "values": [2.0, 0.5]},
            "size": 5,
            "$meta": '{"colour":"red"}',
        },
        {
            "id": 2,
            "vector": [2.0] * DIM,
            "tag": None,
            "info": None,
            "sparse": {"indices": [7], "values": [1.5]},
            "size": None,
            "$meta": "{}",
        },
    ]


def test_row_groups_are_of_moderate_size(tmp_path: Path) -> None:
    wide = CollectionSchema(fields=(SCHEMA.fields[0], Field(name="v", type=DataType.FLOAT_VECTOR, dim=2048)))
    with LocalBulkWriter(wide, tmp_path) as writer:
        for first in range(0, 9_000, 3_000):
            writer.append_batch({"id": np.arange(first, first + 3_000), "v": np.zeros((3_000, 2048), np.float32)})
    file = pq.ParquetFile(writer.batch_files[0][0]).metadata
    assert file.num_rows == 9_000
    assert max(file.row_group(group).num_rows for group in range(file.num_row_groups)) * 2048 * 4 <= 40 << 20

"""Vectors that are read from Parquet pages as they lie: equal to what pyarrow reads, whatever the file is like."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError
from penstock.readers.base import ReadRequest
from penstock.readers.parquet import reader as parquet_reader
from penstock.readers.parquet import vectors as parquet_vectors
from penstock.readers.parquet.levels import are_all, are_lists_of
from penstock.readers.parquet.reader import PARQUET
from penstock.readers.parquet.thrift_compact import Malformed, parse_struct
from tests.support.examples import examples
from tests.support.reading import read_all, request_for

DIM = 64


def schema_of(dim: int = DIM) -> CollectionSchema:
    return CollectionSchema(
        fields=(
            Field(name="id", type=DataType.INT64, primary=True),
            Field(name="vector", type=DataType.FLOAT_VECTOR, dim=dim),
        )
    )


def table(rows: int, dim: int = DIM, kind: pa.DataType | None = None) -> pa.Table:
    values = np.random.default_rng(rows).random((rows, dim), np.float32)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), dim)
    return pa.table({"id": pa.array(range(rows)), "vector": vectors.cast(kind or pa.list_(pa.float32()))})


@pytest.fixture(autouse=True)
def small_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files of tests take the way of large ones, too."""
    monkeypatch.setattr(parquet_vectors, "_MIN_BYTES", 0)


@contextmanager
def columns_by_arrow() -> Iterator[list[tuple[int, list[str]]]]:
    """The columns that pyarrow reads meanwhile, with the rows that it is asked for at once."""
    reads: list[tuple[int, list[str]]] = []
    original = parquet_vectors._by_arrow

    def recorded(file: pq.ParquetFile, number: int, size: int, names: Any) -> Iterator[pa.RecordBatch]:
        reads.append((size, list(names)))
        return original(file, number, size, names)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_vectors, "_by_arrow", recorded)
        yield reads


def read_by_arrow(request: ReadRequest) -> pa.Table:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_reader, "vector_columns", lambda *_: None)
        return read_all(PARQUET.reader, request)


WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    "pyarrow": lambda rows, path: pq.write_table(rows, path, use_dictionary=False),
    "uncompressed": lambda rows, path: pq.write_table(rows, path, use_dictionary=False, compression="none"),
    "lz4": lambda rows, path: pq.write_table(rows, path, use_dictionary=False, compression="lz4"),
    "second version of pages": lambda rows, path: pq.write_table(
        rows, path, use_dictionary=False, data_page_version="2.0"
    ),
    "checksums": lambda rows, path: pq.write_table(rows, path, use_dictionary=False, write_page_checksum=True),
    "pandas": lambda rows, path: rows.to_pandas().to_parquet(path, use_dictionary=False),
    "polars": lambda rows, path: pl.DataFrame(rows).write_parquet(path),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_pages_are_read_as_they_lie(tmp_path: Path, writer: str) -> None:
    rows = table(10_000)
    WRITERS[writer](rows, tmp_path / "a.parquet")
    request = request_for([tmp_path / "a.parquet"], schema_of(), batch_bytes=100_000)
    with columns_by_arrow() as reads:
        read = read_all(PARQUET.reader, request)
    assert read.combine_chunks().equals(pq.read_table(tmp_path / "a.parquet").combine_chunks())
    assert {tuple(names) for _, names in reads} == {("id",)}


def test_what_a_writer_put_into_a_dictionary_first_pyarrow_reads(tmp_path: Path) -> None:
    rows = table(10_000)
    pq.write_table(rows, tmp_path / "a.parquet", dictionary_pagesize_limit=100_000)
    request = request_for([tmp_path / "a.parquet"], schema_of(), batch_bytes=1 << 20)
    with columns_by_arrow() as reads:
        assert read_all(PARQUET.reader, request).combine_chunks().equals(rows.combine_chunks())
    [(leading, _), (_, others)] = reads
    assert 100_000 / DIM / 4 <= leading < 2_000
    assert others == ["id"]


@pytest.mark.parametrize(
    "kind", [pa.large_list(pa.float32()), pa.list_(pa.float32(), DIM), pa.list_(pa.float64()), pa.list_(pa.float16())]
)
def test_lists_keep_the_type_of_the_file(tmp_path: Path, kind: pa.DataType) -> None:
    rows = table(3_000, kind=kind)
    pq.write_table(rows, tmp_path / "a.parquet", use_dictionary=False)
    request = request_for([tmp_path / "a.parquet"], schema_of(), batch_bytes=100_000)
    read = read_all(PARQUET.reader, request)
    assert read.schema.field("vector").type == pq.read_schema(tmp_path / "a.parquet").field("vector").type
    assert read.combine_chunks().equals(pq.read_table(tmp_path / "a.parquet").combine_chunks())


@pytest.mark.parametrize("row", [0, 1_700, 2_999])
@pytest.mark.parametrize("vector", [None, [], [0.5] * (DIM - 1), [0.5] * (DIM + 1), [None, *[0.5] * (DIM - 1)]])
def test_from_an_irregular_page_on_pyarrow_reads(tmp_path: Path, row: int, vector: Any) -> None:
    rows = table(3_000)
    vectors = rows["vector"].to_pylist()
    vectors[row] = vector
    rows = rows.set_column(1, "vector", pa.array(vectors, pa.list_(pa.float32())))
    pq.write_table(rows, tmp_path / "a.parquet", use_dictionary=False, data_page_size=50_000)
    request = request_for([tmp_path / "a.parquet"], schema_of(), batch_bytes=100_000)
    assert read_all(PARQUET.reader, request).combine_chunks().equals(rows.combine_chunks())


@given(data=st.data())
@settings(max_examples=examples(25, 500), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_reads_as_pyarrow_reads_it(tmp_path: Path, data: st.DataObject) -> None:
    draw = data.draw
    dim = draw(st.integers(32, 150))
    count = draw(st.integers(0, 1_500))
    rows = table(count, dim, draw(st.sampled_from([pa.list_(pa.float32()), pa.large_list(pa.float32())])))
    if count and draw(st.booleans()):
        vectors = rows["vector"].to_pylist()
        for row in draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=3)):
            vectors[row] = draw(st.sampled_from([None, [], [1.0], [1.0] * (dim + 1), [None] * dim, [2.0] * dim]))
        rows = rows.set_column(1, "vector", pa.array(vectors, rows["vector"].type))
    path = tmp_path / "a.parquet"
    options: dict[str, Any] = {
        "compression": draw(st.sampled_from(["none", "snappy", "zstd", "lz4", "gzip"])),
        "data_page_version": draw(st.sampled_from(["1.0", "2.0"])),
        "data_page_size": draw(st.integers(1_000, 100_000)),
        "use_dictionary": draw(st.booleans()),
        "dictionary_pagesize_limit": draw(st.integers(1_000, 100_000)),
        "row_group_size": draw(st.integers(100, 2_000)),
        "write_batch_size": draw(st.integers(10, 2_000)),
        "write_page_checksum": draw(st.booleans()),
    }
    pq.write_table(rows, path, **options)
    request = request_for([path], schema_of(dim), batch_bytes=draw(st.integers(1_000, 300_000)))
    outcome, expected = read_all(PARQUET.reader, request), read_by_arrow(request)
    assert outcome.combine_chunks().equals(expected.combine_chunks())


def test_damaged_files_read_as_pyarrow_reads_them(tmp_path: Path) -> None:
    """The same rows, or the same error."""

    def outcome(read: Callable[[ReadRequest], pa.Table], request: ReadRequest) -> Any:
        try:
            rows: Any = read(request).combine_chunks()
        except DataError as error:
            return str(error)
        vectors: Any = rows["vector"].combine_chunks()
        lengths, values = vectors.value_lengths().to_pylist(), vectors.flatten()
        # As bytes: damage makes numbers that are not equal to themselves.
        return rows["id"].to_pylist(), lengths, values.is_null().to_pylist(), values.fill_null(0).to_numpy().tobytes()

    path = tmp_path / "a.parquet"
    seed = random.Random(7)
    regular = 0
    for compression in ("none", "snappy"):
        pq.write_table(table(400), path, use_dictionary=False, compression=compression, data_page_size=20_000)
        good = path.read_bytes()
        for _ in range(examples(150, 3_000)):
            content = bytearray(good)
            for _ in range(seed.randint(1, 3)):
                content[seed.randrange(4, len(content) - 700)] = seed.randrange(256)
            path.write_bytes(content)
            request = request_for([path], schema_of(), batch_bytes=20_000)
            found, expected = outcome(partial(read_all, PARQUET.reader), request), outcome(read_by_arrow, request)
            assert found == expected
            regular += not isinstance(found, str)
    assert regular


def test_levels_of_other_lengths_are_no_vectors() -> None:
    row = bytes([3, 0b11111110, 2 * (DIM - 8), 1])  # eight packed levels, then a run of ones
    assert are_lists_of(DIM, 5 * row, 5 * DIM, 0)
    assert not are_lists_of(DIM, 5 * row, 5 * DIM, 1)
    assert not are_lists_of(DIM + 1, 5 * row, 5 * DIM, 0)
    shorter = bytes([3, 0b11111110, 2 * (DIM - 9), 1])
    assert not are_lists_of(DIM, 3 * row + shorter + row, 5 * DIM - 1, 0)
    assert not are_lists_of(DIM, bytes([0, 1]), 1, 0)
    with pytest.raises(Malformed):
        are_lists_of(DIM, 4 * row, 5 * DIM, 0)


def test_levels_below_the_highest_are_nulls() -> None:
    assert are_all(3, bytes([20, 3]), 10)
    assert not are_all(3, bytes([20, 2]), 10)
    assert are_all(3, bytes([5, 0xFF, 0xFF, 0x0F, 0x00]), 10)  # ten packed levels, the rest is padding
    assert not are_all(3, bytes([5, 0xFF, 0xFF, 0x0E, 0x00]), 10)
    with pytest.raises(Malformed):
        are_all(3, bytes([2, 3]), 10)


@pytest.mark.parametrize(
    "data", [b"", b"\x15", b"\x18\xff\x01", b"\x19\xfc\xff\xff", b"\x1c" * 20, b"\x1f\x00", b"\x15" + b"\xff" * 12]
)
def test_bytes_that_are_no_struct_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_struct(data)

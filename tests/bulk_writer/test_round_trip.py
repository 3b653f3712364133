"""What the writers write is read back equal, for every type and format, from rows and from batches."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.bulk_writer import BulkFileType, LocalBulkWriter
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError
from tests.support.bulk_files import read_files
from tests.support.examples import examples
from tests.support.random_rows import NULL_KEY, arrow, expected, found, rows, schema, some_fields


@pytest.mark.parametrize("way", ["rows", "batch"])
@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize("file_type", list(BulkFileType))
@settings(
    max_examples=examples(6, 15),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_what_is_written_is_read_back(file_type: BulkFileType, nullable: bool, way: str, data: st.DataObject) -> None:
    for_numpy = file_type is BulkFileType.NUMPY
    collection = some_fields(data, schema(nullable=nullable and not for_numpy, for_numpy=for_numpy, dynamic=nullable))
    table_rows = data.draw(rows(collection))
    with tempfile.TemporaryDirectory() as folder:
        with LocalBulkWriter(
            collection, folder, file_type=file_type, config={"nullkey": NULL_KEY}, chunk_size=1 << 20
        ) as writer:
            if way == "batch":
                writer.append_batch(arrow(table_rows, collection))
            else:
                for row in table_rows:
                    writer.append_row(row)
        read = read_files(writer.batch_files, collection, {"nullkey": NULL_KEY})
    assert [found(row, collection) for row in read] == [expected(row, collection) for row in table_rows]


def vector_schema(kind: DataType, dim: int = 4) -> CollectionSchema:
    return CollectionSchema(
        fields=(Field(name="id", type=DataType.INT64, primary=True), Field(name="v", type=kind, dim=dim))
    )


@pytest.mark.parametrize(
    ("kind", "value", "canonical_value"),
    [
        (DataType.FLOAT_VECTOR, np.array([1, 2, 3, 4.5]), [1, 2, 3, 4.5]),
        (DataType.FLOAT_VECTOR, [1, 2, 3, 4], [1, 2, 3, 4]),
        (DataType.FLOAT16_VECTOR, np.array([1, 2, 3, 4.5], np.float16), [1, 2, 3, 4.5]),
        (DataType.FLOAT16_VECTOR, np.array([1, 2, 3, 4.5], np.float16).tobytes(), [1, 2, 3, 4.5]),
        (DataType.BFLOAT16_VECTOR, np.array([1, 2, 3, 4.5], ml_dtypes.bfloat16), [1, 2, 3, 4.5]),
        (DataType.BFLOAT16_VECTOR, [1.0, 2.0, 3.0, 4.5], [1, 2, 3, 4.5]),
        (DataType.INT8_VECTOR, np.array([1, -2, 3, -4], np.int8), [1, -2, 3, -4]),
    ],
)
def test_vectors_may_come_in_several_forms(tmp_path: Path, kind: DataType, value: Any, canonical_value: Any) -> None:
    collection = vector_schema(kind)
    with LocalBulkWriter(collection, tmp_path) as writer:
        writer.append_row({"id": 1, "v": value})
    assert read_files(writer.batch_files, collection) == [{"id": 1, "v": canonical_value}]


@pytest.mark.parametrize(
    "value",
    [
        [1, 0, 1, 0, 1, 0, 1, 0],
        [True, False] * 4,
        b"\xaa",
        np.array([170], np.uint8),
        [170],
        np.array([True, False] * 4),
    ],
)
def test_binary_vectors_are_bits_or_bytes(tmp_path: Path, value: Any) -> None:
    collection = vector_schema(DataType.BINARY_VECTOR, 8)
    with LocalBulkWriter(collection, tmp_path) as writer:
        writer.append_row({"id": 1, "v": value})
    assert read_files(writer.batch_files, collection) == [{"id": 1, "v": [170]}]


TIMES = CollectionSchema(
    fields=(
        *vector_schema(DataType.FLOAT_VECTOR).fields,
        Field(name="at", type=DataType.TIMESTAMPTZ, default="2030-01-01 00:00:00"),
        Field(name="place", type=DataType.GEOMETRY, default="POINT (0 0)"),
    )
)
"""Without an offset a time is in the time zone of the collection, which a writer doesn't know."""
WITHOUT_DEFAULTS = replace(TIMES, fields=tuple(replace(each, default=None) for each in TIMES))


@pytest.mark.parametrize("way", ["rows", "columns", "frame"])
@pytest.mark.parametrize("file_type", [BulkFileType.PARQUET, BulkFileType.CSV])
def test_times_may_come_in_several_forms(tmp_path: Path, file_type: BulkFileType, way: str) -> None:
    at = [
        datetime(2025, 1, 1, 8),
        datetime(2025, 1, 1, tzinfo=UTC),
        datetime(2025, 1, 1, 3, tzinfo=timezone(timedelta(hours=3))),
        date(2025, 1, 1),
        np.datetime64("2025-01-01T08:00:00"),
        "2025-01-01T00:00:00Z",
        "2025-01-01 08:00:00",
        None,
    ]
    data: dict[str, Any] = {
        "id": list(range(len(at))),
        "v": [[0.0] * 4] * len(at),
        "at": at,
        "place": [shapely.Point(1, 2)] * len(at),
    }
    with LocalBulkWriter(TIMES, tmp_path, file_type=file_type) as writer:
        if way == "rows":
            for row in zip(*data.values(), strict=True):
                writer.append_row(dict(zip(data, row, strict=True)))
        else:
            writer.append_batch(data if way == "columns" else pd.DataFrame(data))
    found = read_files(writer.batch_files, WITHOUT_DEFAULTS.in_timezone("Asia/Shanghai"))
    new_year = 1_735_689_600_000_000
    assert [row["at"] for row in found] == [
        *[new_year] * 3,
        new_year - 8 * 3_600_000_000,
        *[new_year] * 3,
        1_893_427_200_000_000,
    ]
    assert {row["place"] for row in found} == {"POINT (1 2)"}


def test_geometries_may_be_binary(tmp_path: Path) -> None:
    with LocalBulkWriter(TIMES, tmp_path) as writer:
        places = pa.array([shapely.to_wkb(shapely.Point(1, 2))], pa.binary())
        writer.append_batch(pa.table({"id": [1], "v": [[0.0] * 4], "place": places}))
    (row,) = read_files(writer.batch_files, WITHOUT_DEFAULTS)
    assert row["place"] == "POINT (1 2)"


@pytest.mark.parametrize(
    ("column", "rule"),
    [
        (pa.array([1735689600]), "the file's column is int64, the field is Timestamptz"),
        (pa.array([1], pa.duration("s")), "the file's column is duration[s], the field is Timestamptz"),
    ],
)
def test_columns_that_are_no_times(tmp_path: Path, column: Any, rule: str) -> None:
    with LocalBulkWriter(TIMES, tmp_path) as writer, pytest.raises(DataError, match=re.escape(rule)):
        writer.append_batch(pa.table({"id": [1], "v": [[0.0] * 4], "at": column}))


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ({"at": "soon"}, "invalid timestamp string: 'soon'"),
        ({"at": 1735689600}, "the value is int, the field is Timestamptz"),
        ({"place": "POINT (1)"}, "no geometry: Expected number"),
        ({"place": b"x"}, "the value is bytes, the field is Geometry"),
    ],
)
def test_no_times_and_no_geometries(tmp_path: Path, value: dict[str, Any], rule: str) -> None:
    with LocalBulkWriter(TIMES, tmp_path) as writer:
        writer.append_row({"id": 1, "v": [0] * 4})
        with pytest.raises(DataError, match=re.escape(rule)):
            writer.append_row({"id": 2, "v": [0] * 4, **value})
        columns = {key: [each] for key, each in value.items()}
        with pytest.raises(DataError, match=re.escape(rule)):
            writer.append_batch({"id": [2], "v": [[0.0] * 4], **columns})


class Colour(str, Enum):  # noqa: UP042 - the text of one is its name
    RED = "red"


@pytest.mark.parametrize("way", ["rows", "batch"])
def test_texts_of_enums_are_their_values(tmp_path: Path, way: str) -> None:
    fields = (*vector_schema(DataType.FLOAT_VECTOR, 2).fields, Field(name="c", type=DataType.VARCHAR, max_length=3))
    collection = CollectionSchema(fields=fields, dynamic=True)
    row = {"id": 1, "v": [0.5, 1.0], "c": Colour.RED, "more": Colour.RED}
    with LocalBulkWriter(collection, tmp_path) as writer:
        if way == "batch":
            writer.append_batch({name: [value] for name, value in row.items()})
        else:
            writer.append_row(row)
    read = read_files(writer.batch_files, collection)
    assert [(found["c"], found["$meta"]) for found in read] == [("red", '{"more":"red"}')]


def test_defaults_are_filled_in(tmp_path: Path) -> None:
    base = vector_schema(DataType.FLOAT_VECTOR)
    tag = Field(name="tag", type=DataType.VARCHAR, max_length=9, default="none", nullable=True)
    collection = CollectionSchema(fields=(*base.fields, tag))
    with LocalBulkWriter(collection, tmp_path) as writer:
        writer.append_row({"id": 1, "v": [0] * 4})
        writer.append_row({"id": 2, "v": [0] * 4, "tag": None})
        writer.append_batch({"id": [3], "v": [[0.0] * 4]})
    assert [row["tag"] for row in read_files(writer.batch_files, collection)] == ["none"] * 3


def test_numpy_leaves_out_fields_without_values(tmp_path: Path) -> None:
    base = vector_schema(DataType.FLOAT_VECTOR)
    tag = Field(name="tag", type=DataType.VARCHAR, max_length=9, nullable=True)
    collection = CollectionSchema(fields=(*base.fields, tag))
    with LocalBulkWriter(collection, tmp_path, file_type=BulkFileType.NUMPY) as writer:
        writer.append_batch({"id": [1, 2], "v": np.zeros((2, 4))})
    assert [Path(each).name for each in writer.batch_files[0]] == ["id.npy", "v.npy"]
    assert [row["tag"] for row in read_files(writer.batch_files, collection)] == [None, None]

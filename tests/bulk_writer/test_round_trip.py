"""What the writers write is read back equal, for every type and format, from rows and from batches."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.bulk_writer import BulkFileType, LocalBulkWriter
from penstock.domain.arrow_schema import canonical_type
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.errors import DataError
from tests.support.bulk_files import read_files

DIM = 8
NULL_KEY = "\\N"
ARRAYS = (DataType.BOOL, DataType.INT8, DataType.INT64, DataType.FLOAT, DataType.DOUBLE, DataType.VARCHAR)


DENSE = tuple(data_type for data_type in DataType if data_type.is_dense_vector)


def sizes(kind: DataType) -> dict[str, Any]:
    return {"dim": DIM} if kind.is_dense_vector else {"max_length": 64} if kind is DataType.VARCHAR else {}


def schema(*, nullable: bool, for_numpy: bool, dynamic: bool) -> CollectionSchema:
    fields = [Field(name="id", type=DataType.INT64, primary=True)]
    for kind in DataType:
        if kind is DataType.ARRAY_OF_STRUCT:
            if not for_numpy:
                parts = [Field(name=f"s_{each.value}", type=each, **sizes(each)) for each in (*ARRAYS, *DENSE)]
                some = {"type": kind, "max_capacity": 3, "nullable": nullable}
                fields += [
                    Field(name=f"structs_{number}", fields=tuple(parts[number::3]), **some)  # type: ignore[arg-type]
                    for number in range(3)
                ]
        elif kind is DataType.ARRAY:
            if for_numpy:
                continue
            for element in ARRAYS:
                fields.append(
                    Field(
                        name=f"array_{element.value}",
                        type=kind,
                        element_type=element,
                        max_length=64,
                        max_capacity=5,
                        nullable=nullable,
                    )
                )
        elif not (for_numpy and kind is DataType.SPARSE_FLOAT_VECTOR):
            fields.append(Field(name=f"f_{kind.value}", type=kind, nullable=nullable, **sizes(kind)))
    return CollectionSchema(fields=tuple(fields), dynamic=dynamic)


def some_fields(data: st.DataObject, whole: CollectionSchema) -> CollectionSchema:
    """The key, a vector, and a few fields by chance: all at once would be too much for one example."""
    chosen = data.draw(st.lists(st.sampled_from(whole.names), min_size=3, max_size=4, unique=True))
    always = ("id", "f_FloatVector")
    return replace(whole, fields=tuple(each for each in whole if each.name in (*always, *chosen)))


def floats(width: int) -> st.SearchStrategy[float]:
    return st.floats(width=width, allow_nan=False, allow_infinity=False)  # type: ignore[arg-type]


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=15).filter(
    lambda text: text != NULL_KEY
)
JSON = st.dictionaries(TEXT, st.one_of(st.integers(-(2**60), 2**60), TEXT, st.none(), st.lists(st.booleans())))
BFLOAT16 = st.one_of(st.integers(0, 0x7F7F), st.integers(0x8000, 0xFF7F)).map(
    lambda bits: float((np.array([bits], np.uint32) << 16).view(np.float32)[0])
)
SCALARS: dict[DataType, st.SearchStrategy[Any]] = {
    DataType.BOOL: st.booleans(),
    DataType.INT8: st.integers(-(2**7), 2**7 - 1),
    DataType.INT16: st.integers(-(2**15), 2**15 - 1),
    DataType.INT32: st.integers(-(2**31), 2**31 - 1),
    DataType.INT64: st.integers(-(2**63), 2**63 - 1),
    DataType.FLOAT: floats(32),
    DataType.DOUBLE: floats(64),
    DataType.VARCHAR: TEXT,
    DataType.TEXT: TEXT,
    DataType.TIMESTAMPTZ: st.datetimes(timezones=st.just(UTC)),
    DataType.GEOMETRY: st.tuples(floats(64), floats(64)).map(lambda xy: shapely.Point(xy[0] + 0.0, xy[1] + 0.0)),
    DataType.JSON: st.one_of(JSON, st.lists(st.integers(-5, 5))),
}
ELEMENTS: dict[DataType, st.SearchStrategy[Any]] = {
    DataType.FLOAT_VECTOR: floats(32),
    DataType.FLOAT16_VECTOR: floats(16),
    DataType.BFLOAT16_VECTOR: BFLOAT16,
    DataType.INT8_VECTOR: st.integers(-128, 127),
}


def values(field: Field) -> st.SearchStrategy[Any]:
    if field.type is DataType.ARRAY:
        assert field.element_type is not None
        return st.lists(SCALARS[field.element_type], max_size=field.max_capacity)
    if field.type is DataType.ARRAY_OF_STRUCT:
        struct = st.fixed_dictionaries({subfield.name: values(subfield) for subfield in field.fields})
        return st.lists(struct, max_size=field.max_capacity)
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        weights = st.floats(0, width=32, allow_nan=False, allow_infinity=False)
        return st.dictionaries(st.integers(0, 2**32 - 2), weights, max_size=4)
    if field.type is DataType.BINARY_VECTOR:
        return st.binary(min_size=DIM // 8, max_size=DIM // 8)
    if field.type.is_vector:
        return st.lists(ELEMENTS[field.type], min_size=DIM, max_size=DIM)
    return SCALARS[field.type]


def rows(collection: CollectionSchema) -> st.SearchStrategy[list[dict[str, Any]]]:
    columns = {
        each.name: st.one_of(st.none(), values(each)) if each.nullable else values(each) for each in collection
    }
    row = st.fixed_dictionaries(columns)
    if collection.dynamic:
        extra = st.dictionaries(st.sampled_from(["colour", "größe", "x y"]), st.one_of(TEXT, st.integers(-9, 9)))
        row = st.tuples(row, extra).map(lambda pair: {**pair[0], **pair[1]})
    return st.lists(row, min_size=1, max_size=6)


def expected(row: dict[str, Any], collection: CollectionSchema) -> dict[str, Any]:
    """Canonical values, JSON parsed."""
    made = {each.name: neutral(canonical(row[each.name], each), each) for each in collection}
    if collection.dynamic:
        made[META_FIELD] = {key: value for key, value in row.items() if collection.get(key) is None}
    return made


def canonical(value: Any, field: Field) -> Any:
    if value is None:
        return None
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        return {"indices": sorted(value), "values": [value[index] for index in sorted(value)]}
    if field.type is DataType.ARRAY_OF_STRUCT:
        return [
            {subfield.name: canonical(struct[subfield.name], subfield) for subfield in field.fields}
            for struct in value
        ]
    if field.type is DataType.TIMESTAMPTZ:
        return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    if field.type is DataType.GEOMETRY:
        return shapely.to_wkt(value, rounding_precision=-1, trim=True)
    return list(value) if field.type is DataType.BINARY_VECTOR else value


def neutral(value: Any, field: Field) -> Any:
    """JSON text parsed, and floats of Python for those of NumPy."""
    if field.type is DataType.JSON and isinstance(value, str):
        return json.loads(value)
    return orjson.loads(orjson.dumps(value)) if field.type is DataType.JSON and value is not None else value


def found(row: dict[str, Any], collection: CollectionSchema) -> dict[str, Any]:
    made = {each.name: neutral(row[each.name], each) for each in collection}
    if collection.dynamic:
        made[META_FIELD] = json.loads(row[META_FIELD])
    return made


def arrow(table_rows: list[dict[str, Any]], collection: CollectionSchema) -> pa.Table:
    """The rows as columns of canonical types, half of a caller's work done."""
    columns: dict[str, Any] = {}
    for each in collection:
        cells = [row[each.name] for row in table_rows]
        if each.type is DataType.JSON:
            cells = [None if cell is None else json.dumps(cell) for cell in cells]
        kind: Any = canonical_type(each)
        if each.type is DataType.TIMESTAMPTZ:
            columns[each.name] = pa.array(cells, pa.timestamp("us", "UTC"))
            continue
        columns[each.name] = pa.array([canonical(cell, each) for cell in cells], kind)
    if collection.dynamic:
        texts = [json.dumps({k: v for k, v in row.items() if collection.get(k) is None}) for row in table_rows]
        columns[META_FIELD] = pa.array(texts)
    return pa.table(columns)


@pytest.mark.parametrize("way", ["rows", "batch"])
@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize("file_type", list(BulkFileType))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
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

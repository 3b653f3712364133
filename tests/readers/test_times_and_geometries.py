"""Times and geometries come back as they were, from files of every format, through the engine."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.domain.times import format_time, parse_time
from penstock.engines.base import Engine
from penstock.engines.lance import LanceEngine
from penstock.errors import DataError
from penstock.readers.base import FormatSpec
from penstock.readers.csv.reader import CSV
from penstock.readers.json.array_reader import JSON
from penstock.readers.json.lines_reader import JSON_LINES
from penstock.readers.numpy import NUMPY
from penstock.readers.parquet.reader import PARQUET
from tests.support.round_trip import round_trip

ZONE = "Asia/Shanghai"
SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2),
        Field(name="at", type=DataType.TIMESTAMPTZ),
        Field(name="later", type=DataType.TIMESTAMPTZ, nullable=True),
        Field(name="soon", type=DataType.TIMESTAMPTZ, default=parse_time("2030-01-01T00:00:00Z")),
        Field(name="place", type=DataType.GEOMETRY),
        Field(name="area", type=DataType.GEOMETRY, nullable=True),
    )
).in_timezone(ZONE)
SETTINGS = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

offsets = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=offsets)
numbers = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)
points = st.tuples(numbers, numbers).map(shapely.Point)
lines = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=5).map(shapely.LineString)
geometries = st.one_of(
    points,
    lines,
    st.tuples(numbers, numbers, numbers).map(shapely.Point),
    st.lists(points, max_size=3).map(shapely.MultiPoint),
    st.lists(st.one_of(points, lines), max_size=3).map(shapely.GeometryCollection),
    st.sampled_from([shapely.Point(), shapely.box(0, 0, 1, 2)]),
)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "at": times,
            "later": st.none() | times,
            "soon": st.none() | times,
            "place": geometries,
            "area": st.none() | geometries,
        }
    ),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    engine = LanceEngine(str(tmp_path_factory.mktemp("times")))
    engine.check()
    return engine


def micros(time: datetime) -> int:
    return (time - EPOCH) // timedelta(microseconds=1)


def wkt(geometry: Any) -> str:
    text: str = shapely.to_wkt(geometry, rounding_precision=-1, trim=True)
    return text


def text_row(number: int, row: dict[str, Any]) -> dict[str, Any]:
    def text(value: Any) -> str | None:
        if isinstance(value, datetime):
            return value.isoformat(" " if number % 2 else "T")
        return None if value is None else wkt(value)

    return {"id": number, "vector": [1, 2], **{name: text(value) for name, value in row.items()}}


def expected(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    default = SCHEMA["soon"].default
    return [
        {
            "id": number,
            "vector": [1.0, 2.0],
            "at": micros(row["at"]),
            "later": row["later"] and micros(row["later"]),
            "soon": micros(row["soon"]) if row["soon"] else default,
            "place": wkt(row["place"]),
            "area": None if row["area"] is None else wkt(row["area"]),
        }
        for number, row in enumerate(given)
    ]


def check(engine: Engine, format: FormatSpec, files: dict[str, bytes], given: list[dict[str, Any]]) -> None:
    found, _ = round_trip(engine, format, files, SCHEMA)
    assert found == expected(given)


@SETTINGS
@given(rows)
def test_json_and_json_lines(engine: Engine, given: list[dict[str, Any]]) -> None:
    texts = [text_row(number, row) for number, row in enumerate(given)]
    check(engine, JSON, {"rows.json": json.dumps(texts).encode()}, given)
    check(engine, JSON_LINES, {"rows.jsonl": "\n".join(map(json.dumps, texts)).encode()}, given)


@SETTINGS
@given(rows)
def test_csv(engine: Engine, given: list[dict[str, Any]]) -> None:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, SCHEMA.names)
    writer.writeheader()
    for number, row in enumerate(given):
        writer.writerow({**text_row(number, row), "vector": "[1, 2]"})
    check(engine, CSV, {"rows.csv": out.getvalue().encode()}, given)


@SETTINGS
@given(rows, st.booleans())
def test_parquet(engine: Engine, given: list[dict[str, Any]], as_text: bool) -> None:
    table = pa.Table.from_pylist([text_row(number, row) for number, row in enumerate(given)])
    if not as_text:
        for name in ("at", "later", "soon"):
            values = [row[name] and micros(row[name]) for row in given]
            column: Any = pa.array(values, pa.timestamp("us", "America/New_York"))
            table = table.set_column(table.column_names.index(name), name, column)
        for name in ("place", "area"):
            binary: Any = pa.array(
                [None if row[name] is None else shapely.to_wkb(row[name]) for row in given], pa.binary()
            )
            extension = pa.field(name, pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"})
            table = table.set_column(table.column_names.index(name), extension, binary)
    sink = io.BytesIO()
    pq.write_table(table, sink)
    check(engine, PARQUET, {"rows.parquet": sink.getvalue()}, given)


@SETTINGS
@given(rows)
def test_numpy(engine: Engine, given: list[dict[str, Any]]) -> None:
    given = [{**row, "later": row["at"], "soon": row["at"], "area": row["place"]} for row in given]
    texts = [text_row(number, row) for number, row in enumerate(given)]
    files = {}
    for name in SCHEMA.names:
        sink = io.BytesIO()
        values = [row[name] for row in texts]
        np.save(sink, np.array(values, np.float32 if name == "vector" else None))
        files[f"{name}.npy"] = sink.getvalue()
    check(engine, NUMPY, files, given)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (pa.array([datetime(2025, 1, 1, 8)], pa.timestamp("s")), "2025-01-01T00:00:00Z"),
        (pa.array([datetime(2025, 1, 1, 8)], pa.timestamp("ms")), "2025-01-01T00:00:00Z"),
        (pa.array([1735718400_000000001], pa.timestamp("ns")), "2025-01-01T00:00:00Z"),
        (pa.array([datetime(2025, 1, 1).date()], pa.date32()), "2024-12-31T16:00:00Z"),
        (pa.array([datetime(2025, 1, 1).date()], pa.date64()), "2024-12-31T16:00:00Z"),
        (pa.array(["2025-01-01"], pa.large_string()), "2024-12-31T16:00:00Z"),
        (pa.array(["2025-01-01 08:00:00"]).dictionary_encode(), "2025-01-01T00:00:00Z"),
    ],
)
def test_arrow_times_without_a_time_zone_are_in_that_of_the_collection(
    engine: Engine, column: Any, text: str
) -> None:
    schema = CollectionSchema(fields=SCHEMA.fields[:3])
    table = pa.table({"id": [1], "vector": [[1, 2]], "at": column})
    sink = io.BytesIO()
    pq.write_table(table, sink, version="2.6", store_schema=True)
    [row], warnings = round_trip(engine, PARQUET, {"rows.parquet": sink.getvalue()}, schema)
    assert format_time(row["at"]) == text
    assert [warning.message for warning in warnings] == (
        ["field 'at': digits of times beyond microseconds were cut off"] if "[ns" in str(column.type) else []
    )


ROW = {"id": 1, "vector": [1, 2], "at": "2025-01-01T00:00:00Z", "place": "POINT (1 2)"}


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"at": "soon"}, "invalid timestamp string: 'soon'. Does not match any known format"),
        ({"at": "2025-01-01T00:00:00+15:00"}, "UTC offset hour 15 is out of the valid range [-12, 14]"),
        ({"at": "0001-01-01T00:00:00+01:00"}, "outside of the years 0001 to 9999"),
        ({"at": 1735689600}, "the value is number, the field is Timestamptz"),
        ({"at": None}, "the field 'at' is not nullable"),
        ({"place": "POINT (1)"}, "no geometry: Expected number but encountered ')'"),
        ({"place": "POLYGON ((0 0, 1 0, 1 1))"}, "do not form a closed linestring"),
        ({"place": ""}, "no geometry"),
        ({"place": "POINT (1 nan)"}, "a coordinate is not a finite number"),
        ({"place": "POINT (1e999 1)"}, "a coordinate is not a finite number"),
        ({"place": "POINT (1 2)\0x"}, "it has a NUL character"),
        ({"place": "CIRCULARSTRING (0 0, 1 1, 2 0)"}, "no geometry"),
        ({"place": "LINEARRING (0 0, 1 1, 1 0, 0 0)"}, "a ring is part of a polygon only"),
        ({"place": "GEOMETRYCOLLECTION (" * 50_000 + ")" * 50_000}, "it nests more than 32 levels deep"),
        ({"place": [1, 2]}, "the field is Geometry"),
    ],
)
@pytest.mark.parametrize("format", [JSON_LINES, CSV, PARQUET], ids=lambda format: format.name)
def test_wrong_values_are_refused_with_their_row(
    engine: Engine, format: FormatSpec, wrong: dict[str, Any], rule: str
) -> None:
    [(name, value)] = wrong.items()
    rows = [ROW, {**ROW, **wrong}]
    if format is JSON_LINES:
        content = "\n".join(map(json.dumps, rows)).encode()
    elif format is CSV:
        if not isinstance(value, str) or "\0" in value:
            pytest.skip("CSV has text only")
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, list(ROW))
        writer.writeheader()
        writer.writerows({**row, "vector": "[1, 2]"} for row in rows)
        content = out.getvalue().encode()
        rule = "the field 'place' is not nullable" if not value else rule
        rule = rule if value else "no"
    else:
        if not isinstance(value, str | None):
            pytest.skip("the types of the rows differ")
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), sink)
        content = sink.getvalue()
    with pytest.raises(DataError) as caught:
        round_trip(engine, format, {"rows": content}, SCHEMA)
    assert rule in caught.value.rule
    assert (caught.value.field, caught.value.row) == (name, 1)


def test_well_known_binary_that_would_nest_without_end_is_refused(engine: Engine) -> None:
    deep = b"\x01\x07\x00\x00\x00\x01\x00\x00\x00" * 100_000 + b"\x01\x01\x00\x00\x00" + bytes(16)
    for value, rule in ((deep, "it has more than 32 collections"), (b"\x01\x09", "no geometry")):
        table = pa.table({"id": [1], "vector": [[1, 2]], "at": ["2025-01-01"], "place": [value]})
        sink = io.BytesIO()
        pq.write_table(table, sink)
        with pytest.raises(DataError, match=rule):
            round_trip(engine, PARQUET, {"rows.parquet": sink.getvalue()}, SCHEMA)

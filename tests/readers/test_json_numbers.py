"""Numbers in JSON fields and dynamic values: what 64 bits or a double hold comes back, what they round is counted,
what they can't hold is refused. The same for files of every format and for what the bulk writer writes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.bulk_writer import BulkFileType, LocalBulkWriter
from penstock.domain.jobs import JobWarning
from penstock.domain.schema import CollectionSchema, DataType, Field
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

SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2),
        Field(name="json", type=DataType.JSON),
    ),
    dynamic=True,
)
KEPT = ["-9223372036854775808", "18446744073709551615", "-0.0", "0.1", "1e308", "5e-324", "1.0", "1e2"]
FORMATS = (PARQUET, JSON, JSON_LINES, CSV, NUMPY)
"""The formats that hold JSON as text."""
ROUNDED = ["18446744073709551616", "-9223372036854775809", "1" + "0" * 300, "123456789012345678901234567890"]
REFUSED = ["1e309", "-1e400", "1" + "0" * 309]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    engine = LanceEngine(str(tmp_path_factory.mktemp("numbers")))
    engine.check()
    return engine


def files(format: FormatSpec, numbers: list[str]) -> dict[str, bytes]:
    """A row per number, which stands in the JSON field and in a dynamic value."""
    texts = [f'{{"n": {number}}}' for number in numbers]
    rows = [
        f'{{"id": {row}, "vector": [1, 2], "json": {text}, "n": {number}}}'
        for row, (text, number) in enumerate(zip(texts, numbers, strict=True))
    ]
    if format is JSON:
        return {"rows.json": f"[{','.join(rows)}]".encode()}
    if format is JSON_LINES:
        return {"rows.jsonl": "\n".join(rows).encode()}
    columns: dict[str, Any] = {"id": list(range(len(texts))), "vector": [[1.0, 2.0]] * len(texts)}
    columns |= {"json": texts, "$meta": texts}
    if format is PARQUET:
        sink = io.BytesIO()
        vectors = pa.array(columns["vector"], pa.list_(pa.float32()))
        pq.write_table(pa.table(columns | {"vector": vectors}), sink)
        return {"rows.parquet": sink.getvalue()}
    if format is NUMPY:
        return {f"{name}.npy": saved(values) for name, values in columns.items()}
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([row, json.dumps(vector), *more] for row, vector, *more in zip(*columns.values(), strict=True))
    return {"rows.csv": out.getvalue().encode()}


def saved(values: list[Any]) -> bytes:
    sink = io.BytesIO()
    np.save(sink, np.asarray(values, np.float32) if isinstance(values[0], list) else np.asarray(values))
    return sink.getvalue()


@pytest.mark.parametrize("format", FORMATS)
def test_what_the_store_holds_comes_back(engine: Engine, format: FormatSpec) -> None:
    found, warnings = round_trip(engine, format, files(format, KEPT), SCHEMA)
    assert [(str(row["json"]["n"]), str(row["$meta"]["n"])) for row in found] == [
        (str(json.loads(number)), str(json.loads(number))) for number in KEPT
    ]
    assert warnings == []


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_rounded_is_counted(engine: Engine, format: FormatSpec) -> None:
    found, warnings = round_trip(engine, format, files(format, ["1", *ROUNDED]), SCHEMA)
    assert [row["json"]["n"] for row in found] == [1, *map(float, ROUNDED)]
    assert [row["$meta"]["n"] for row in found] == [1, *map(float, ROUNDED)]
    rounded = "whole numbers beyond 64 bits in the JSON were rounded to float64"
    assert warnings == [
        JobWarning(code="column_cast", message=f"field '{name}': {rounded}", count=len(ROUNDED))
        for name in ("json", "$meta")
    ]


@pytest.mark.parametrize("number", REFUSED, ids=["1e309", "-1e400", "309 digits"])
@pytest.mark.parametrize("format", FORMATS)
def test_what_a_double_cannot_hold_is_refused(engine: Engine, format: FormatSpec, number: str) -> None:
    with pytest.raises(DataError) as caught:
        round_trip(engine, format, files(format, ["1", number]), SCHEMA)
    assert (caught.value.row, caught.value.field) == (1, "json")
    assert caught.value.rule == "a number in the JSON is out of range for float64 (-1.8e308 to 1.8e308)"


@pytest.mark.parametrize("file_type", [BulkFileType.PARQUET, BulkFileType.JSON, BulkFileType.CSV])
def test_the_bulk_writer_writes_wide_numbers_as_they_are(
    engine: Engine, tmp_path: Path, file_type: BulkFileType
) -> None:
    wide = int(ROUNDED[-1])
    with LocalBulkWriter(SCHEMA, str(tmp_path), file_type=file_type) as writer:
        writer.append_row({"id": 1, "vector": [1, 2], "json": {"n": [wide]}, "n": wide, "$meta": f'{{"m": {wide}}}'})
        writer.commit()
        [[name]] = writer.batch_files
    content = Path(name).read_bytes()
    assert str(wide).encode() in content
    format = {"json": JSON, "csv": CSV, "parquet": PARQUET}[name.rsplit(".", 1)[1]]
    [row], warnings = round_trip(engine, format, {Path(name).name: content}, SCHEMA)
    assert row["json"] == {"n": [float(wide)]}
    assert row["$meta"] == {"n": float(wide), "m": float(wide)}
    assert [warning.count for warning in warnings] == [1, 1]


@pytest.mark.parametrize("depth", [128, 129, 300, 1500])
@pytest.mark.parametrize("format", FORMATS)
def test_json_is_as_deep_as_answers_can_be(engine: Engine, format: FormatSpec, depth: int) -> None:
    # An object stands around the value.
    value = "[" * (depth - 1) + "]" * (depth - 1)
    content = files(format, ["1", value])
    if depth <= 128:
        found, _ = round_trip(engine, format, content, SCHEMA)
        assert found[1]["json"] == {"n": json.loads(value)}
        return
    with pytest.raises(DataError, match="the JSON is nested more than 128 deep") as caught:
        round_trip(engine, format, content, SCHEMA)
    assert caught.value.row == 1


@pytest.mark.parametrize("text", [r'{"a": 1, "a": "\u0022\u0022"}', r'{"a": 1, "a": 2}', r'{"a": {"b": 1, "b": []}}'])
@pytest.mark.parametrize("format", [PARQUET, CSV, NUMPY])
def test_the_last_of_equal_keys_counts(engine: Engine, format: FormatSpec, text: str) -> None:
    """Escaped quotes hid the first of these from the check, and the engine failed."""
    found, _ = round_trip(engine, format, files(format, [text]), SCHEMA)
    assert found[0]["json"] == {"n": json.loads(text)}
    assert found[0]["$meta"] == {"n": json.loads(text)}

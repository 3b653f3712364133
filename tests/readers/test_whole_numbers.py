"""Whole numbers in text follow one rule in JSON, JSON Lines and CSV, which is that of Parquet's floats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.domain.schema import DataType, Field
from penstock.readers.base import FormatSpec
from penstock.readers.csv.reader import CSV
from penstock.readers.json.array_reader import JSON
from penstock.readers.json.lines_reader import JSON_LINES
from tests.support.text_files import column, read_file, schema_of

NUMBER = Field(name="n", type=DataType.INT32)
NUMBERS = Field(name="n", type=DataType.ARRAY, element_type=DataType.INT16, max_capacity=4)
BYTES = Field(name="n", type=DataType.INT8_VECTOR, dim=2)
SPARSE = Field(name="n", type=DataType.SPARSE_FLOAT_VECTOR)


def read(folder: Path, format: FormatSpec, field: Field, value: str) -> Any:
    path = folder / f"rows.{format.extensions[0]}"
    quoted = '"' + value.replace('"', '""') + '"'
    path.write_text(
        {
            JSON: f'[{{"id": 1, "vector": [1, 2], "n": {value}}}]',
            JSON_LINES: f'{{"id": 1, "vector": [1, 2], "n": {value}}}',
            CSV: f'id,vector,n\n1,"[1, 2]",{quoted}\n',
        }[format]
    )
    return column(read_file(format.reader, path, schema_of(field)), "n")[0]


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        (NUMBER, "5.0", 5),
        (NUMBER, "-5.000", -5),
        (NUMBER, "1e3", 1000),
        (NUMBER, "2.5E1", 25),
        (NUMBER, "-0", 0),
        (NUMBER, "-0.0", 0),
        (NUMBERS, "[1.0, 2, 3e2]", [1, 2, 300]),
        (BYTES, "[-128.0, 1]", [-128, 1]),
        (SPARSE, '{"indices": [7.0, 3], "values": [1, 2]}', {"indices": [3, 7], "values": [2.0, 1.0]}),
    ],
)
@pytest.mark.parametrize("format", [JSON, JSON_LINES, CSV])
def test_whole_numbers_with_a_fraction_or_exponent(
    tmp_path: Path, format: FormatSpec, field: Field, text: str, value: Any
) -> None:
    assert read(tmp_path, format, field, text) == value


@pytest.mark.parametrize(("text", "value"), [("+5", 5), ("007", 7), ("+5.0", 5), (" 5 ", 5), ("5.", 5), ("-.0", 0)])
def test_spellings_that_csv_has_beside(tmp_path: Path, text: str, value: int) -> None:
    assert read(tmp_path, CSV, NUMBER, text) == value
    assert read(tmp_path, CSV, Field(name="n", type=DataType.DOUBLE), text) == value


def test_a_column_of_whole_floats_with_nulls(tmp_path: Path) -> None:
    """pandas writes integers so where one is missing."""
    path = tmp_path / "rows.csv"
    path.write_text("id,vector,n\n" + "".join(f'{n},"[1, 2]",{"" if n % 3 else f"{n}.0"}\n' for n in range(30)))
    field = Field(name="n", type=DataType.INT64, nullable=True)
    found = read_file(CSV.reader, path, schema_of(field))
    assert column(found, "n") == [None if n % 3 else n for n in range(30)]
    assert json.dumps(column(found, "id")) == json.dumps(list(range(30)))

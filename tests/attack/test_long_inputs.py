"""Texts that are long rather than broken: work grows with their length, and what is told of them doesn't.

Each took time by the square of its length once, and would take hours: the run's own time limit would end it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.domain.jobs import JobWarning
from penstock.errors import DataError, InvalidFilter
from penstock.filters import parse
from penstock.readers.base import Reader, ReadRequest, plan_at_once
from penstock.readers.csv.reader import CSV
from penstock.readers.json.array_reader import JSON
from penstock.readers.json.lines_reader import JSON_LINES
from penstock.readers.parquet.reader import PARQUET
from tests.support.in_memory import BytesSource
from tests.support.schemas import EVERYTHING, KEY_AND_VECTOR, LENIENT

ROW = '"id": 1, "vector": [1, 2]'


def failure(reader: Reader, content: bytes) -> DataError:
    request = ReadRequest(sources=[BytesSource("data", content)], schema=LENIENT, batch_bytes=1 << 20)
    with pytest.raises(DataError) as raised:
        for plan in plan_at_once(reader, request, 1 << 30):
            list(reader.read(request, plan.spec))
    assert len(str(raised.value)) < 4000
    return raised.value


def warnings(reader: Reader, content: bytes) -> Sequence[JobWarning]:
    request = ReadRequest(sources=[BytesSource("data", content)], schema=KEY_AND_VECTOR, batch_bytes=1 << 20)
    for plan in plan_at_once(reader, request, 1 << 30):
        assert sum(each.batch.num_rows for each in reader.read(request, plan.spec)) == 1
    assert all(len(warning.message) < 1000 for warning in request.warnings)
    return request.warnings


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('text == "' + r"\"" * 1_000_000, "the string is not closed"),
        ("text == '" + r"\'" * 1_000_000, "the string is not closed"),
        ("int8" + " + 1" * 20_000 + " == 2", "it chains too many operators"),
        ("2" + " ** 2" * 20_000 + " == 2", "it chains too many operators"),
        ("not " * 500_000 + "bool == true", "more than 32 levels deep"),
        ("(" * 500_000, "more than 32 levels deep"),
        (" and ".join(["int8 == 1"] * 250_000), "characters outside of lists of constants"),
        ("json['a'] in [" + "[1]," * 500_000 + "1]", "characters outside of lists of constants"),
        ("int8 in [" + "true," * 500_000 + "1]", "characters outside of lists of constants"),
        ("int8 in [" + "1," * 1_000_000 + "x]", "a list holds constants only|unexpected|lists of constants"),
        ("int8 == " + "9" * 100_000, "out of the range"),
    ],
)
def test_a_long_filter(text: str, told: str) -> None:
    with pytest.raises(InvalidFilter, match=told) as raised:
        parse(text, EVERYTHING)
    assert len(str(raised.value)) < 2000


def test_blanks_between_braces_of_a_line() -> None:
    line = "{" + ROW + ', "json": {}' + " " * 2_000_000 + ', "text": ""}\n'
    assert failure(JSON_LINES.reader, (line * 2 + "x").encode()).row == 2


@pytest.mark.parametrize("number", ["1", "1e999"], ids=["the fast way", "the slow way"])
def test_a_key_that_comes_twice_among_many(number: str) -> None:
    many = ", ".join(f'"k{index}": {number}' for index in range(300_000))
    row = f'{{{ROW}, {many}, "twice": 1, "twice": 2}}'
    assert "key=twice" in failure(JSON.reader, f"[{row}]".encode()).rule
    meta = f'{{{ROW}, "$meta": {{{many}, "twice": 1, "twice": 2}}}}'
    rule = failure(JSON.reader, f"[{meta}]".encode()).rule
    assert "key=twice" in rule or "more than 65536 bytes" in rule


def test_a_header_of_many_columns() -> None:
    names = ",".join(f"c{index}" for index in range(65_000))
    assert failure(CSV.reader, f"{names}\n1,2\n".encode()).field == "id"
    assert "twice" in failure(CSV.reader, f"{names},c64999\n".encode()).rule


def test_a_name_as_long_as_a_row() -> None:
    name = "n" * 1_000_000
    assert failure(JSON.reader, f'[{{{ROW}, "parts": [{{"{name}": 1}}]}}]'.encode()).field == "parts"
    failure(JSON.reader, f'{{"{name}": []}}'.encode())
    failure(CSV.reader, f"{name[:400_000]},{name[:400_000]}\n".encode())
    [told] = warnings(JSON.reader, f'[{{{ROW}, "{name}": 1}}]'.encode())
    assert told.message.startswith("column 'nnn")


def test_a_number_as_long_as_a_row() -> None:
    for number in ("9" * 1_000_000, "9" * 400, "1e99999", "0." + "9" * 1_000_000):
        assert failure(JSON.reader, f'[{{{ROW}, "text": {number}}}]'.encode()).field == "text"


def test_columns_without_number(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"id": [1], "vector": [[1.0, 2.0]]}
    columns |= {f"{'n' * 300}{index}": [index] for index in range(1000)}
    pq.write_table(pa.table(columns), tmp_path / "data.parquet")
    told = warnings(PARQUET.reader, (tmp_path / "data.parquet").read_bytes())
    assert len(told) == 101
    assert told[-1].message.startswith("900 further columns")
    # Names are shortened when they are counted: 300 characters of them are the same here.
    [dropped] = warnings(JSON.reader, json.dumps([{**columns, "id": 1, "vector": [1, 2]}]).encode())
    assert dropped.count == 1000

"""The time that a file takes grows in line with its size, whatever it holds: four times the input, not sixteen."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError
from penstock.readers.base import FormatSpec, ReadRequest, plan_at_once
from penstock.readers.csv.reader import CSV
from penstock.readers.json.array_reader import JSON
from penstock.readers.json.lines_reader import JSON_LINES
from penstock.readers.numpy_archive import NUMPY_ARCHIVE
from penstock.validation import Conformer
from tests.support.in_memory import BytesSource

ID = Field(name="id", type=DataType.INT64, primary=True)
VECTOR = Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2)
SPARSE = CollectionSchema(fields=(ID, Field(name="sparse", type=DataType.SPARSE_FLOAT_VECTOR)))
STRICT = CollectionSchema(fields=(ID, VECTOR, Field(name="text", type=DataType.VARCHAR, max_length=9, nullable=True)))
DYNAMIC = CollectionSchema(fields=STRICT.fields, dynamic=True)
STRUCTS = CollectionSchema(
    fields=(
        ID,
        VECTOR,
        Field(
            name="parts",
            type=DataType.ARRAY_OF_STRUCT,
            max_capacity=4096,
            fields=(Field(name="n", type=DataType.INT32), Field(name="m", type=DataType.INT32)),
        ),
    )
)
ROW = {"id": 1, "vector": [1, 2]}
TRIES = 3
LEAST = 0.004
FACTOR = 4
MOST = 9
"""Times what the small input takes; linear is 4, quadratic 16."""


def keys(count: int) -> dict[str, float]:
    return {str(number): 0.5 for number in range(count)}


def text(value: object) -> bytes:
    return json.dumps(value).encode()


def quoted(cell: bytes) -> bytes:
    return b'"' + cell.replace(b'"', b'""') + b'"'


def header(count: int) -> bytes:
    return b"id,vector" + b"".join(b",c%d" % number for number in range(count)) + b"\n"


def archive(count: int) -> bytes:
    file = io.BytesIO()
    others: dict[str, Any] = {f"c{number}": np.arange(2) for number in range(count)}
    np.savez_compressed(file, id=np.arange(2), vector=np.ones((2, 2), np.float32), **others)
    return file.getvalue()


INPUTS: dict[str, tuple[FormatSpec, CollectionSchema, int, Callable[[int], bytes]]] = {
    "sparse map": (JSON_LINES, SPARSE, 10_000, lambda n: text({"id": 1, "sparse": keys(n)})),
    "sparse map in CSV": (CSV, SPARSE, 10_000, lambda n: b"id,sparse\n1," + quoted(text(keys(n)))),
    "dynamic values": (JSON_LINES, DYNAMIC, 3_000, lambda n: text(ROW | keys(n))),
    "dynamic values with a list": (JSON, DYNAMIC, 10_000, lambda n: text([ROW | {"$meta": keys(n)}])),
    "keys that are dropped": (JSON_LINES, STRICT, 10_000, lambda n: text(ROW | keys(n))),
    "rows of different keys": (
        JSON_LINES,
        STRICT,
        100,
        lambda n: b"\n".join(text(ROW | {f"{number}-{key}": 1 for key in range(100)}) for number in range(n)),
    ),
    "long keys": (JSON_LINES, STRICT, 100_000, lambda n: text(ROW | {f"{key}{'k' * n}": 1 for key in range(20)})),
    "keys with NUL": (JSON_LINES, DYNAMIC, 1_000, lambda n: text(ROW | {f"{key}\0": 1 for key in range(n)})),
    "structs": (JSON_LINES, STRUCTS, 1_000, lambda n: text(ROW | {"parts": [{"m": 1, "n": 2}] * n})),
    "keys of a struct": (
        JSON_LINES,
        STRUCTS,
        10_000,
        lambda n: text(ROW | {"parts": [{"n": 1, "m": 2} | keys(n)]}),
    ),
    "newlines": (JSON_LINES, STRICT, 500_000, lambda n: text(ROW) + b"\n" * n + text(ROW)),
    "blank lines": (JSON_LINES, STRICT, 300_000, lambda n: b" \n" * n + text(ROW)),
    "newlines in a list": (JSON, STRICT, 2_000_000, lambda n: b"[" + text(ROW) + b"\n" * n + b"]"),
    "newlines after a list": (JSON, STRICT, 2_000_000, lambda n: b"[" + text(ROW) + b"]" + b"\n" * n),
    "newlines in CSV": (CSV, STRICT, 500_000, lambda n: b'id,vector\n1,"[1,2]"' + b"\n" * n),
    "columns": (CSV, STRICT, 10_000, lambda n: header(n) + b'1,"[1,2]"' + b",1" * n),
    "dynamic columns": (CSV, DYNAMIC, 3_000, lambda n: header(n) + (b'1,"[1,2]"' + b"," * n + b"\n") * 4),
    "line ends in a cell": (
        CSV,
        STRICT,
        100_000,
        lambda n: b'id,vector,text\n1,"[1,2]","' + b'""\n' * n + b'"',
    ),
    "cells with line ends": (CSV, STRICT, 8_000, lambda n: header(n) + b'1,"[1,2]"' + b',"\n"' * n),
    "a cell without end": (CSV, STRICT, 100_000, lambda n: b'id,vector,text\n1,"[1,2]","' + b'""\n' * n),
    "brackets": (JSON_LINES, DYNAMIC, 10_000, lambda n: text(ROW | {"k": [[]] * n})),
    "a long number": (JSON_LINES, DYNAMIC, 500_000, lambda n: text(ROW)[:-1] + b',"k":' + b"9" * n + b"}"),
    "compressed arrays": (NUMPY_ARCHIVE, DYNAMIC, 100, archive),
    "objects on a line": (JSON_LINES, STRICT, 2_000, lambda n: text(ROW) * n),
}


def rows(format: FormatSpec, schema: CollectionSchema, content: bytes) -> Iterator[int]:
    request = ReadRequest(sources=[BytesSource("data", content)], schema=schema, batch_bytes=16 << 20)
    conformer = Conformer(schema, [1])
    for plan in plan_at_once(format.reader, request, 64 << 20):
        for batch in format.reader.read(request, plan.spec):
            yield conformer.conform(batch).num_rows


REFUSED = {
    "brackets",
    "dynamic values",
    "dynamic values with a list",
    "keys of a struct",
    "line ends in a cell",
    "a cell without end",
    "a long number",
}
"""Inputs of which the large one breaks a limit or rule; that is told in no more time."""


def attempt(format: FormatSpec, schema: CollectionSchema, content: bytes) -> tuple[float, bool]:
    """Processor time of the quickest try, and whether the file was refused."""
    best, refused = float("inf"), False
    for _ in range(TRIES):
        started = time.process_time()
        try:
            refused = not sum(rows(format, schema, content))
        except DataError:
            refused = True
        best = min(best, time.process_time() - started)
    return best, refused


@pytest.mark.parametrize("name", INPUTS)
def test_time_grows_in_line_with_the_input(name: str) -> None:
    format, schema, size, make = INPUTS[name]
    small, _ = attempt(format, schema, make(size))
    large, refused = attempt(format, schema, make(FACTOR * size))
    assert refused == (name in REFUSED)
    # What a file costs by itself must not hide that a small one takes no time.
    assert large < MOST * max(small, LEAST)

"""Samples are bounded in rows and bytes, however large the file is."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from penstock.inference.sampling import evenly_spread
from tests.support.inference import npy, parquet, sample

ROWS = 5000
FILES = {
    "a.parquet": parquet({"id": pa.array(range(ROWS)), "t": pa.array(["x" * 100] * ROWS)}, row_group_size=700),
    "a.jsonl": b"".join(b'{"id": %d, "t": "%s"}\n' % (number, b"x" * 100) for number in range(ROWS)),
    "a.json": json.dumps([{"id": number, "t": "x" * 100} for number in range(ROWS)]).encode(),
    "a.csv": b"id,t\n" + b"".join(b"%d,%s\n" % (number, b"x" * 100) for number in range(ROWS)),
    "a.npy": npy(np.full((ROWS, 25), 1.5, np.float32)),
}


@pytest.mark.parametrize("name", FILES)
def test_bounds(name: str) -> None:
    files = {name: FILES[name]}
    for bounds in ({"max_rows": 10}, {"max_bytes": 20_000}):
        found = sample(files, **bounds)
        assert 1 <= found.rows <= (10 if "max_rows" in bounds else 3000)
        assert all(len(values) == found.rows for values in found.columns.values())
        assert not found.is_complete
        assert found.has_all_columns


@pytest.mark.parametrize("name", FILES)
def test_a_whole_file(name: str) -> None:
    found = sample({name: FILES[name]}, max_rows=ROWS, max_bytes=1 << 30)
    if name == "a.parquet":  # of one row group only
        assert (found.rows, found.is_complete) == (700, False)
    else:
        assert (found.rows, found.is_complete) == (ROWS, True)


def test_many_columns() -> None:
    assert not sample({"a.jsonl": b'{"a": 1, "b": 2, "c": 3}'}, max_columns=2).has_all_columns
    assert list(sample({"a.csv": b"a,b,c\n1,2,3\n"}, max_columns=2).columns) == ["a", "b"]
    assert list(sample({"a.parquet": parquet({"a": [1], "b": [2]})}, max_columns=1).columns) == ["a"]


def test_few_of_many_files() -> None:
    assert evenly_spread(range(100), 8) == [0, 14, 28, 42, 56, 70, 84, 99]
    assert evenly_spread("abc", 8) == ["a", "b", "c"]

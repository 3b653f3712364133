"""The first rows of a file as short texts."""

from __future__ import annotations

import pyarrow as pa

from penstock.inference.preview import MAX_ROWS, preview_of
from penstock.readers.base import Sample


def test_values_are_short_texts() -> None:
    column = pa.chunked_array([pa.array([[0.5] * 768, None])])
    sample = Sample(columns={"v": column, "t": ["x" * 500, {"a": [1]}], "b": [True, b"ab"]}, rows=2)
    preview = preview_of(sample)
    assert preview.columns == ["v", "t", "b"]
    assert preview.rows == [("[0.5, 0.5, 0.5, …] 768", "x" * 119 + "…", "true"), (None, '{"a":[1]}', "2 bytes")]


def test_ten_rows_are_enough() -> None:
    times = pa.chunked_array([pa.array([2**62] * 100, pa.timestamp("us"))])
    preview = preview_of(Sample(columns={"n": list(range(100)), "far": times}, rows=100))
    assert len(preview.rows) == MAX_ROWS
    assert preview.rows[3][0] == "3"

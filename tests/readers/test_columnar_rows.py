"""Rows of columnar formats, kept as Arrow: their texts, sizes, and what is stored of them."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

from penstock.readers.columnar_rows import MAX_ROW_BYTES, ColumnarRows
from penstock.readers.origins import origins_of, text_of_origin

BATCH = pa.RecordBatch.from_pydict(
    {
        "id": pa.array(range(200), pa.int64()),
        "vector": pa.array([[row / 2, float("nan")] for row in range(200)], pa.list_(pa.float32())),
        "text": pa.array([None if row % 2 else f"é{row}" for row in range(200)]),
    }
)


def test_rows_have_the_same_texts_once_they_were_stored() -> None:
    origins = origins_of(BATCH, np.array([3, 100, 150]))
    texts = [json.loads(text_of_origin(origin) or "") for origin in origins]
    assert texts == [
        {"id": 3, "vector": [1.5, "nan"]},
        {"id": 100, "vector": [50.0, "nan"], "text": "é100"},
        {"id": 150, "vector": [75.0, "nan"], "text": "é150"},
    ]
    rows = origins[0].rows
    assert rows is not None
    stored = ColumnarRows.from_bytes(rows.to_bytes(2))
    assert [json.loads(stored.text(place)) for place in range(2)] == texts[:2]
    assert stored.column_texts("id") == ["3", "100"]
    assert stored.column_texts("absent") == [None, None]


def test_texts_are_right_in_any_order() -> None:
    rows = ColumnarRows(BATCH)
    assert [json.loads(rows.text(place))["id"] for place in (199, 0, 63, 64, 1)] == [199, 0, 63, 64, 1]


def test_rejected_rows_do_not_keep_their_batch_in_memory() -> None:
    (origin,) = origins_of(BATCH, np.array([7]))
    assert origin.rows is not None
    assert origin.rows.batch.get_total_buffer_size() < BATCH.get_total_buffer_size() / 10


def test_rejected_rows_do_not_keep_the_dictionary_that_they_share_with_others() -> None:
    texts = pa.array([f"{row}" * 1_000 for row in range(500)]).dictionary_encode()
    (origin,) = origins_of(pa.record_batch({"text": texts}), np.array([7]))
    assert origin.rows is not None
    assert origin.rows.batch.get_total_buffer_size() < 10_000
    assert len(origin.rows.to_bytes(1)) < 10_000
    assert json.loads(text_of_origin(origin) or "") == {"text": "7" * 1_000}


def test_a_row_that_is_too_long_is_not_kept() -> None:
    batch = pa.RecordBatch.from_pydict({"text": ["a" * (MAX_ROW_BYTES + 1), "b"]})
    long, short = origins_of(batch, np.array([0, 1]))
    assert (text_of_origin(long), text_of_origin(short)) == (None, '{"text":"b"}')

"""Good Parquet files of every codec, encoding and page format that pyarrow writes, to be broken."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["parquet_files"]

_ROWS = 12
_WRITINGS: Sequence[Mapping[str, Any]] = (
    {},
    {"compression": "none", "use_dictionary": False},
    {"compression": "zstd", "data_page_version": "2.0"},
    {"compression": "gzip", "row_group_size": 5, "write_page_index": True},
    {"compression": "lz4", "data_page_size": 64, "write_page_checksum": True},
    {"compression": "brotli", "version": "1.0"},
    {"use_dictionary": False, "column_encoding": {"id": "DELTA_BINARY_PACKED", "text": "DELTA_BYTE_ARRAY"}},
    {"use_dictionary": False, "column_encoding": {"id": "BYTE_STREAM_SPLIT", "text": "DELTA_LENGTH_BYTE_ARRAY"}},
    {"store_schema": False, "write_statistics": False},
)


@cache
def parquet_files(small: bool) -> Sequence[bytes]:
    """One file per way of writing, of the three columns that collections have at least, or of all kinds."""
    table = _table()
    return [_written(table.select(["id", "vector", "text"]) if small else table, way) for way in _WRITINGS]


def _written(table: pa.Table, way: Mapping[str, Any]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **way)
    return sink.getvalue()


def _table() -> pa.Table:
    count = range(_ROWS)
    pairs = pa.list_(pa.float32())
    struct = pa.struct([("word", pa.string()), ("count", pa.int32()), ("place", pairs)])
    return pa.table(
        {
            "id": pa.array(count, pa.int64()),
            "vector": pa.array([[float(n), 1.0] for n in count], pairs),
            "bool": pa.array([n % 2 == 0 for n in count]),
            "int8": pa.array(count, pa.int8()),
            "int16": pa.array(count, pa.uint8()),
            "int32": pa.array(count, pa.int64()),
            "int64": pa.array([None if n % 3 else n for n in count], pa.int32()),
            "float": pa.array([float(n) for n in count], pa.float64()),
            "double": pa.array([float(n) for n in count], pa.float32()),
            "text": pa.array([f"text {n % 5}" for n in count], pa.large_string()),
            "json": pa.array(['{"a": 1}' for _ in count]).dictionary_encode(),
            "tags": pa.array([["a"] * (n % 4) for n in count], pa.list_(pa.string())),
            "counts": pa.array([[n, -1] for n in count], pa.list_(pa.int16())),
            "half": pa.array([[1.0, 2.0] for _ in count], pa.list_(pa.float32(), 2)),
            "brain": pa.array([b"\0\0\0\0" for _ in count], pa.binary(4)),
            "bytes": pa.array([[1, -1] for _ in count], pa.list_(pa.int8())),
            "bits": pa.array([b"\x01\xff" for _ in count], pa.binary()),
            "sparse": pa.array([{"indices": [n], "values": [0.5]} for n in count]),
            "parts": pa.array([[{"word": "a", "count": n, "place": [1.0, 2.0]}] for n in count], pa.list_(struct)),
            "$meta": pa.array(['{"k": 1}' for _ in count]),
            "other": pa.array(np.arange(_ROWS), pa.uint64()),
        }
    )

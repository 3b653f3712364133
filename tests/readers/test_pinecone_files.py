"""Parquet files as Pinecone's import takes them, read unchanged: docs/drop-in.md says so."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.lance import LanceEngine
from penstock.readers.parquet.reader import PARQUET
from tests.support.round_trip import round_trip

SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.VARCHAR, primary=True, max_length=64),
        Field(name="values", type=DataType.FLOAT_VECTOR, dim=2),
        Field(name="sparse_values", type=DataType.SPARSE_FLOAT_VECTOR, nullable=True),
        Field(name="metadata", type=DataType.JSON, nullable=True),
    ),
)
SPARSE = pa.struct([("indices", pa.list_(pa.uint32())), ("values", pa.list_(pa.float32()))])


def test_pinecone_files_are_read_unchanged(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": ["a", "b"],
            "values": pa.array([[1, 2], [3, 4]], pa.list_(pa.float32())),
            "sparse_values": pa.array([{"indices": [7, 3], "values": [0.5, 1.5]}, None], SPARSE),
            "metadata": ['{"year": 1999, "genres": ["drama"]}', None],
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file)
    engine = LanceEngine(str(tmp_path))
    engine.check()
    rows, warnings = round_trip(engine, PARQUET, {"part.parquet": file.getvalue()}, SCHEMA)
    assert rows == [
        {
            "id": "a",
            "values": [1, 2],
            "sparse_values": {"indices": [3, 7], "values": [1.5, 0.5]},
            "metadata": {"year": 1999, "genres": ["drama"]},
        },
        {"id": "b", "values": [3, 4], "sparse_values": None, "metadata": None},
    ]
    assert warnings == []

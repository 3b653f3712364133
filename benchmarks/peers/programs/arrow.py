"""Files as Arrow batches, as fast as a client of an embedded store can have them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["BATCH_ROWS", "read_arrays", "read_batches", "schema_of"]

BATCH_ROWS = 8192


def schema_of(dim: int) -> pa.Schema:
    return pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), dim))])


def read_batches(path: Path, dim: int) -> Iterator[pa.RecordBatch]:
    """Batches with the columns ``id`` and ``vector``, the vectors as fixed-size lists, without copying."""
    for ids, vectors in read_arrays(path, dim):
        lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), dim)
        yield pa.record_batch([pa.array(ids), lists], schema=schema_of(dim))


def read_arrays(path: Path, dim: int) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
    """Ids of shape (n,) and vectors of shape (n, dim), float32, batch by batch.

    ``path`` is a Parquet file, or a folder with ``id.npy`` and ``vector.npy``.
    """
    if path.is_dir():
        ids, vectors = (np.load(path / f"{name}.npy", mmap_mode="r") for name in ("id", "vector"))
        for start in range(0, len(ids), BATCH_ROWS):
            part = slice(start, start + BATCH_ROWS)
            yield np.asarray(ids[part]), np.asarray(vectors[part])
        return
    for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS, columns=["id", "vector"]):
        lists: Any = batch.column("vector")
        yield batch.column("id").to_numpy(), lists.flatten().to_numpy().reshape(-1, dim)

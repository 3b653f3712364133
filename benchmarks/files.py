"""Files of random vectors in every format that is measured: an ``id`` (int64) and a ``vector`` (float32)."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["CHUNK", "WRITERS", "write_blocks", "write_jsonl", "write_parquet"]

CHUNK = 10_000


def vectors(rows: int, dim: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(rows).random((rows, dim), dtype=np.float32)


def number_list(vector: npt.NDArray[np.float32]) -> str:
    """``[0.5, 0.25]``, with as few digits as tell each float32 from its neighbours."""
    return orjson.dumps(vector, option=orjson.OPT_SERIALIZE_NUMPY).decode().replace(",", ", ")


def write_parquet(path: Path, rows: int, dim: int, first: int = 0) -> None:
    """Random vectors in row groups of some ten thousand rows; ids from ``first``."""
    starts = range(first, first + rows, CHUNK)
    counts = (min(CHUNK, first + rows - start) for start in starts)
    blocks = (
        np.random.default_rng(start).random((count, dim), dtype=np.float32)
        for start, count in zip(starts, counts, strict=True)
    )
    write_blocks(path, blocks, first)


def write_blocks(path: Path, blocks: Iterable[npt.NDArray[np.float32]], first: int = 0) -> None:
    """Vectors as Parquet, as users' files are: ``list<float>``, snappy, a row group per block; ids from ``first``."""
    schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32()))])
    with pq.ParquetWriter(path, schema) as writer:
        for block in blocks:
            offsets = np.arange(0, block.size + 1, block.shape[1], dtype=np.int32)
            lists: Any = pa.ListArray.from_arrays(pa.array(offsets), pa.array(block.reshape(-1)))  # type: ignore[call-overload]
            writer.write_table(pa.table([pa.array(np.arange(first, first + len(block))), lists], schema=schema))
            first += len(block)


def write_jsonl(path: Path, rows: int, dim: int) -> None:
    with path.open("w") as file:
        for number, vector in enumerate(vectors(rows, dim)):
            text = number_list(vector)
            file.write(f'{{"id": {number}, "vector": {text}}}\n')


def write_json(path: Path, rows: int, dim: int) -> None:
    with path.open("w") as file:
        for number, vector in enumerate(vectors(rows, dim)):
            text = number_list(vector)
            file.write(f'{"," if number else "["}\n{{"id": {number}, "vector": {text}}}')
        file.write("\n]\n")


def write_csv(path: Path, rows: int, dim: int) -> None:
    with path.open("w") as file:
        file.write("id,vector\n")
        for number, vector in enumerate(vectors(rows, dim)):
            text = number_list(vector)
            file.write(f'{number},"{text}"\n')


def write_numpy(path: Path, rows: int, dim: int) -> None:
    path.mkdir()
    np.save(path / "id.npy", np.arange(rows))
    np.save(path / "vector.npy", vectors(rows, dim))


def write_jsonl_gz(path: Path, rows: int, dim: int) -> None:
    with gzip.open(path, "wb") as file:
        for number, vector in enumerate(vectors(rows, dim)):
            file.write(f'{{"id": {number}, "vector": {number_list(vector)}}}\n'.encode())


def write_npz(path: Path, rows: int, dim: int) -> None:
    np.savez(path, id=np.arange(rows), vector=vectors(rows, dim))


def write_arrow(path: Path, rows: int, dim: int) -> None:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors(rows, dim).reshape(-1)), dim)
    table = pa.table({"id": pa.array(np.arange(rows)), "vector": lists})
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=CHUNK)


def write_hdf5(path: Path, rows: int, dim: int) -> None:
    import h5py  # not in the environments of other programs

    with h5py.File(path, "w") as file:
        file["id"] = np.arange(rows)
        file["vector"] = vectors(rows, dim)


def write_fvecs(path: Path, rows: int, dim: int) -> None:
    """Vectors alone: for a collection that generates its keys."""
    dimensions = np.full((rows, 1), dim, "<i4").view("<f4")
    np.hstack([dimensions, vectors(rows, dim)]).tofile(path)


WRITERS: dict[str, Callable[[Path, int, int], None]] = {
    "parquet": write_parquet,
    "jsonl": write_jsonl,
    "json": write_json,
    "csv": write_csv,
    "npy": write_numpy,
    "jsonl.gz": write_jsonl_gz,
    "npz": write_npz,
    "arrow": write_arrow,
    "h5": write_hdf5,
    "fvecs": write_fvecs,
}

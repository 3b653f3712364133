"""Files of the formats of columns, from the same columns: Arrow IPC, ORC, Avro, HDF5, npz, and files of vectors."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import fastavro
import h5py
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import orc

__all__ = ["COLUMN_FILES", "VECTOR_FILES", "hdf5_file", "table_of"]

Vectors = npt.NDArray[Any]


def table_of(rows: int, **more: Any) -> pa.Table:
    """``rows`` rows with an ``id``, a ``vector`` of two floats, a ``text`` and ``more`` columns."""
    numbers = np.arange(rows)
    vectors = np.stack([numbers, numbers / 2], axis=1).astype(np.float32)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 2)
    texts = pa.array([f"é{number}" for number in range(rows)], pa.string())
    columns: dict[str, Any] = {"id": pa.array(numbers), "vector": lists, "text": texts}
    return pa.table(columns | more)


def _arrow(table: pa.Table, batch_rows: int) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=batch_rows)
    return sink.getvalue()


def _arrow_stream(table: pa.Table, batch_rows: int) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=batch_rows)
    return sink.getvalue()


def _feather(table: pa.Table, batch_rows: int) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table, max_chunksize=batch_rows)
    return sink.getvalue()


def _orc(table: pa.Table, batch_rows: int) -> bytes:
    vectors: Any = table.column("vector")
    plain = table.set_column(1, "vector", vectors.cast(pa.list_(pa.float32())))
    sink = io.BytesIO()
    with orc.ORCWriter(sink, stripe_size=1) as writer:
        for start in range(0, max(1, table.num_rows), batch_rows):
            writer.write(plain.slice(start, batch_rows))
    return sink.getvalue()


def _avro(table: pa.Table, batch_rows: int) -> bytes:
    types = {"id": "long", "vector": {"type": "array", "items": "float"}, "text": ["null", "string"]}
    fields = [{"name": name, "type": types.get(name, ["null", "long"])} for name in table.column_names]
    sink = io.BytesIO()
    schema = {"type": "record", "name": "row", "fields": fields}
    fastavro.writer(sink, schema, table.to_pylist(), codec="deflate", sync_interval=16 * batch_rows)
    return sink.getvalue()


def _arrays(table: pa.Table) -> dict[str, Any]:
    arrays: dict[str, Any] = {name: np.array(table.column(name).to_pylist()) for name in table.column_names}
    return arrays | {"vector": np.array(table.column("vector").to_pylist(), np.float32).reshape(-1, 2)}


def _npz(table: pa.Table, batch_rows: int) -> bytes:
    del batch_rows
    sink = io.BytesIO()
    np.savez(sink, **_arrays(table))
    return sink.getvalue()


def hdf5_file(**arrays: Any) -> bytes:
    """A file of data sets; an array may be a pair with the options of h5py's ``create_dataset``."""
    sink = io.BytesIO()
    with h5py.File(sink, "w") as file:
        for name, array in arrays.items():
            values, options = array if isinstance(array, tuple) else (array, {})
            file.create_dataset(name, data=values, **options)
    return sink.getvalue()


def _hdf5(table: pa.Table, batch_rows: int) -> bytes:
    arrays = _arrays(table)
    texts = table.column("text").to_pylist()
    tiles = {"chunks": (batch_rows, 2), "maxshape": (None, 2), "compression": "gzip"}
    return hdf5_file(**{**arrays, "text": texts, "vector": (arrays["vector"], tiles)})


COLUMN_FILES: Mapping[str, Callable[[pa.Table, int], bytes]] = {
    "arrow": _arrow,
    "arrows": _arrow_stream,
    "feather": _feather,
    "orc": _orc,
    "avro": _avro,
    "npz": _npz,
    "h5": _hdf5,
}
"""Writers of a table by extension, in parts of some rows where the format has such."""


def _each_with_its_dimension(vectors: Vectors) -> bytes:
    rows = np.ascontiguousarray(vectors)
    dimension = np.array([vectors.shape[1]], "<i4").tobytes()
    return b"".join(dimension + row.tobytes() for row in rows)


VECTOR_FILES: Mapping[str, Callable[[Vectors], bytes]] = {
    "fvecs": lambda vectors: _each_with_its_dimension(vectors.astype("<f4")),
    "ivecs": lambda vectors: _each_with_its_dimension(vectors.astype("<i4")),
    "bvecs": lambda vectors: _each_with_its_dimension(vectors.astype("u1")),
    "fbin": lambda vectors: np.array(vectors.shape, "<u4").tobytes() + vectors.astype("<f4").tobytes(),
}
"""Writers of vectors by extension."""

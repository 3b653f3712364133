"""PostgreSQL with pgvector, ``COPY`` into a plain table; runs in this project's own environment.

Parquet and NumPy are sent as binary COPY, put together by NumPy (which is faster than any row-wise adapter); CSV is
sent as it is, since a vector's text is what pgvector reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg

from benchmarks.peers.programs.arrow import read_arrays
from benchmarks.peers.programs.steps import Order, read_order, serve

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_CHUNK = 1 << 20  # bytes of text sent at once


def main() -> None:
    order = read_order()
    with psycopg.connect(order.extra["url"], autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
        for name in ("warm", "data"):
            connection.execute(f"CREATE TABLE {name} (id bigint NOT NULL, vector vector({order.dim}) NOT NULL)")
            # Vectors of more than some 500 dimensions would be moved out of line and tried to be compressed.
            connection.execute(f"ALTER TABLE {name} ALTER COLUMN vector SET STORAGE PLAIN")
        _copy(connection, "warm", order.warm, order)
        serve(
            {
                "load": lambda: _copy(connection, "data", order.data, order),
                "index": lambda: _index(connection, order),
            }
        )


def _copy(connection: psycopg.Connection[Any], table: str, path: Path, order: Order) -> Mapping[str, Any]:
    text = order.format == "csv"
    how = "csv, HEADER" if text else "binary"
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY {table} FROM STDIN (FORMAT {how})") as copy:
            if text:
                with path.open("rb") as file:
                    while chunk := file.read(_CHUNK):
                        copy.write(chunk)
            else:
                copy.write(_SIGNATURE)
                for ids, vectors in read_arrays(path, order.dim):
                    copy.write(_encode(ids, vectors))
                copy.write(_END)
        counted = cursor.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert counted is not None
    return {"rows": counted[0]}


def _encode(ids: npt.NDArray[np.int64], vectors: npt.NDArray[np.float32]) -> memoryview:
    """Rows of binary COPY: the number of fields, then each field's length and bytes, all big-endian."""
    count, dim = vectors.shape
    rows = np.empty(
        count,
        np.dtype(
            [
                *(("fields", ">i2"), ("id_bytes", ">i4"), ("id", ">i8"), ("vector_bytes", ">i4")),
                *(("dim", ">i2"), ("unused", ">i2"), ("vector", ">f4", (dim,))),
            ]
        ),
    )
    rows["fields"], rows["id_bytes"], rows["id"] = 2, 8, ids
    rows["vector_bytes"], rows["dim"], rows["unused"], rows["vector"] = 4 + 4 * dim, dim, 0, vectors
    return rows.view(np.uint8).data


def _index(connection: psycopg.Connection[Any], order: Order) -> Mapping[str, Any]:
    connection.execute(f"CREATE INDEX ON data USING ivfflat (vector vector_l2_ops) WITH (lists = {order.partitions})")
    return {"rows": order.rows}


if __name__ == "__main__":
    main()

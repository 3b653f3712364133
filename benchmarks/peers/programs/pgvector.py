"""PostgreSQL with pgvector, ``COPY`` into a plain table; runs in this project's own environment.

Parquet and NumPy are sent as binary COPY, put together by NumPy (which is faster than any row-wise adapter); CSV is
sent as it is, since a vector's text is what pgvector reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg

from benchmarks.peers.programs.arrow import read_arrays
from benchmarks.peers.programs.searching import NEAREST, Search, search_steps
from benchmarks.peers.programs.steps import Order, read_order, serve

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_CHUNK = 1 << 20  # bytes of text sent at once
_ITERATIVE = "hnsw.iterative_scan = strict_order"


def main() -> None:
    order = read_order()
    with psycopg.connect(order.extra["url"], autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
        _create(connection, "warm", order)
        _copy(connection, "warm", order.warm, order)
        if order.queries is None:
            _create(connection, "data", order)
            serve(
                {
                    "load": lambda: _copy(connection, "data", order.data, order),
                    "index": lambda: _index(connection, order),
                }
            )
            return
        serve(
            {
                "load": lambda: _load(connection, order),
                "searchable": lambda: _make_searchable(connection, order),
                "built": lambda: {"index": _built(connection)},
                **search_steps(order, lambda: _open_search(order)),
            }
        )


def _create(connection: psycopg.Connection[Any], name: str, order: Order) -> None:
    percent = "" if order.queries is None else ", percent bigint NOT NULL"
    connection.execute(f"CREATE TABLE {name} (id bigint NOT NULL, vector vector({order.dim}) NOT NULL{percent})")
    # Vectors of more than some 500 dimensions would be moved out of line and tried to be compressed.
    connection.execute(f"ALTER TABLE {name} ALTER COLUMN vector SET STORAGE PLAIN")


def _load(connection: psycopg.Connection[Any], order: Order) -> Mapping[str, Any]:
    _create(connection, "data", order)
    return _copy(connection, "data", order.data, order)


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
                    copy.write(_encode(ids, vectors, with_percent=order.queries is not None))
                copy.write(_END)
        counted = cursor.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert counted is not None
    return {"rows": counted[0]}


def _encode(ids: npt.NDArray[np.int64], vectors: npt.NDArray[np.float32], *, with_percent: bool) -> memoryview:
    """Rows of binary COPY: the number of fields, then each field's length and bytes, all big-endian."""
    count, dim = vectors.shape
    rows = np.empty(
        count,
        np.dtype(
            [
                *(("fields", ">i2"), ("id_bytes", ">i4"), ("id", ">i8"), ("vector_bytes", ">i4")),
                *(("dim", ">i2"), ("unused", ">i2"), ("vector", ">f4", (dim,))),
                *((("percent_bytes", ">i4"), ("percent", ">i8")) if with_percent else ()),
            ]
        ),
    )
    rows["fields"], rows["id_bytes"], rows["id"] = 2, 8, ids
    rows["vector_bytes"], rows["dim"], rows["unused"], rows["vector"] = 4 + 4 * dim, dim, 0, vectors
    if with_percent:
        rows["fields"], rows["percent_bytes"], rows["percent"] = 3, 8, ids % 100
    return rows.view(np.uint8).data


def _index(connection: psycopg.Connection[Any], order: Order) -> Mapping[str, Any]:
    connection.execute(f"CREATE INDEX ON data USING ivfflat (vector vector_l2_ops) WITH (lists = {order.partitions})")
    return {"rows": order.rows}


def _make_searchable(connection: psycopg.Connection[Any], order: Order) -> Mapping[str, Any]:
    """Its graph index with the default parameters; statistics for the planner, as after every large load."""
    kind = {"L2": "vector_l2_ops", "COSINE": "vector_cosine_ops"}[order.metric]
    connection.execute(f"CREATE INDEX data_vector ON data USING hnsw (vector {kind})")
    connection.execute("ANALYZE data")
    with _open_search(order) as search:
        search(np.ones(order.dim, np.float32), 100)
    return {"rows": order.rows}


def _built(connection: psycopg.Connection[Any]) -> str:
    definition = connection.execute("SELECT pg_get_indexdef('data_vector'::regclass)").fetchone()
    assert definition is not None
    return f"{definition[0]} (m=16, ef_construction=64), searched with ef_search=40 and {_ITERATIVE}"


@contextmanager
def _open_search(order: Order) -> Iterator[Search]:
    """A connection of its own, as each caller has."""
    operator = {"L2": "<->", "COSINE": "<=>"}[order.metric]
    with psycopg.connect(order.extra["url"], autocommit=True) as connection:
        # As its manual advises for searches with filters, which would find fewer rows than asked for without.
        connection.execute(f"SET {_ITERATIVE}")

        def search(query: npt.NDArray[np.float32], percent: int) -> Sequence[int]:
            condition = "" if percent == 100 else f"WHERE percent < {percent}"
            statement = f"SELECT id FROM data {condition} ORDER BY vector {operator} %s::vector LIMIT {NEAREST}"
            return [key for (key,) in connection.execute(statement, [str(query.tolist())])]

        yield search


if __name__ == "__main__":
    main()

"""LanceDB, ``table.add`` of a stream of Arrow batches; runs in the environment ``lancedb``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lancedb.index import IvfPq, IvfSq

from benchmarks.peers.programs.arrow import read_batches, schema_of
from benchmarks.peers.programs.searching import NEAREST, Search, search_steps
from benchmarks.peers.programs.steps import read_order, serve


def main() -> None:
    order = read_order()
    database = lancedb.connect(str(order.folder))
    schema = schema_of(order.dim)
    if order.queries is not None:
        schema = schema.append(pa.field("percent", pa.int64()))

    def add(table: Any, path: Path) -> Mapping[str, Any]:
        batches = read_batches(path, order.dim)
        if order.queries is not None:
            batches = (batch.append_column("percent", _percents(batch)) for batch in batches)
        table.add(pa.RecordBatchReader.from_batches(schema, batches))
        return {"rows": table.count_rows()}

    def index(config: Any) -> Mapping[str, Any]:
        table = database.open_table("data")
        table.create_index("vector", config=config)
        stats = table.index_stats("vector_idx")
        return {"rows": stats.num_indexed_rows}

    def load() -> Mapping[str, Any]:
        return add(database.create_table("data", schema=schema), order.data)

    def make_searchable() -> Mapping[str, Any]:
        # By default there is a single code for all values of a vector if their number isn't a multiple of 8.
        codes = None if order.dim % 8 == 0 else max(n for n in range(1, order.dim // 5 + 1) if order.dim % n == 0)
        indexed = index(IvfPq(distance_type=metric, num_sub_vectors=codes))
        search_of(database.open_table("data"))(np.ones(order.dim, np.float32), 100)
        return indexed

    def search_of(table: Any) -> Search:
        def search(query: npt.NDArray[np.float32], percent: int) -> Sequence[int]:
            wanted = table.search(query, vector_column_name="vector").distance_type(metric)
            if percent < 100:
                wanted = wanted.where(f"percent < {percent}")
            found: Sequence[int] = wanted.select(["id"]).limit(NEAREST).to_arrow()["id"].to_pylist()
            return found

        return search

    def built() -> Mapping[str, Any]:
        [index] = database.open_table("data").list_indices()
        return {"index": f"{index.index_type} {index.index_details['compression']}, searched with its defaults"}

    metric = order.metric.lower()
    add(database.create_table("warm", schema=schema), order.warm)
    if order.queries is None:
        table = database.create_table("data", schema=schema)
        quantized = IvfSq(distance_type="l2", num_partitions=order.partitions)
        serve({"load": lambda: add(table, order.data), "index": lambda: index(quantized)})
        return
    serve(
        {
            "load": load,
            "searchable": make_searchable,
            "built": built,
            **search_steps(order, lambda: nullcontext(search_of(database.open_table("data")))),
        }
    )


def _percents(batch: pa.RecordBatch) -> pa.Array[Any]:
    percents: pa.Array[Any] = pa.array(batch.column("id").to_numpy() % 100)
    return percents


if __name__ == "__main__":
    main()

"""LanceDB, ``table.add`` of a stream of Arrow batches; runs in the environment ``lancedb``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
from lancedb.index import IvfSq

from benchmarks.peers.programs.arrow import read_batches, schema_of
from benchmarks.peers.programs.steps import read_order, serve


def main() -> None:
    order = read_order()
    database = lancedb.connect(str(order.folder))
    schema = schema_of(order.dim)

    def add(table: Any, path: Path) -> Mapping[str, Any]:
        table.add(pa.RecordBatchReader.from_batches(schema, read_batches(path, order.dim)))
        return {"rows": table.count_rows()}

    def index() -> Mapping[str, Any]:
        table.create_index("vector", config=IvfSq(distance_type="l2", num_partitions=order.partitions))
        stats = table.index_stats("vector_idx")
        return {"rows": stats.num_indexed_rows}

    add(database.create_table("warm", schema=schema), order.warm)
    table = database.create_table("data", schema=schema)
    serve({"load": lambda: add(table, order.data), "index": index})


if __name__ == "__main__":
    main()

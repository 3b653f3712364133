"""Milvus Lite, ``MilvusClient.insert`` of rows in batches; runs in the environment ``milvus-lite``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymilvus import DataType, MilvusClient

from benchmarks.peers.programs.arrow import read_arrays
from benchmarks.peers.programs.steps import read_order, serve

BATCH_ROWS = 5_000  # keeps a message below gRPC's limit of 64 MB at 768 dimensions


def main() -> None:
    order = read_order()
    client = MilvusClient(str(order.folder / "lite.db"))

    def create(name: str) -> None:
        schema = client.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=order.dim)
        client.create_collection(name, schema=schema)

    def insert(name: str, path: Path) -> Mapping[str, Any]:
        rows = (
            {"id": int(key), "vector": vector}
            for ids, vectors in read_arrays(path, order.dim)
            for key, vector in zip(ids, vectors, strict=True)
        )
        while batch := list(itertools.islice(rows, BATCH_ROWS)):
            client.insert(name, batch)
        client.flush(name)
        return {"rows": int(client.get_collection_stats(name)["row_count"])}

    def index() -> Mapping[str, Any]:
        params = client.prepare_index_params()
        params.add_index("vector", index_type="IVF_SQ8", metric_type="L2", params={"nlist": order.partitions})
        client.create_index("data", params)
        client.load_collection("data")
        return {"rows": order.rows}

    for name in ("warm", "data"):
        create(name)
    insert("warm", order.warm)
    serve({"load": lambda: insert("data", order.data), "index": index})


if __name__ == "__main__":
    main()

"""Milvus Lite, ``MilvusClient.insert`` of rows in batches; runs in the environment ``milvus-lite``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pymilvus import DataType, MilvusClient

from benchmarks.peers.programs.arrow import read_arrays
from benchmarks.peers.programs.searching import NEAREST, search_steps
from benchmarks.peers.programs.steps import read_order, serve

BATCH_ROWS = 5_000  # keeps a message below gRPC's limit of 64 MB at 768 dimensions


def main() -> None:
    order = read_order()
    client = MilvusClient(str(order.folder / "lite.db"))

    def create(name: str) -> None:
        schema = client.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=order.dim)
        if order.queries is not None:
            schema.add_field("percent", DataType.INT64)
        client.create_collection(name, schema=schema)

    def insert(name: str, path: Path) -> Mapping[str, Any]:
        rows = (
            {"id": int(key), "vector": vector} | ({} if order.queries is None else {"percent": int(key) % 100})
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

    def load() -> Mapping[str, Any]:
        create("data")
        return insert("data", order.data)

    def make_searchable() -> Mapping[str, Any]:
        params = client.prepare_index_params()
        params.add_index("vector", index_type="AUTOINDEX", metric_type=order.metric)
        client.create_index("data", params)
        client.load_collection("data")
        if not search(np.ones(order.dim, np.float32), 100):
            raise RuntimeError("the collection is loaded, but a search finds nothing")
        return {"rows": order.rows}

    def search(query: npt.NDArray[np.float32], percent: int) -> Sequence[int]:
        [hits] = client.search(
            "data",
            [query],
            filter="" if percent == 100 else f"percent < {percent}",
            limit=NEAREST,
            anns_field="vector",
            search_params={"metric_type": order.metric},
        )
        return [hit["id"] for hit in hits]

    def built() -> Mapping[str, Any]:
        return {"index": f"{client.describe_index('data', 'vector')['index_type']}, searched with its defaults"}

    create("warm")
    insert("warm", order.warm)
    if order.queries is None:
        create("data")
        serve({"load": lambda: insert("data", order.data), "index": index})
        return
    serve(
        {
            "load": load,
            "searchable": make_searchable,
            "built": built,
            **search_steps(order, lambda: nullcontext(search)),
        }
    )


if __name__ == "__main__":
    main()

"""Chroma's persistent client, ``collection.add`` in batches; runs in the environment ``chroma``.

It keeps an HNSW graph up to date while rows are added, so there is no index step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import numpy.typing as npt
from chromadb.config import Settings

from benchmarks.peers.programs.arrow import read_arrays
from benchmarks.peers.programs.searching import NEAREST, Search, search_steps
from benchmarks.peers.programs.steps import read_order, serve


def main() -> None:
    order = read_order()
    client = chromadb.PersistentClient(str(order.folder), settings=Settings(anonymized_telemetry=False))
    step = client.get_max_batch_size()

    def add(collection: Any, path: Path) -> Mapping[str, Any]:
        for ids, vectors in read_arrays(path, order.dim):
            for start in range(0, len(ids), step):
                part = slice(start, start + step)
                more = (
                    {} if order.queries is None else {"metadatas": [{"percent": int(key) % 100} for key in ids[part]]}
                )
                collection.add(ids=[str(key) for key in ids[part]], embeddings=vectors[part], **more)
        return {"rows": collection.count()}

    def create() -> Any:
        space = {"hnsw": {"space": order.metric.lower()}}
        return client.create_collection("data", embedding_function=None, configuration=space)

    def search_of(collection: Any) -> Search:
        def search(query: npt.NDArray[np.float32], percent: int) -> Sequence[int]:
            where = None if percent == 100 else {"percent": {"$lt": percent}}
            found = collection.query(query[None], n_results=NEAREST, where=where, include=[])
            return [int(key) for key in found["ids"][0]]

        return search

    def make_searchable() -> Mapping[str, Any]:
        collection = client.get_collection("data", embedding_function=None)
        search_of(collection)(np.ones(order.dim, np.float32), 100)
        return {"rows": collection.count()}

    def built() -> Mapping[str, Any]:
        collection = client.get_collection("data", embedding_function=None)
        return {"index": f"{collection.configuration['hnsw']}"}

    add(client.create_collection("warm", embedding_function=None), order.warm)
    if order.queries is None:
        collection = client.create_collection("data", embedding_function=None)
        serve({"load": lambda: add(collection, order.data)})
        return
    serve(
        {
            "load": lambda: add(create(), order.data),
            "searchable": make_searchable,
            "built": built,
            **search_steps(
                order, lambda: nullcontext(search_of(client.get_collection("data", embedding_function=None)))
            ),
        }
    )


if __name__ == "__main__":
    main()

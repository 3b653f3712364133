"""Chroma's persistent client, ``collection.add`` in batches; runs in the environment ``chroma``.

It keeps an HNSW graph up to date while rows are added, so there is no index step.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import chromadb
from chromadb.config import Settings

from benchmarks.peers.programs.arrow import read_arrays
from benchmarks.peers.programs.steps import read_order, serve


def main() -> None:
    order = read_order()
    client = chromadb.PersistentClient(str(order.folder), settings=Settings(anonymized_telemetry=False))
    step = client.get_max_batch_size()

    def add(collection: Any, path: Path) -> Mapping[str, Any]:
        for ids, vectors in read_arrays(path, order.dim):
            for start in range(0, len(ids), step):
                part = slice(start, start + step)
                collection.add(ids=[str(key) for key in ids[part]], embeddings=vectors[part])
        return {"rows": collection.count()}

    add(client.create_collection("warm", embedding_function=None), order.warm)
    collection = client.create_collection("data", embedding_function=None)
    serve({"load": lambda: add(collection, order.data)})


if __name__ == "__main__":
    main()

"""Qdrant's local mode, ``QdrantClient(path=…)`` and ``upload_collection``; runs in the environment ``qdrant``.

It keeps points in SQLite, with a commit each, and vectors in NumPy arrays. A search scans them: there is no index.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qdrant_client import QdrantClient
from qdrant_client.models import Distance, VectorParams

from benchmarks.peers.programs.arrow import read_arrays
from benchmarks.peers.programs.steps import read_order, serve


def main() -> None:
    order = read_order()
    client = QdrantClient(path=str(order.folder / "qdrant"))

    def create(name: str) -> None:
        client.create_collection(
            name, vectors_config=VectorParams(size=order.dim, distance=Distance.EUCLID, on_disk=True)
        )

    def upload(name: str, path: Path) -> Mapping[str, Any]:
        for ids, vectors in read_arrays(path, order.dim):
            client.upload_collection(name, vectors=vectors, ids=ids.tolist())
        return {"rows": client.count(name).count}

    create("warm")
    upload("warm", order.warm)
    create("data")
    serve({"load": lambda: upload("data", order.data)})
    client.close()


if __name__ == "__main__":
    main()

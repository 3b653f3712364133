"""Milvus 2.3.5 standalone, bulk insert of files that lie in its own storage; runs in the environment ``milvus``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from milvus import MilvusServer
from pymilvus import BulkInsertState, Collection, CollectionSchema, DataType, FieldSchema, connections, utility

from benchmarks.peers.programs.steps import Order, read_order, serve

POLL = 0.2
STARTS = 3
START_MS = 60_000


def main() -> None:
    order = read_order()
    server = _started(order.folder)
    try:
        connections.connect(host="127.0.0.1", port=server.listen_port)
        storage = Path(server.config.base_data_dir) / "data"
        warm = _place(storage, order.warm)
        _insert(_collection("warm", order.dim), warm)
        files = _place(storage, order.data)
        collection = _collection("data", order.dim)
        serve({"load": lambda: _insert(collection, files), "index": lambda: _index(collection, order)})
    finally:
        connections.disconnect("default")
        server.stop()


def _started(folder: Path) -> MilvusServer:
    """A server in a folder of its own. When other work keeps it waiting, one may never come up: then another one."""
    # The package unpacks its server into each new data folder, which takes longer than the start: keep it unpacked.
    binaries = Path(sys.prefix) / "milvus-server"
    binaries.mkdir(exist_ok=True)
    for attempt in range(STARTS):
        home = folder / str(attempt)
        home.mkdir()
        (home / "bin").symlink_to(binaries)
        server = MilvusServer(data_dir=str(home), wait_for_started=False)
        server.start()
        try:
            server.wait_started(START_MS)
        except (TimeoutError, RuntimeError) as error:
            print(f"Milvus didn't start: {error}", file=sys.stderr)
            server.stop()
        else:
            return server
    logs = sorted(folder.glob("*/logs/milvus-std*.log"))
    raise RuntimeError("\n".join(log.read_text(errors="replace")[-2000:] for log in logs))


def _collection(name: str, dim: int) -> Collection:
    fields = [
        FieldSchema("id", DataType.INT64, is_primary=True),
        FieldSchema("vector", DataType.FLOAT_VECTOR, dim=dim),
    ]
    return Collection(name, CollectionSchema(fields))


def _place(storage: Path, source: Path) -> list[str]:
    """Put files where the server's storage has them, without copying; return their paths in that storage."""
    parts = sorted(source.iterdir()) if source.is_dir() else [source]
    target = storage / "import" / source.parent.name
    target.mkdir(parents=True)
    for part in parts:
        # Milvus has the keys of its rows from the names of the files.
        os.link(part, target / part.name)
    return [str(target / part.name) for part in parts]


def _insert(collection: Collection, files: list[str]) -> Mapping[str, Any]:
    task = utility.do_bulk_insert(collection_name=collection.name, files=files)
    while True:
        state = utility.get_bulk_insert_state(task)
        if state.state == BulkInsertState.ImportCompleted:
            return {"rows": collection.num_entities}
        if state.state in (BulkInsertState.ImportFailed, BulkInsertState.ImportFailedAndCleaned):
            raise RuntimeError(f"{files}: {state.failed_reason}")
        time.sleep(POLL)


def _index(collection: Collection, order: Order) -> Mapping[str, Any]:
    collection.create_index(
        "vector", {"index_type": "IVF_SQ8", "metric_type": "L2", "params": {"nlist": order.partitions}}
    )
    while True:
        progress = utility.index_building_progress(collection.name)
        if progress["indexed_rows"] >= order.rows:
            return {"rows": progress["indexed_rows"]}
        time.sleep(POLL)


if __name__ == "__main__":
    main()

"""Milvus 2.3.5 standalone, bulk insert of files that lie in its own storage; runs in the environment ``milvus``.

With ``extra["uri"]`` it is the client of a server that runs there already, which is Penstock.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from milvus import MilvusServer
from pymilvus import BulkInsertState, Collection, CollectionSchema, DataType, FieldSchema, connections, utility

from benchmarks.peers.programs.searching import NEAREST, Search, search_steps
from benchmarks.peers.programs.steps import Order, read_order, serve

POLL = 0.2
STARTS = 3
START_MS = 60_000
STOP_SECONDS = 60


def main() -> None:
    order = read_order()
    if "uri" in order.extra:
        connections.connect(uri=order.extra["uri"])
        _serve(order, [str(order.warm)], [str(order.data)])
        return
    server = _started(order.folder)
    try:
        connections.connect(host="127.0.0.1", port=server.listen_port)
        storage = Path(server.config.base_data_dir) / "data"
        _serve(order, _place(storage, order.warm), _place(storage, order.data))
    finally:
        connections.disconnect("default")
        _stop(server)


def _serve(order: Order, warm: list[str], files: list[str]) -> None:
    _insert(_collection("warm", order), warm)
    if order.queries is None:
        collection = _collection("data", order)
        serve({"load": lambda: _insert(collection, files), "index": lambda: _index(collection, order)})
        return
    serve(
        {
            "load": lambda: _insert(_collection("data", order), files),
            "searchable": lambda: _make_searchable(Collection("data"), order),
            "built": lambda: {"index": _built(Collection("data"), order)},
            **search_steps(order, lambda: nullcontext(_search(Collection("data"), order))),
        }
    )


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
            _stop(server)
        else:
            return server
    logs = sorted(folder.glob("*/logs/milvus-std*.log"))
    raise RuntimeError("\n".join(log.read_text(errors="replace")[-2000:] for log in logs))


def _stop(server: MilvusServer) -> None:
    try:
        server.stop()
    except subprocess.TimeoutExpired:  # it kills the server, and gives that three seconds
        server.server_proc.wait(STOP_SECONDS)


def _collection(name: str, order: Order) -> Collection:
    fields = [
        FieldSchema("id", DataType.INT64, is_primary=True),
        FieldSchema("vector", DataType.FLOAT_VECTOR, dim=order.dim),
    ]
    if order.queries is not None:
        fields.append(FieldSchema("percent", DataType.INT64))
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
    params = {"index_type": "IVF_SQ8", "metric_type": "L2", "params": {"nlist": order.partitions}}
    return _indexed(collection, order, params)


def _indexed(collection: Collection, order: Order, params: Mapping[str, Any]) -> Mapping[str, Any]:
    collection.create_index("vector", params)
    while True:
        progress = utility.index_building_progress(collection.name)
        # Of less rows than its indexes begin with, Penstock counts none as indexed and none as pending.
        if progress["indexed_rows"] >= order.rows or not progress.get("pending_index_rows", 1):
            return {"rows": progress["total_rows"]}
        time.sleep(POLL)


def _make_searchable(collection: Collection, order: Order) -> Mapping[str, Any]:
    """The index, AUTOINDEX unless another one is ordered; then rows are loaded, until a search finds some."""
    params = {"index_type": "AUTOINDEX", "params": {}} | dict(order.index.get("index", {}))
    indexed = _indexed(collection, order, params | {"metric_type": order.metric})
    collection.load()
    if not _search(collection, order)(np.ones(order.dim, np.float32), 100):
        raise RuntimeError("the collection is loaded, but a search finds nothing")
    return indexed


def _built(collection: Collection, order: Order) -> str:
    params = {key: value for key, value in collection.index().params.items() if key != "metric_type"}
    return f"{params}, searched with {order.index.get('search', {}) or 'its defaults'}"


def _search(collection: Collection, order: Order) -> Search:
    params = {"metric_type": order.metric, "params": order.index.get("search", {})}

    def search(query: npt.NDArray[np.float32], percent: int) -> Sequence[int]:
        expression = None if percent == 100 else f"percent < {percent}"
        [hits] = collection.search([query], "vector", params, limit=NEAREST, expr=expression)
        return list(hits.ids)

    return search


if __name__ == "__main__":
    main()

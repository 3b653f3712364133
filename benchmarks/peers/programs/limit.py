"""What the machine allows: two processes decode a file, and with ``extra["write"]`` also write what they decoded.

Nothing is checked, nothing can be found afterwards: ids and vectors go as raw bytes to one file per process, which is
fsynced. The text decoders know how the benchmark's files are laid out (a row per line) and spare what a reader of
anybody's files has to do. Runs in this project's own environment.
"""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import simdjson

from benchmarks.peers.programs.steps import Order, read_order, serve

__all__ = ["READERS", "Share"]

WORKERS = multiprocessing.cpu_count()
BATCH_ROWS = 4096


class Share(NamedTuple):
    """The part ``number`` of ``parts`` equal ones."""

    number: int
    parts: int

    def of(self, size: int) -> tuple[int, int]:
        """The first position of this part, and the one after its last."""
        return size * self.number // self.parts, size * (self.number + 1) // self.parts


Arrays = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]


def main() -> None:
    order = read_order()
    context = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        pipes = []
        for _ in range(WORKERS):
            here, there = context.Pipe()
            worker = context.Process(target=_work, args=(order, there), daemon=True)
            worker.start()
            stack.callback(worker.join)
            stack.callback(here.send, None)
            pipes.append(here)

        def run(tasks: list[tuple[Path, Share]]) -> int:
            for pipe, task in zip(pipes, tasks, strict=True):
                pipe.send(task)
            return sum(pipe.recv() for pipe in pipes)

        run([(order.warm, Share(0, 1))] * WORKERS)
        shares = [Share(number, WORKERS) for number in range(WORKERS)]
        serve({"load": lambda: {"rows": run([(order.data, share) for share in shares])}})


def _work(order: Order, pipe: Connection) -> None:
    """Take the share of each file that is asked for, and answer with the number of its rows."""
    while (task := pipe.recv()) is not None:
        path, share = task
        rows = 0
        with contextlib.ExitStack() as stack:
            target: BinaryIO | None = None
            if order.extra["write"]:
                target = stack.enter_context((order.folder / str(os.getpid())).open("wb", buffering=0))
            for ids, vectors in READERS[order.format](path, share, order.dim):
                rows += len(ids)
                if target is not None:
                    _write(target, ids.view(np.uint8).data)
                    _write(target, vectors.reshape(-1).view(np.uint8).data)
            if target is not None:
                os.fsync(target.fileno())
        pipe.send(rows)


def _write(target: BinaryIO, data: memoryview) -> None:
    while data:
        data = data[target.write(data) :]


def _parquet(path: Path, share: Share, dim: int) -> Iterator[Arrays]:
    file = pq.ParquetFile(path)
    for group in range(share.number, file.num_row_groups, share.parts):
        table = file.read_row_group(group, use_threads=False)
        for batch in table.to_batches():
            lists: Any = batch.column(1)
            yield batch.column(0).to_numpy(), lists.flatten().to_numpy()


def _numpy(path: Path, share: Share, dim: int) -> Iterator[Arrays]:
    """Copies, since memory-mapped pages that nobody looks at aren't read."""
    ids, vectors = (np.load(path / f"{name}.npy", mmap_mode="r") for name in ("id", "vector"))
    first, last = share.of(len(ids))
    for start in range(first, last, BATCH_ROWS):
        part = slice(start, min(start + BATCH_ROWS, last))
        yield np.array(ids[part]), np.array(vectors[part])


def _json_lines(path: Path, share: Share, dim: int) -> Iterator[Arrays]:
    """JSON Lines, and a JSON list that has an object per line."""
    parser: Any = simdjson.Parser()
    ids, vectors = _new_batch(dim)
    count = 0
    for line in _lines(path, share):
        if len(line) < 3:  # brackets around the list
            continue
        row = parser.parse(line.rstrip(b",\n"))
        ids[count] = row["id"]
        vectors[count] = np.frombuffer(row["vector"].as_buffer(of_type="d"), np.float64)
        del row
        count += 1
        if count == BATCH_ROWS:
            yield ids, vectors
            count = 0
    yield ids[:count], vectors[:count]


def _csv(path: Path, share: Share, dim: int) -> Iterator[Arrays]:
    parser: Any = simdjson.Parser()
    ids, vectors = _new_batch(dim)
    count = 0
    for line in _lines(path, share):
        key, _, text = line.rstrip(b"\n").partition(b",")
        if key == b"id":  # the header
            continue
        values = parser.parse(text[1:-1])
        ids[count] = int(key)
        vectors[count] = np.frombuffer(values.as_buffer(of_type="d"), np.float64)
        del values
        count += 1
        if count == BATCH_ROWS:
            yield ids, vectors
            count = 0
    yield ids[:count], vectors[:count]


def _new_batch(dim: int) -> Arrays:
    return np.empty(BATCH_ROWS, np.int64), np.empty((BATCH_ROWS, dim), np.float32)


def _lines(path: Path, share: Share) -> Iterator[bytes]:
    """The lines that begin in this worker's share of the file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        first, last = share.of(len(data))
        at = data.find(b"\n", first - 1) + 1 if first else 0
        while at < last:
            end = data.find(b"\n", at) + 1 or len(data)
            yield data[at:end]
            at = end


READERS = {"parquet": _parquet, "npy": _numpy, "json": _json_lines, "jsonl": _json_lines, "csv": _csv}


if __name__ == "__main__":
    main()

"""The peak memory of imports at one memory budget: it should be the same however large the files are.

    python -m benchmarks.memory
    python -m benchmarks.memory --sizes 300MB 1200MB --group 100MB --memory-budget 600MiB

For each size a Parquet file of 768-dimensional vectors with large row groups, and for the last line one of rows of
32,768 dimensions, is written, imported through the HTTP API of a fresh server, and deleted with what became of it.
Memory is the sum of the proportional set sizes of the server and all its workers, sampled up to ten times a second;
the page cache is not in it. Files are written row group by row group: twice the largest size must be free on the
disk, and some row groups in memory.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ByteSize, TypeAdapter

from benchmarks.imports import schema_of
from benchmarks.machine import describe_machine
from benchmarks.processes import Usage
from tests.support.servers import running_server

SLICE = 16 << 20
"""Bytes of vectors that are made at a time."""


def write_groups(path: Path, size: int, group: int, dim: int) -> int:
    """A file of about ``size`` bytes in row groups of ``group`` bytes; returns its rows."""
    schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32()))])
    per_slice = max(1, SLICE // (4 * dim))
    per_group = max(1, group // (4 * dim))
    total = size // (4 * dim)
    with pq.ParquetWriter(path, schema, use_dictionary=False) as writer:
        for start in range(0, total, per_group):
            stop = min(total, start + per_group)
            slices = [
                _batch(schema, first, min(per_slice, stop - first), dim) for first in range(start, stop, per_slice)
            ]
            writer.write_table(pa.Table.from_batches(slices), row_group_size=stop - start)
    return total


def _batch(schema: pa.Schema, start: int, count: int, dim: int) -> pa.RecordBatch:
    offsets = pa.array(np.arange(0, (count + 1) * dim, dim, dtype=np.int32))
    values = pa.array(np.random.default_rng(start).random(count * dim, dtype=np.float32))
    lists: Any = pa.ListArray.from_arrays(offsets, values)  # type: ignore[call-overload]
    return pa.RecordBatch.from_arrays([pa.array(np.arange(start, start + count)), lists], schema=schema)


def measure(size: int, group: int, dim: int, budget: str) -> str:
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder), "--memory-budget", budget, workers=None) as server,
    ):
        path = server.import_root / "data.parquet"
        rows = write_groups(path, size, group, dim)
        groups = pq.ParquetFile(path).num_row_groups
        with server.client(timeout=3600) as client, Usage(server.process.pid) as memory:
            client.collections.create("docs", schema=schema_of(dim))
            start = time.perf_counter()
            job = client.imports.wait(client.imports.create("docs", [str(path)]))
            seconds = time.perf_counter() - start
            assert job.rows == rows
        return (
            f"{path.stat().st_size / 1e6:>7,.0f} MB, {rows:,} rows x {dim:,}, {groups} row groups: "
            f"peak {memory.peak / 2**20:,.0f} MiB, {seconds:.1f} s"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = TypeAdapter(ByteSize).validate_python
    parser.add_argument("--sizes", type=size, nargs="+", default=[size("3GB"), size("12GB")])
    parser.add_argument("--group", type=size, default=size("1GB"), help="bytes of a row group")
    parser.add_argument("--memory-budget", default="768MiB")
    options = parser.parse_args()
    shapes = [(size, 768) for size in options.sizes] + [(options.sizes[0], 32_768)]
    lines = [measure(each, options.group, dim, options.memory_budget) for each, dim in shapes]
    print(f"{describe_machine()}; memory budget {options.memory_budget}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

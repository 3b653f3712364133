"""How fast files become rows, through the HTTP API of a real server, and how much memory that takes.

    python -m benchmarks.imports parquet --rows 200000 --dim 768
    python -m benchmarks.imports jsonl --rows 50000 --dim 768
    python -m benchmarks.imports parquet --rows 2000000 --dim 768 --runs 1

Each run imports the same file into a fresh collection without a vector index. A run's time goes from the create call
to the moment at which the job is Completed and the collection counts every row. In the end an index is built over the
rows of the last run. Memory is the sum of the proportional set sizes of all processes, sampled up to ten times a
second: the peak of what the server and its workers hold, shared pages counted once.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from benchmarks.files import WRITERS
from benchmarks.machine import describe_machine
from benchmarks.processes import Usage
from penstock import Client
from tests.support.servers import running_server


@dataclass(frozen=True, slots=True)
class Run:
    """One import, or one index build. Seconds, and the peak of memory in bytes."""

    seconds: float
    peak: int


def schema_of(dim: int) -> dict[str, Any]:
    return {
        "fields": [
            {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
            {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": dim}},
        ]
    }


def import_once(client: Client, pid: int, path: str, rows: int, dim: int, name: str) -> Run:
    client.collections.create(name, schema=schema_of(dim))
    with Usage(pid) as usage:
        start = time.perf_counter()
        job = client.imports.wait(client.imports.create(name, [path]), poll=0.05)
        assert client.collections.stats(name).rows == job.rows == rows
        seconds = time.perf_counter() - start
    return Run(seconds, usage.peak)


def index_once(url: str, pid: int, name: str) -> Run:
    """Build an index over the rows of a collection."""
    body = {"collectionName": name, "indexParams": [{"fieldName": "vector", "metricType": "L2"}]}
    described = {"collectionName": name, "indexName": "vector"}
    with Usage(pid) as usage:
        start = time.perf_counter()
        requests.post(f"{url}/v2/vectordb/indexes/create", json=body, timeout=60).raise_for_status()
        while True:
            answer = requests.post(f"{url}/v2/vectordb/indexes/describe", json=described, timeout=60).json()
            if answer["data"][0]["pendingRows"] == 0:
                return Run(time.perf_counter() - start, usage.peak)
            time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("format", choices=WRITERS)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--memory-budget", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--memory-budget", options.memory_budget] if options.memory_budget else []
        with running_server(Path(folder), *flags, workers=None) as server, server.client(timeout=600) as client:
            name = "data" if options.format == "npy" else f"data.{options.format}"
            path = server.import_root / name
            WRITERS[options.format](path, options.rows, options.dim)
            wanted = f"{path}/" if path.is_dir() else str(path)
            size = sum(each.stat().st_size for each in ([path] if path.is_file() else path.iterdir()))
            runs = []
            for number in range(options.runs + 1):
                name = f"run_{number}"
                runs.append(import_once(client, server.process.pid, wanted, options.rows, options.dim, name))
                if number < options.runs:
                    client.collections.drop(name)
            index = index_once(server.url, server.process.pid, f"run_{options.runs}")
    print(describe_machine())
    times = [run.seconds for run in runs[1:]]
    middle = statistics.median(times)
    print(
        f"{options.format}, {options.rows:,} rows x {options.dim}, {size / 1e6:,.0f} MB, "
        f"{len(times)} runs after a warm-up of {runs[0].seconds:.2f} s"
    )
    print(
        f"create to Completed and countable: median {middle:.2f} s [{min(times):.2f}-{max(times):.2f}] = "
        f"{options.rows / middle:,.0f} rows/s, {size / middle / 1e6:,.0f} MB/s; "
        f"peak {max(run.peak for run in runs) / 2**20:,.0f} MiB"
    )
    print(f"index over the rows, after that: {index.seconds:.2f} s; peak {index.peak / 2**20:,.0f} MiB")


if __name__ == "__main__":
    main()

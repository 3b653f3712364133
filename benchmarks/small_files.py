"""One job of very many small files: how long it takes, what it costs, and whether queries feel it afterwards.

    python -m benchmarks.small_files parquet --files 1 100 10000 --rows 100 --dim 128

Each number of files holds the same rows as one file of them would. Seconds go from the create call to the moment at
which the job is Completed; CPU seconds are those of the server and its workers. The query counts with a filter on the
primary key, right afterwards, and is the median of several; it tells what the number of fragments costs.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.files import WRITERS
from benchmarks.imports import schema_of
from benchmarks.machine import describe_machine
from penstock import Client
from tests.support.servers import RunningServer, running_server


def cpu_seconds(pid: int) -> float:
    """Of a process and its children, user and system."""
    server = psutil.Process(pid)
    times = [each.cpu_times() for each in [server, *server.children(recursive=True)]]
    return sum(each.user + each.system for each in times)


def write_files(folder: Path, format: str, files: int, rows: int, dim: int) -> str:
    """``files`` files of ``rows`` rows each; returns what to import."""
    folder.mkdir()
    for number in range(files):
        name = f"{number:05}" if format == "npy" else f"{number:05}.{format}"
        WRITERS[format](folder / name, rows, dim)
    return f"{folder}/"


def query_seconds(client: Client, name: str) -> float:
    times = []
    for _ in range(7):
        start = time.perf_counter()
        client.count(name, "id >= 0 and id < 5")
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(server: RunningServer, client: Client, format: str, files: int, options: Any) -> str:
    name = f"files_{files}"
    total = options.rows * max(options.files)
    path = write_files(server.import_root / name, format, files, total // files, options.dim)
    client.collections.create(name, schema=schema_of(options.dim))
    before = cpu_seconds(server.process.pid)
    start = time.perf_counter()
    job = client.imports.wait(client.imports.create(name, [path]), poll=0.2)
    seconds = time.perf_counter() - start
    cpu = cpu_seconds(server.process.pid) - before
    assert job.rows == total // files * files
    return (
        f"{files:>6,} files of {total // files:,} rows: {seconds:.2f} s, {cpu:.2f} s CPU; "
        f"a count with a filter after it {query_seconds(client, name) * 1000:.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("format", choices=WRITERS)
    parser.add_argument("--files", type=int, nargs="+", default=[1, 100, 10_000])
    parser.add_argument("--rows", type=int, default=100, help="in each file of the largest number of them")
    parser.add_argument("--dim", type=int, default=128)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder)) as server,
        server.client(timeout=600) as client,
    ):
        lines = [measure(server, client, options.format, files, options) for files in options.files]
    print(describe_machine())
    print("\n".join(lines))


if __name__ == "__main__":
    main()

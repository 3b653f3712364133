"""Many jobs of one row each into one collection: creates a second, jobs a second, and processor time of each.

::

    python -m benchmarks.small_jobs                   # 300 jobs of JSON and of Parquet files, by 8 callers
    python -m benchmarks.small_jobs --jobs 1000 --callers 32 --formats jsonl

All jobs are created first, as fast as the callers can, while the server works on them already; then all are waited
for. Processor time is the server's and its workers', from the first create to the last Completed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from benchmarks.files import write_jsonl, write_parquet
from benchmarks.machine import describe_machine
from benchmarks.processes import ProcessorTime
from penstock import Client
from tests.support.servers import RunningServer, running_server

_CREATE = "/v2/vectordb/jobs/import/create"
_WRITERS = {"jsonl": write_jsonl, "parquet": write_parquet}
_DIM = 8
_LIMIT_SECONDS = 600


def write_files(folder: Path, jobs: int, file_format: str) -> list[str]:
    for number in range(jobs):
        _WRITERS[file_format](folder / f"{number}.{file_format}", 1, _DIM)
    return [f"{number}.{file_format}" for number in range(jobs)]


def create_all(url: str, collection: str, files: Sequence[str], callers: int) -> None:
    """Each caller keeps one connection open, and makes its next call when the last one is answered."""
    host = urlsplit(url).netloc

    def create(share: Sequence[str]) -> None:
        connection = HTTPConnection(host, timeout=60)
        for file in share:
            body = json.dumps({"collectionName": collection, "files": [[file]]})
            connection.request("POST", _CREATE, body, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
            if answer["code"] != 0:
                raise RuntimeError(str(answer))
        connection.close()

    with ThreadPoolExecutor(callers) as threads:
        list(threads.map(create, [files[number::callers] for number in range(callers)]))


def wait_for_all(client: Client, collection: str, jobs: int) -> None:
    """Asks twice a second, which costs the server little."""
    until = time.monotonic() + _LIMIT_SECONDS
    while client.count(collection) < jobs:
        if time.monotonic() > until:
            raise TimeoutError(f"not all of {jobs} jobs were done after {_LIMIT_SECONDS} s")
        time.sleep(0.5)


def measure(server: RunningServer, client: Client, file_format: str, jobs: int, callers: int) -> None:
    collection = f"small_{file_format}"
    client.collections.create(collection, dimension=_DIM)
    files = write_files(server.import_root, jobs, file_format)
    warm = f"warm_{file_format}"
    client.collections.create(warm, dimension=_DIM)
    create_all(server.url, warm, files[:4], 2)
    wait_for_all(client, warm, 4)
    server.wait_until_maintained()
    process = psutil.Process(server.process.pid)
    of_server, of_workers = ProcessorTime([process]), ProcessorTime(process.children(recursive=True))
    began = time.perf_counter()
    create_all(server.url, collection, files, callers)
    created, of_creates = time.perf_counter() - began, of_server.seconds()
    wait_for_all(client, collection, jobs)
    took = time.perf_counter() - began
    print(
        f"{file_format}: {jobs} jobs, {callers} callers: {jobs / created:.0f} creates/s, {jobs / took:.1f} jobs/s "
        f"({took:.1f} s); processor time per job: server {1000 * of_server.seconds() / jobs:.1f} ms "
        f"({1000 * of_creates / jobs:.1f} ms until all were created), workers "
        f"{1000 * of_workers.seconds() / jobs:.1f} ms",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--formats", nargs="+", choices=sorted(_WRITERS), default=sorted(_WRITERS))
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        running_server(Path(name), workers=None) as server,
        server.client(timeout=60) as client,
    ):
        for file_format in options.formats:
            measure(server, client, file_format, options.jobs, options.callers)
    print(describe_machine())


if __name__ == "__main__":
    main()

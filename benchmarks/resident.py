"""The server's resident memory over thousands of small jobs: it should come to rest.

::

    python -m benchmarks.resident                           # 5,000 jobs, 15 minutes at most
    python -m benchmarks.resident --jobs 500 --every 100

Each job imports one row; after it come a query, a count and a search. Jobs go round ``--collections`` collections, by
``--clients`` clients at a time. A line for every so many jobs: private (anonymous) and file-backed memory of the
server, and private memory of its workers. The last line is the growth of the server's private memory for 100 jobs, a
line fitted to the second half of the samples.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import numpy as np
import psutil

from benchmarks.machine import describe_machine
from penstock import Client
from tests.support.servers import RunningServer, running_server

DIMENSION = 64
POLL = 0.02


def anonymous_and_file(pid: int) -> tuple[int, int]:
    """Bytes of the process that only it has, and bytes of files and shared memory that it has mapped."""
    memory = psutil.Process(pid).memory_info()
    return memory.rss - memory.shared, memory.shared


def workers_of(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


class Load:
    """Clients that import, query and search in turns until so many jobs are done, or the time is over."""

    def __init__(self, server: RunningServer, jobs: int, collections: Sequence[str], seconds: float) -> None:
        self._server = server
        self._jobs = jobs
        self._collections = collections
        self._until = time.monotonic() + seconds
        self._numbers = count()
        self.done = 0
        self.errors: list[BaseException] = []

    def run(self) -> None:
        try:
            with self._server.client(timeout=120) as client:
                while (number := next(self._numbers)) < self._jobs and time.monotonic() < self._until:
                    self._one(client, number)
                    self.done += 1
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            self.errors.append(error)

    def _one(self, client: Client, number: int) -> None:
        collection = self._collections[number % len(self._collections)]
        path = self._server.import_root / f"{number}.jsonl"
        vector = np.random.default_rng(number).random(DIMENSION).round(4).tolist()
        path.write_text(json.dumps({"id": number, "vector": vector}))
        client.imports.wait(client.imports.create(collection, [str(path)]), poll=POLL)
        path.unlink()
        client.query(collection, f"id == {number}")
        client.count(collection)
        client.search(collection, [vector], limit=3)


def measure(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder), *options.flag, workers=None) as server:
        names = [f"docs{number}" for number in range(options.collections)]
        with server.client() as client:
            for name in names:
                client.collections.create(name, dimension=DIMENSION)
        load = Load(server, options.jobs, names, options.minutes * 60)
        threads = [threading.Thread(target=load.run, daemon=True) for _ in range(options.clients)]
        for thread in threads:
            thread.start()
        pid, due = server.process.pid, 0
        samples: list[tuple[int, float]] = []
        print("   jobs  seconds  server private  server files  workers private   MiB", flush=True)
        begun = time.monotonic()
        while any(thread.is_alive() for thread in threads) or load.done >= due:
            if load.done < due:
                time.sleep(0.05)
                continue
            due = load.done // options.every * options.every + options.every
            private, files = anonymous_and_file(pid)
            workers = sum(anonymous_and_file(worker)[0] for worker in workers_of(pid))
            samples.append((load.done, private / 2**20))
            print(
                f"{load.done:>7,} {time.monotonic() - begun:>8.0f} {private / 2**20:>15.1f} "
                f"{files / 2**20:>13.1f} {workers / 2**20:>16.1f}",
                flush=True,
            )
        if load.errors:
            raise load.errors[0]
        half = samples[len(samples) // 2 :]
        if len(half) > 1:
            slope = np.polyfit([done for done, _ in half], [mib for _, mib in half], 1)[0]
            print(f"second half: {100 * slope:+.2f} MiB per 100 jobs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=5_000)
    parser.add_argument("--minutes", type=float, default=15, help="after which no more jobs are begun")
    parser.add_argument("--every", type=int, default=250, help="jobs between two lines")
    parser.add_argument("--collections", type=int, default=10)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--flag", action="append", default=[], help="of penstock serve, as --flag=--workers=1")
    options = parser.parse_args()
    measure(options)
    print(describe_machine())


if __name__ == "__main__":
    main()

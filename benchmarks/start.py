"""Start: seconds until a server is ready, and until its first import is completed; of the import and the help, too.

::

    python -m benchmarks.start              # seven servers one after the other, each with a new data dir
    python -m benchmarks.start --busy 6     # beside six processes that compute

"Ready" is from the start of the process until ``/healthz`` answers 200. "First import" is from then until a job of
one file is Completed, the creation of its collection included; a caller asks for the job's state 50 times a second.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.files import write_parquet
from benchmarks.machine import describe_machine
from penstock import Client
from tests.support.servers import PENSTOCK, running_server

_DIM = 128
_POLL_SECONDS = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--rows", type=int, default=1000, help="of the first import")
    parser.add_argument("--busy", type=int, default=0, help="processes that compute meanwhile")
    options = parser.parse_args()
    with _busy(options.busy):
        servers = [_start(options.rows) for _ in range(options.turns)]
        print(f"{options.busy} busy processes, {options.turns} turns: median (least to most) in seconds")
        _print("a server is ready", [ready for ready, _ in servers])
        _print(
            f"its first import, {options.rows:,} rows of {_DIM} dimensions, from then on", [job for _, job in servers]
        )
        for name, command in _COMMANDS.items():
            _print(name, [_seconds(partial(_run, command)) for _ in range(options.turns)])
    print(describe_machine())


_COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import penstock'": [sys.executable, "-c", "import penstock"],
    "penstock --help": [str(PENSTOCK), "--help"],
}


def _start(rows: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="penstock-start-") as folder:
        begun = time.perf_counter()
        with running_server(Path(folder), workers=None) as server, Client(server.url) as client:
            ready = time.perf_counter() - begun
            write_parquet(server.import_root / "first.parquet", rows, _DIM)
            return ready, _seconds(partial(_import, client))


def _import(client: Client) -> None:
    client.collections.create("docs", dimension=_DIM)
    client.imports.wait(client.imports.create("docs", ["first.parquet"]), poll=_POLL_SECONDS)


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _seconds(measured: Callable[[], None]) -> float:
    begun = time.perf_counter()
    measured()
    return time.perf_counter() - begun


def _print(name: str, seconds: Sequence[float]) -> None:
    print(f"{name}: {statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})")


@contextmanager
def _busy(number: int) -> Iterator[None]:
    processes = [multiprocessing.Process(target=_compute, daemon=True) for _ in range(number)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()


def _compute() -> None:
    while True:
        pass


if __name__ == "__main__":
    main()

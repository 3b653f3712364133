"""How costs grow with the size of a table, from 10^5 to 3 x 10^7 rows of 128 dimensions on one machine.

::

    python -m benchmarks.scalability                           # what has not been measured yet; hours
    python -m benchmarks.scalability --sizes 100000 1000000    # minutes
    python -m benchmarks.scalability --again --keep

At each size: one job imports all rows through a server, an index is built, and searched; the same rows come by many
small jobs, and are compacted; a table of 1,000 parts is opened, and compacted; lists are read. Processor time is that
of the server with its workers.

Prints a table, and writes ``scalability.json`` and ``scalability.png`` into ``benchmarks/results/MACHINE``. Each
phase of a size is written when it is done, and not measured again unless ``--again`` is given: an interrupted run
continues with the next. The rows lie in ``.cache/benchmarks``, 16 GB for 3 x 10^7, until the last size has imported
them. 40 GB must be free, 50 GB with ``--keep``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

import psutil

from benchmarks.peers.data import CACHE, FILES
from benchmarks.peers.results import started_now
from benchmarks.peers.tables import table
from benchmarks.scalability.phases import PHASES, Task
from benchmarks.scalability.results import Measurement, Results, table_rows
from benchmarks.scalability.rows import RowFiles, Rows

RESULTS = Path(__file__).parents[1] / "results"
SIZES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000)
DIM = 128


def main() -> None:
    options = _parse()
    folder = options.results or RESULTS / options.machine
    results = Results.read(folder / "scalability.json")
    rows = Rows(DIM)
    files = RowFiles(rows, FILES / f"latent-by-number-{DIM}")
    from benchmarks.scalability.chart import draw_chart  # Matplotlib: each process of `make test` imports this module

    sizes = sorted(set(options.sizes))
    for size in sizes:
        for name in PHASES:
            if options.again or name not in results.sizes.get(size, {}):
                keep = options.keep or size < sizes[-1]
                results.add(size, name, measure(name, size, rows, files, keep))
                results.write(folder / "scalability.json")
                draw_chart(results, folder / "scalability.png")
    print(table(table_rows(results)))


def measure(name: str, size: int, rows: Rows, files: RowFiles, keep_files: bool) -> Measurement:
    """Measure a phase of a size. What an interrupted run has left in the scratch folder is deleted first."""
    scratch = CACHE / "scratch" / "scalability"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    os.sync()  # what the phase before left unwritten isn't this one's to wait for
    load, began = psutil.getloadavg()[0], time.perf_counter()
    _tell(f"{size:,} rows: {name}")
    task = Task(rows, size, files, keep_files, scratch, lambda text: _tell(f"{size:,} rows: {name}: {text}"))
    try:
        figures = PHASES[name](task)
    finally:
        shutil.rmtree(scratch)
    return Measurement(
        **(started_now() | {"command": " ".join(["python -m benchmarks.scalability", *sys.argv[1:]])}),
        load_average=load,
        seconds=time.perf_counter() - began,
        figures=figures,
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scalability",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=SIZES, metavar="ROWS", help="all from 10^5 to 3 x 10^7"
    )
    parser.add_argument("--again", action="store_true", help="measure what has been measured before, too")
    parser.add_argument("--keep", action="store_true", help="keep the files of the rows for another run")
    parser.add_argument("--machine", default="machine-1", metavar="LABEL", help="whose results these are (machine-1)")
    parser.add_argument("--results", type=Path, help="folder for the results")
    return parser.parse_args()


def _tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    main()

"""What an upsert costs beside an append of the same rows, and how long the revert of it takes.

    python -m benchmarks.write_modes
    python -m benchmarks.write_modes --rows 1000000 --dim 128 --pairs 3

Both jobs go to the engine alone, into a table of as many rows; half of the keys are there. Staging counts, reading
files does not, which would make the difference smaller. Appends and upserts alternate, each into a table of its own.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.machine import describe_machine
from penstock.domain.write_modes import APPEND, Duplicates, WriteMode, WriteOptions
from penstock.engines.lance import LanceEngine
from penstock.engines.values import Published, Reversal, Reverted, Table
from tests.support.tables import new_table, plain, plain_batch, vectors

_UPSERT = WriteOptions(mode=WriteMode.UPSERT, duplicates=Duplicates.LAST)
_SPLIT_ROWS = 20_000

_Result = TypeVar("_Result")


class Figures:
    """Wall and processor (user and system) seconds of calls, by name."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[tuple[float, float]]] = {}

    def of(self, name: str, call: Callable[[], _Result]) -> _Result:
        wall, processor = time.perf_counter(), time.process_time()
        result = call()
        seconds = (time.perf_counter() - wall, time.process_time() - processor)
        self._seconds.setdefault(name, []).append(seconds)
        return result

    def medians(self, name: str) -> tuple[float, float]:
        wall, processor = zip(*self._seconds[name], strict=True)
        return statistics.median(wall), statistics.median(processor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="of the table, and of the job")
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--pairs", type=int, default=5)
    args = parser.parse_args()
    print(describe_machine())
    figures = Figures()
    values = vectors(_SPLIT_ROWS, args.dim)
    for number in range(args.pairs):
        jobs = [("append", APPEND), ("upsert", _UPSERT)]
        for name, options in jobs if number % 2 == 0 else reversed(jobs):
            with tempfile.TemporaryDirectory() as folder:
                run(Path(folder), args.rows, values, name, options, figures)
    for name in ("append", "upsert", "revert"):
        wall, processor = figures.medians(name)
        rate = "" if name == "revert" else f", {args.rows / wall:10,.0f} rows/s"
        print(f"{name:7} {wall:7.2f} s wall, {processor:7.2f} s processor{rate}")
    for position, measure in enumerate(("wall", "processor")):
        ratio = figures.medians("append")[position] / figures.medians("upsert")[position]
        print(f"upsert / append, rate by {measure} time: {ratio:.2f}")


def run(
    folder: Path, rows: int, values: npt.NDArray[np.float32], name: str, options: WriteOptions, figures: Figures
) -> None:
    engine = LanceEngine(str(folder))
    table = new_table(engine, plain(values.shape[1]))
    first = imported(engine, table, 1, 0, rows, values, APPEND)
    table = replace(table, version=first.version)
    published = figures.of(name, lambda: imported(engine, table, 2, rows // 2, rows, values, options))
    if options is APPEND:
        return
    assert published.replaced == rows - rows // 2
    later = replace(table, version=published.version)
    reversal = Reversal(published=published, partitions=[0])
    reverted = figures.of("revert", lambda: engine.revert(later, 2, 1, reversal))
    assert isinstance(reverted, Reverted)
    assert engine.count(replace(table, version=reverted.version)) == rows


def imported(
    engine: LanceEngine,
    table: Table,
    job: int,
    first: int,
    rows: int,
    values: npt.NDArray[np.float32],
    options: WriteOptions,
) -> Published:
    staged = [
        engine.stage(table, job, batches(table, start, min(_SPLIT_ROWS, first + rows - start), values))
        for start in range(first, first + rows, _SPLIT_ROWS)
    ]
    return engine.publish(table, job, 1, staged, options)


def batches(table: Table, first: int, rows: int, values: npt.NDArray[np.float32]) -> Iterator[pa.RecordBatch]:
    yield plain_batch(values[:rows], first, schema=table.schema)


if __name__ == "__main__":
    main()

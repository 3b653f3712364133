"""A dry run and an export beside the import of the same rows: whole jobs through the API, in alternating turns.

    python -m benchmarks.jobs_beside_imports
    python -m benchmarks.jobs_beside_imports --rows 1000000 --dim 128 --turns 7

A turn imports one Parquet file into a new collection without an index, runs dry on the same file, and exports the
collection as Parquet into a new folder; then the collection is dropped and the folder deleted. Times are those of the
jobs, from the call to the end, as their caller sees them.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import penstock
from benchmarks.files import write_parquet
from benchmarks.machine import describe_machine
from penstock.sdk.exports import Export
from penstock.sdk.jobs import ImportJob
from tests.support.servers import running_server

POLL_SECONDS = 0.1

Job = TypeVar("Job", ImportJob, Export)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--turns", type=int, default=7)
    args = parser.parse_args()
    print(describe_machine())
    seconds: dict[str, list[float]] = {"import": [], "dry run": [], "export": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exports = folder / "exports"
        exports.mkdir()
        with running_server(folder, "--export-root", str(exports), workers=None) as server:
            path = server.import_root / "rows.parquet"
            write_parquet(path, args.rows, args.dim)
            with server.client() as client:
                for turn in range(args.turns):
                    take_turn(client, path, args.rows, args.dim, exports / str(turn), seconds)
    for what, taken in seconds.items():
        print(
            f"{what:8} {statistics.median(taken):6.2f} s ({min(taken):.2f} to {max(taken):.2f}), "
            f"{args.rows / statistics.median(taken):,.0f} rows/s"
        )
    for what in ("dry run", "export"):
        ratios = [one / other for one, other in zip(seconds["import"], seconds[what], strict=True)]
        print(f"{what} / import, rate: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def take_turn(
    client: penstock.Client, path: Path, rows: int, dim: int, target: Path, seconds: dict[str, list[float]]
) -> None:
    fields = [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": dim}},
    ]
    client.collections.create("rows", schema={"fields": fields})

    def timed(what: str, create: Callable[[], Job], get: Callable[[Job], Job]) -> Job:
        started = time.perf_counter()
        job = create()
        while job.state not in ("Completed", "Failed"):
            time.sleep(POLL_SECONDS)
            job = get(job)
        seconds[what].append(time.perf_counter() - started)
        assert job.state == "Completed", job
        return job

    assert timed("import", lambda: client.imports.create("rows", path), client.imports.get).rows == rows
    timed("dry run", lambda: client.imports.create("rows", path, options={"dry_run": "true"}), client.imports.get)
    assert timed("export", lambda: client.exports.create("rows", target), client.exports.get).rows == rows
    client.collections.drop("rows")
    shutil.rmtree(target)


if __name__ == "__main__":
    main()
